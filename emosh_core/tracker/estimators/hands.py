"""Hands by HaMeR or WiLoR: one ONNX network for right hands; left hands are shown to it in a mirror.

Two exports are known, told apart by the size of their input: 256 px with ImageNet's mean and standard
deviation (the published networks), and 512 px in 0..1 (an encoder that resizes and normalises inside).
"""

from collections.abc import Iterator

import numpy as np

from emosh_core.artifacts import keypoint_slice
from emosh_core.geometry.camera import default_intrinsics
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.estimators.crops import Crop, box_of, columns_to_rotmats, rotvecs, unmirror
from emosh_core.tracker.estimators.network import Network, imagenet, unit_range
from emosh_core.tracker.estimators.protocol import Coarse

VISIBLE = 0.5  # confidence from which a point helps to find the box
LEAST_POINTS = 4
PUBLISHED = 256  # [px] input of the published networks
LARGER = 2.0  # how much larger than the box of its points the published networks want a hand …
TALL = 256 / 192  # … in a box of this height to width, which they were trained on
LARGER_512 = 1.5 * 1.3  # the same for the other export, whose box is square
SIDES = ("left", "right")


class HandNetwork:
    """HaMeR or WiLoR.

    Args:
        name: "hamer" or "wilor".
        focal: focal length of the pictures [px]; 0 takes their diagonal.

    Raises:
        AssetError: its weights are not registered; `fix` is the command that adds them.
    """

    def __init__(self, name: str = "hamer", focal: float = 0.0):
        self.name, self._focal = name, focal
        self._network = Network(name, also=("joints",))

    def estimate(self, frames: Iterator[np.ndarray], seen: Detections) -> Coarse:
        """Estimate both hands wherever at least four of their points were seen."""
        K, rows = None, []
        for t, frame in enumerate(frames):
            if K is None:
                K = default_intrinsics(frame.shape[1], frame.shape[0], self._focal or None)
            for side in SIDES:
                part = keypoint_slice(f"{side}_hand")
                crop = hand_crop(seen.keypoints2d[t, part], seen.confidence[t, part], side, self._network.size)
                rows.append(_read(self._look(crop, frame), crop, K) if crop else None)
        parts = {}
        for i, side in enumerate(SIDES):
            parts |= _gather(rows[i :: len(SIDES)], side)
        return Coarse(**parts)

    def _look(self, crop: Crop, frame: np.ndarray) -> dict[str, np.ndarray]:
        return self._network(crop.cut(frame), imagenet if crop.size == PUBLISHED else unit_range)


def hand_crop(points: np.ndarray, confidence: np.ndarray, side: str, size: int) -> Crop | None:
    """Choose what the network sees of a hand (21, 2) [px]; None where too little of it was seen."""
    box = box_of(points, confidence, VISIBLE, LEAST_POINTS)
    if box is None:
        return None
    width, height = box[2:] - box[:2]
    edge = LARGER * max(height, width * TALL) if size == PUBLISHED else LARGER_512 * max(width, height)
    return Crop((box[:2] + box[2:]) / 2, max(float(edge), 1.0), size, mirrored=side == "left")


def _read(out: dict[str, np.ndarray], crop: Crop, K: np.ndarray) -> dict[str, np.ndarray]:
    """Turn the network's answer into a hand in the picture's camera axes.

    MANO's axes are SMPL-X's; the camera of the cut-out has y down, so nothing but the mirror and the
    ray to the cut-out's centre stands between the two.
    """
    wrist, fingers = _rotmats(out["global_orient"], 1)[0], _rotmats(out["hand_pose"], 15)
    points = out.get("joints")
    if crop.mirrored:
        wrist, fingers = unmirror(wrist), unmirror(fingers)
        points = None if points is None else points * [-1, 1, 1]
    turn, at = crop.ray(K), crop.to_camera(out["pred_cam"], K)
    hand = {"wrist": turn @ wrist, "hand_pose": rotvecs(fingers), "hand_transl": at}
    return hand if points is None else hand | {"hand_points": points @ turn.T + at}


def _rotmats(values: np.ndarray, count: int) -> np.ndarray:
    """Rotation matrices (count, 3, 3) from matrices or 6-D rotations of any arrangement."""
    return values.reshape(count, 3, 3) if values.size == 9 * count else columns_to_rotmats(values.reshape(count, 6))


def _gather(rows: list[dict[str, np.ndarray] | None], side: str) -> dict[str, np.ndarray]:
    """Fields of `Coarse` for one side from one row per frame; frames without a hand hold zeros."""
    found = next((row for row in rows if row), None)
    if found is None:
        return {}
    fields = {f"{side}_hand_known": np.array([row is not None for row in rows])}
    for name, example in found.items():
        values = [row[name] if row else np.zeros_like(example) for row in rows]
        fields[f"{side}_{name}"] = np.stack(values).astype(np.float32)
    return fields
