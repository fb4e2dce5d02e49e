"""Hands by planted networks: cut-out, mirror, normalisation, 6-D order and camera, to ≤ 1 px and ≤ 0.5°."""

import numpy as np
import pytest
from disc_pictures import FOCAL, SIZE, degrees, picture
from onnx_networks import hand_from_picture, planted
from scipy.spatial.transform import Rotation

from emosh_core import models
from emosh_core.artifacts import keypoint_slice
from emosh_core.errors import AssetError
from emosh_core.geometry.camera import default_intrinsics, project
from emosh_core.tracker.detectors import N_KEYPOINTS, Detections
from emosh_core.tracker.estimators.crops import Crop
from emosh_core.tracker.estimators.hands import HandNetwork, hand_crop

LENGTH = 0.1  # [m] from wrist to finger tip
MIRROR = np.diag([-1.0, 1, 1])


def detections(points: dict[str, np.ndarray], frames: int = 1) -> Detections:
    """Hands (21, 2) [px] seen in every frame, nothing else."""
    at, sure = np.zeros((frames, N_KEYPOINTS, 2), np.float32), np.zeros((frames, N_KEYPOINTS), np.float32)
    for side, values in points.items():
        at[:, keypoint_slice(side)], sure[:, keypoint_slice(side)] = values, 0.9
    return Detections(at, 0 * sure, sure, np.zeros((frames, 33, 3), np.float32), np.ones(frames, np.float32))


def around(point, radius=60) -> np.ndarray:
    angles = np.arange(21) * 2 * np.pi / 21
    return (np.array(point) + radius * np.stack([np.cos(angles), np.sin(angles)], -1)).astype(np.float32)


@pytest.mark.parametrize("name", ["hamer", "wilor"])
@pytest.mark.parametrize("size", [256, 512, "free"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hand_is_found_where_the_picture_shows_it(tmp_path, name, size, side):
    """Wrist and finger tip come back to their pixels, fingers point along them, whichever the hand and the export."""
    free = size == "free"
    models.add(name, hand_from_picture(tmp_path / "net.onnx", 256 if free else size, LENGTH, free=free))
    wrist, tip = np.array([441.3, 190.2]), np.array([403.9, 262.6])
    frame = picture({(255, 0, 0): tuple(wrist), (0, 255, 0): tuple(tip)})
    middle = (wrist + tip) / 2 + 7
    seen = detections({f"{side}_hand": around(middle, 70)})
    coarse = HandNetwork(name, FOCAL).estimate(iter([frame]), seen)
    other = "left" if side == "right" else "right"
    assert getattr(coarse, f"{other}_hand_known") is None or not getattr(coarse, f"{other}_hand_known").any()
    assert getattr(coarse, f"{side}_hand_known").tolist() == [True]
    K = default_intrinsics(*SIZE, FOCAL)
    at, points = getattr(coarse, f"{side}_hand_transl")[0], getattr(coarse, f"{side}_hand_points")[0]
    assert np.linalg.norm(project(at[None], K)[0] - wrist) < 1
    assert np.linalg.norm(project(points[[9]], K)[0] - tip) < 1
    assert at[2] == pytest.approx(FOCAL * LENGTH / np.linalg.norm(tip - wrist), rel=0.02)
    # The left hand's fingers point along +x of the body's axes, the right one's along −x.
    fingers = getattr(coarse, f"{side}_wrist")[0] @ [1.0 if side == "left" else -1.0, 0, 0]
    look_at = Rotation.align_vectors([np.append((middle - K[:2, 2]) / FOCAL, 1)], [[0, 0, 1]])[0].as_matrix()
    want = look_at @ np.append((tip - wrist) / np.linalg.norm(tip - wrist), 0)
    assert np.degrees(np.arccos(fingers @ want)) < 0.5


def true_hand(side: str):
    """A hand well off the optical axis: rotation, place, and the same of what a mirror shows."""
    turn = Rotation.from_euler("xyz", [40, -25, 70], degrees=True).as_matrix()
    at = np.array([0.55, -0.31, 1.4])
    return turn, at


@pytest.mark.parametrize("order", ["matrix", "6d", "6d flat"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_planted_pose_comes_back(tmp_path, side, order):
    """What the network must say about a known hand is worked out from points in space, not from our formulas."""
    rng = np.random.default_rng(3)
    turn, at = true_hand(side)
    fingers = Rotation.from_rotvec(rng.normal(0, 0.6, (15, 3)))
    cloud = rng.normal(0, 0.05, (21, 3))  # a right hand at rest; the left one is its mirror image
    K = default_intrinsics(*SIZE, FOCAL)
    own = cloud if side == "right" else cloud @ MIRROR
    shown = own @ turn.T + at
    pixels = project(shown, K)
    box = around(project(at[None], K)[0] + 11)
    crop = hand_crop(box, np.ones(21), side, 256)
    # A camera that looks straight at the cut-out's centre, then the mirror for a left hand.
    ray = np.append((crop.centre - K[:2, 2]) / FOCAL, 1)
    straight = Rotation.align_vectors([[0, 0, 1]], [ray])[0].as_matrix()
    seen = (shown - at) @ straight.T
    if side == "left":
        seen, said_fingers = seen @ MIRROR, np.stack([MIRROR @ m @ MIRROR for m in fingers.as_matrix()])
    else:
        said_fingers = fingers.as_matrix()
    said = Rotation.align_vectors(seen, cloud)[0].as_matrix()
    s = 2 * FOCAL / (crop.side * at[2])
    shift = (project(at[None], K)[0] - crop.centre) / (crop.side / 2) / s * ([1, 1] if side == "right" else [-1, 1])
    joints = cloud @ said.T
    both = {"matrix": lambda m: m, "6d": six, "6d flat": lambda m: six(m).reshape(-1)}[order]
    models.add("hamer", planted(tmp_path / "net.onnx", 256, {
        "pred_cam": np.array([[s, *shift]]), "global_orient": both(said[None])[None].reshape(
            {"matrix": (1, 1, 3, 3), "6d": (1, 1, 6), "6d flat": (1, 6)}[order]),
        "hand_pose": both(said_fingers)[None], "betas": np.zeros((1, 10)), "joints": joints[None],
    }))  # fmt: skip
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    coarse = HandNetwork("hamer", FOCAL).estimate(iter([frame]), detections({f"{side}_hand": box}))
    assert degrees(getattr(coarse, f"{side}_wrist")[0], turn) < 0.5
    got = Rotation.from_rotvec(getattr(coarse, f"{side}_hand_pose")[0])
    assert np.degrees((got.inv() * fingers).magnitude()).max() < 0.5
    got_pixels = project(getattr(coarse, f"{side}_hand_points")[0], K)
    assert np.linalg.norm(got_pixels - pixels, axis=-1).max() < 1
    assert np.abs(getattr(coarse, f"{side}_hand_transl")[0] - at).max() < 1e-3


def six(rotmats: np.ndarray) -> np.ndarray:
    """Two columns one after the other; the first too long, the second leaning: what a network really gives."""
    first, second = rotmats[..., :, 0], rotmats[..., :, 1]
    return np.concatenate([1.7 * first, 0.8 * second + 0.3 * first], -1)


def test_weak_points_do_not_stretch_the_box():
    points, confidence = around((300, 200), 40), np.ones(21)
    whole = hand_crop(points, confidence, "right", 256)
    points[4], confidence[4] = 0, 0.3  # a finger that was not seen is said to be in the corner
    crop = hand_crop(points, confidence, "right", 256)
    assert abs(crop.side - whole.side) < 0.1 * whole.side and np.abs(crop.centre - whole.centre).max() < 5
    assert hand_crop(points, np.where(np.arange(21) < 3, 1, 0.3), "right", 256) is None


@pytest.mark.parametrize(
    ("width", "height", "size", "side"),
    [(60, 60, 256, 160), (30, 60, 256, 120), (60, 20, 256, 160), (60, 30, 512, 117), (30, 60, 512, 117)],
)
def test_the_cut_out_is_as_large_as_the_networks_were_trained_on(width, height, size, side):
    """256 px: twice the box, which is at least 4 high to 3 wide. 512 px: 1.5 · 1.3 times its longer side."""
    points = np.tile([[100.0, 90.0]], (21, 1))
    points[1], points[2] = [100 + width, 90], [100, 90 + height]
    crop = hand_crop(points, np.ones(21), "left", size)
    assert crop.side == pytest.approx(side) and crop.mirrored and crop.size == size
    np.testing.assert_allclose(crop.centre, [100 + width / 2, 90 + height / 2])


def test_a_fine_pattern_is_blurred_before_it_is_shrunk():
    """Every third column white: taking every fifth or so would make broad stripes of it."""
    image = np.zeros((900, 900, 3), np.uint8)
    image[:, ::3] = 255
    cut = Crop(np.array([450.0, 450]), 800, 160).cut(image)
    assert cut.std() < 6 and abs(cut.mean() - 85) < 3


def test_frames_without_a_hand_are_not_known(tmp_path):
    models.add("hamer", hand_from_picture(tmp_path / "net.onnx", 256, LENGTH))
    seen = detections({"right_hand": around((300, 200))}, frames=3)
    seen.confidence[1] = 0
    frame = picture({(255, 0, 0): (300, 200), (0, 255, 0): (320, 210)})
    coarse = HandNetwork("hamer").estimate(iter([frame] * 3), seen)
    assert coarse.right_hand_known.tolist() == [True, False, True] and coarse.left_hand_known is None
    assert coarse.right_hand_pose.shape == (3, 15, 3) and np.isfinite(coarse.right_wrist).all()


def test_missing_weights_are_known_before_the_first_frame():
    with pytest.raises(AssetError, match="wilor weights are needed") as caught:
        HandNetwork("wilor")
    assert caught.value.fix == "emosh models add wilor PATH.onnx" and caught.value.exit_code == 4
