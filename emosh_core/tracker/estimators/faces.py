"""Head and face by TEASER or SMIRK: one ONNX network with FLAME's parameters as its answer."""

from collections.abc import Iterator

import numpy as np

from emosh_core.artifacts import keypoint_slice
from emosh_core.geometry.camera import default_intrinsics
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.estimators.crops import Crop, box_of, rotation_z
from emosh_core.tracker.estimators.dwpose import FACE_51
from emosh_core.tracker.estimators.network import Network, unit_range
from emosh_core.tracker.estimators.protocol import Coarse

CONTOUR = (127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356)
"""Mesh points along the jaw from ear to ear; good enough for a box, published lists differ by a point or two."""
BOX = np.array([*CONTOUR, *FACE_51])
EYES, LIPS = np.array([33, 133, 362, 263]), np.array([13, 14, 61, 291])
VISIBLE = 0.5
LEAST_POINTS = 12
SMIRK_LARGER = 1.4  # cut-out over the mean of the box's width and height
TEASER_LARGER, TEASER_HIGHER = 1.75, 0.1  # over its longer side, and the centre moved up by this share
JAW_SIDEWAYS = 0.2  # [rad]
Y_UP = np.diag([1.0, -1.0, -1.0])
"""The networks' head axes (x right, y up, z to the viewer) and the camera's, both ways."""


class FaceNetwork:
    """TEASER or SMIRK.

    Args:
        name: "teaser" or "smirk"; they differ in their cut-outs.
        focal: focal length of the pictures [px]; 0 takes their diagonal.

    Raises:
        AssetError: its weights are not registered; `fix` is the command that adds them.
    """

    def __init__(self, name: str = "teaser", focal: float = 0.0):
        self.name, self._focal = name, focal
        self._network = Network(name)

    def estimate(self, frames: Iterator[np.ndarray], seen: Detections) -> Coarse:
        """Estimate the head wherever enough of the face's points were seen."""
        part, K, rows = keypoint_slice("face"), None, []
        for t, frame in enumerate(frames):
            if K is None:
                K = default_intrinsics(frame.shape[1], frame.shape[0], self._focal or None)
            crop = face_crop(seen.keypoints2d[t, part], seen.confidence[t, part], self.name, self._network.size)
            rows.append(_read(self._network(crop.cut(frame), unit_range), crop, K) if crop else None)
        found = next((row for row in rows if row), None)
        if found is None:
            return Coarse()
        fields = {"face_known": np.array([row is not None for row in rows])}
        for name, example in found.items():
            values = [row[name] if row else np.zeros_like(example) for row in rows]
            fields[name] = np.stack(values).astype(np.float32)
        return Coarse(**fields)


def face_crop(points: np.ndarray, confidence: np.ndarray, name: str, size: int) -> Crop | None:
    """Choose what the network sees of a face (478, 2) [px]; None where too little of it was seen.

    SMIRK's is upright. TEASER's is turned with the head, from the eyes' middle to the lips'.
    """
    box = box_of(points[BOX], confidence[BOX], VISIBLE, LEAST_POINTS)
    if box is None:
        return None
    if name == "smirk":
        return Crop((box[:2] + box[2:]) / 2, max(SMIRK_LARGER * float((box[2:] - box[:2]).mean()), 1.0), size)
    roll = 0.0
    if confidence[[*EYES, *LIPS]].min() > VISIBLE:
        x, y = points[LIPS].mean(0) - points[EYES].mean(0)
        roll = float(np.arctan2(-x, y))
    turn = rotation_z(roll)[:2, :2]
    box = box_of(points[BOX] @ turn, confidence[BOX], VISIBLE, LEAST_POINTS)  # in axes turned with the head
    side = TEASER_LARGER * float((box[2:] - box[:2]).max())
    centre = (box[:2] + box[2:]) / 2 - [0, TEASER_HIGHER * side]
    return Crop(turn @ centre, max(side, 1.0), size, roll=roll)


def _read(out: dict[str, np.ndarray], crop: Crop, K: np.ndarray) -> dict[str, np.ndarray]:
    from scipy.spatial.transform import Rotation

    head = Rotation.from_rotvec(out["pose_params"]).as_matrix()
    jaw = out["jaw_params"]
    return {
        "head": crop.ray(K) @ rotation_z(crop.roll) @ Y_UP @ head,
        "head_transl": crop.to_camera(out["cam"] * [1, 1, -1], K),
        "expression": out["expression_params"],
        "jaw": np.append(jaw[:1].clip(min=0), jaw[1:].clip(-JAW_SIDEWAYS, JAW_SIDEWAYS)),
        "eyelid": out["eyelid_params"].clip(0, 1),
    }
