"""Recognise a still that was taken out of the clip that drives it."""

from pathlib import Path

import cv2
import numpy as np

from emosh_core.video_io import open_source

SMALL = 96
"""Pictures are compared at this height [px]: neither another codec nor another size matters there."""
ALIKE = 3.0
"""Mean difference (0..255) below which the most similar frame is taken for the picture."""
SAME = 0.5
"""Mean difference at which nobody need look further."""
ASPECT = 0.02
"""Relative difference between two aspects that is rounding."""


def moment_of(picture: np.ndarray, clip: Path) -> float | None:
    """Return when a clip shows a picture (H, W, 3) uint8 RGB [s], None if it never does.

    Raises:
        ArtifactError: the clip cannot be read.
    """
    source = open_source(clip)
    aspect = picture.shape[1] / picture.shape[0]
    if abs(aspect * source.height / source.width - 1) > ASPECT:
        return None
    size = (max(1, round(SMALL * aspect)), SMALL)
    wanted = _small(picture, size)
    nearest, moment = ALIKE, None
    for time, frame in source.frames():
        difference = float(np.abs(_small(frame, size) - wanted).mean())
        if difference < nearest:
            nearest, moment = difference, time
        if nearest < SAME:
            break
    return moment


def _small(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
