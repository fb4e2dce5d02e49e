"""The fitted mesh over the video it was fitted to, for a person to judge the fit and what it rests on."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from emosh_kernels.interpolate import interpolate
from emosh_kernels.rasterize import rasterize
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, TRUST_PARTS, Motion, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, JOINT_NAMES, WRISTS
from emosh_core.render.shade import lambert, vertex_normals
from emosh_core.render.view import views

COLORS = {
    "person": (110, 190, 255), "face": (255, 214, 120), "left_hand": (120, 235, 120), "right_hand": (255, 130, 130),
    "left_arm": (60, 160, 110), "right_arm": (200, 80, 110), "left_leg": (70, 130, 220), "right_leg": (170, 110, 230),
}  # fmt: skip
"""Colour of each of TRUST_PARTS; of the person, the trunk."""
OPACITY = 0.55
CONFIDENT = 0.3
"""Detections below this confidence are not shown."""
SUBPIXEL_BITS = 4
HATCH, HATCH_WIDTH = 10, 3
"""[px] at 512: distance and width of the lines over parts that are not trusted."""
STRIP = 0.06
"""Height of the confidence strip, of the picture's height; it has one row per part."""
NOW = (255, 255, 255)


def overlay_frames(frames: Iterable[np.ndarray], motion: Motion, body: EhmModel) -> Iterator[np.ndarray]:
    """Draw the mesh in part colours and the detected keypoints over each frame; below, how far parts are trusted.

    Parts that are not trusted are hatched; each row of the strip at the bottom is a part over the whole clip.

    Args:
        frames: (H, W, 3) uint8 RGB each, as many as `motion` has, of the size it states.

    Yields:
        New pictures of the same size.
    """
    source = iter(frames)
    width, height = motion.size
    K = torch.as_tensor(motion.K)
    part = face_parts(body)
    strip = _strip(motion)
    for view in views(motion, body):
        seen = rasterize(view.verts_cam, body.faces, K[view.frames], (height, width))
        normals = interpolate(seen, body.faces, vertex_normals(view.verts_cam, body.faces)).numpy()
        for i, t in enumerate(range(view.frames.start, view.frames.stop)):
            image = next(source).copy()
            if motion.person_valid[t]:
                covered = (seen.face_id[i] >= 0).numpy()
                _blend(image, part[seen.face_id[i]].numpy(), covered, normals[i], motion.trust[t])
            _dots(image, motion.keypoints2d[t], motion.confidence[t])
            _lay_strip(image, strip, t)
            yield image


def face_parts(body: EhmModel) -> Tensor:
    """Return which of TRUST_PARTS each triangle belongs to (F,)."""
    of_joint = torch.zeros(len(JOINT_NAMES), dtype=torch.long)
    limbs = {"hip": "leg", "knee": "leg", "ankle": "leg", "foot": "leg", "shoulder": "arm", "elbow": "arm"}
    for joint, name in enumerate(JOINT_NAMES):
        side, _, kind = name.partition("_")
        if kind in limbs:
            of_joint[joint] = TRUST_PARTS.index(f"{side}_{limbs[kind]}")
    of_joint[[HEAD, JAW, *EYES]] = TRUST_PARTS.index("face")
    for side, wrist in WRISTS.items():
        of_joint[[wrist, *HANDS[side]]] = TRUST_PARTS.index(f"{side}_hand")
    return of_joint[body.lbs_weights.argmax(-1)][body.faces[:, 0]]


def _blend(image: np.ndarray, part: np.ndarray, mask: np.ndarray, normals: np.ndarray, trust: np.ndarray) -> None:
    """Lay the shaded mesh over a picture, in place: parts, where it is, and normals, all (H, W, …)."""
    colors = np.array([COLORS[name] for name in TRUST_PARTS], np.float32)[part[mask]]
    opacity = np.full(mask.sum(), OPACITY, np.float32)
    unit = max(min(image.shape[:2]) / 512, 0.5)
    y, x = np.nonzero(mask)
    between = (x + y) % max(round(HATCH * unit), 4) >= max(round(HATCH_WIDTH * unit), 1)
    opacity[(trust[part[mask]] < 0.5) & between] = 0.12
    shaded = lambert(normals[mask])[:, None] * colors
    image[mask] = np.rint((1 - opacity[:, None]) * image[mask] + opacity[:, None] * shaded).astype(np.uint8)


def _strip(motion: Motion) -> np.ndarray:
    """Return trust over time as a picture (8, T, 3): a part's colour where it is trusted, dark where not."""
    colors = np.array([COLORS[name] for name in TRUST_PARTS], np.float32)[:, None]
    return np.rint(colors * (0.15 + 0.85 * motion.trust.T[..., None])).astype(np.uint8)


def _lay_strip(image: np.ndarray, strip: np.ndarray, t: int) -> None:
    """Lay the strip along the picture's lower edge, in place, with a line at frame t."""
    height, width = image.shape[:2]
    rows = max(round(STRIP * height / len(strip)), 1) * len(strip)
    shown = cv2.resize(strip, (width, rows), interpolation=cv2.INTER_NEAREST)
    at = min(round((t + 0.5) / strip.shape[1] * width), width - 1)
    shown[:, max(at - 1, 0) : at + 1] = NOW
    image[-rows:] = np.rint(0.25 * image[-rows:] + 0.75 * shown).astype(np.uint8)


def _dots(image: np.ndarray, points: np.ndarray, confidence: np.ndarray) -> None:
    """Mark the detected keypoints on a picture, in place."""
    unit = min(image.shape[:2]) / 512
    dots = {"body": (255, 210, 0), "left_hand": (80, 255, 80), "right_hand": (255, 80, 80), "face": (255, 255, 255)}
    for part in KEYPOINTS:
        rows = keypoint_slice(part)
        radius = unit * (0.8 if part == "face" else 2.5)
        for x, y in points[rows][confidence[rows] >= CONFIDENT]:
            centre = [round((float(v) - 0.5) * (1 << SUBPIXEL_BITS)) for v in (x, y)]
            cv2.circle(image, centre, round(radius * (1 << SUBPIXEL_BITS)), dots[part], -1, cv2.LINE_AA,
                       SUBPIXEL_BITS)  # fmt: skip
