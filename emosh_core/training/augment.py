"""Random changes to the conditions, so that the network does not learn to copy pixels."""

import cv2
import numpy as np


def warp_reference(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale, shift, turn and tilt a picture (R, R, 3) uint8; what comes from outside is black.

    Never mirrored: clothes are not symmetric.
    """
    side = len(image)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    angle = np.radians(rng.uniform(-8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.exp(rng.uniform(np.log(0.75), np.log(1.33)))
    shift = rng.uniform(-0.15, 0.15, 2) * side
    tilt = rng.uniform(-0.03, 0.03, (4, 2)) * side
    moved = scale * corners @ turn.T + shift + tilt
    matrix = cv2.getPerspectiveTransform((corners + side / 2).astype(np.float32), (moved + side / 2).astype(np.float32))
    return cv2.warpPerspective(image, matrix, (side, side), flags=cv2.INTER_LINEAR)


def draw_layout(rng: np.random.Generator, *, temporal: float, aligned: float) -> tuple[bool, bool]:
    """Draw which conditions a batch has: (temporal latents, aligned latent).

    Args:
        temporal: probability of the temporal latents.
        aligned: probability of the aligned latent where there are temporal ones; never without.
    """
    has_temporal = rng.random() < temporal
    return has_temporal, bool(has_temporal and rng.random() < aligned)
