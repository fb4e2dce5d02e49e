"""Heads by planted networks: cut-outs of SMIRK and TEASER, roll, camera and FLAME's outputs."""

import numpy as np
import pytest
import torch
from disc_pictures import FOCAL, SIZE, degrees, picture
from onnx_networks import face_answer, face_from_picture, planted
from scipy.spatial.transform import Rotation

from emosh_core import models
from emosh_core.artifacts import keypoint_slice
from emosh_core.body.pose import zero_pose
from emosh_core.errors import AssetError
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics, project
from emosh_core.tracker.detectors import N_KEYPOINTS, Detections
from emosh_core.tracker.estimators.faces import BOX, EYES, LIPS, FaceNetwork, face_crop

LENGTH = 0.08  # [m] from the head's origin to the chin
CAMERA = CAMERA_AT_ORIGIN[:3, :3].astype(float)  # the body's axes (y up, z to the viewer) seen by the camera


@pytest.fixture(scope="module")
def mesh(body):
    """Face landmarks (478, 3) [m] of the body at rest, around their middle."""
    shaped = body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64))
    points = shaped.with_pose(zero_pose(1)).landmarks()[0, keypoint_slice("face")].double().numpy()
    return points - points.mean(0)


def seen_face(mesh, turn, at, K) -> Detections:
    """Exactly the pixels of a head that is turned (3, 3) and placed (3,) [m] in camera axes."""
    points, sure = np.zeros((1, N_KEYPOINTS, 2), np.float32), np.zeros((1, N_KEYPOINTS), np.float32)
    part = keypoint_slice("face")
    points[0, part], sure[0, part] = project(mesh @ turn.T + at, K), 0.9
    return Detections(points, 0 * sure, sure, np.zeros((1, 33, 3), np.float32), np.ones(1, np.float32))


def roll_about_axis(angle: float) -> np.ndarray:
    return Rotation.from_euler("z", angle, degrees=True).as_matrix()


@pytest.mark.parametrize("name", ["teaser", "smirk"])
def test_a_head_is_found_where_the_picture_shows_it(tmp_path, mesh, name):
    """Landmarks lean by 30°, the discs by 42°: TEASER's cut-out turns with the first and its answer adds the rest."""
    models.add(name, face_from_picture(tmp_path / "net.onnx", LENGTH))
    K = default_intrinsics(*SIZE, FOCAL)
    origin, length = np.array([420.3, 171.8]), 55.0
    down = roll_about_axis(42)[:2, :2] @ [0, 1]
    frame = picture({(255, 0, 0): tuple(origin), (0, 255, 0): tuple(origin + length * down)})
    at = np.append((origin - K[:2, 2]) / FOCAL, 1) * 0.9
    seen = seen_face(mesh, roll_about_axis(30) @ CAMERA, at, K)
    coarse = FaceNetwork(name, FOCAL).estimate(iter([frame]), seen)
    assert coarse.face_known.tolist() == [True]
    assert np.linalg.norm(project(coarse.head_transl, K)[0] - origin) < 1
    assert coarse.head_transl[0, 2] == pytest.approx(FOCAL * LENGTH / length, rel=0.02)
    part = keypoint_slice("face")
    crop = face_crop(seen.keypoints2d[0, part], seen.confidence[0, part], name, 224)
    ray = np.append((crop.centre - K[:2, 2]) / FOCAL, 1)
    look_at = Rotation.align_vectors([ray], [[0, 0, 1]])[0].as_matrix()
    assert degrees(coarse.head, (look_at @ roll_about_axis(42) @ CAMERA)[None]) < 0.5
    assert abs(np.degrees(crop.roll) - (30 if name == "teaser" else 0)) < 3


@pytest.mark.parametrize("name", ["teaser", "smirk"])
def test_a_planted_head_comes_back(tmp_path, mesh, name):
    K = default_intrinsics(*SIZE, FOCAL)
    turn = Rotation.from_euler("zyx", [20, 28, -12], degrees=True).as_matrix() @ CAMERA
    at = np.array([-0.32, 0.2, 1.1])
    seen = seen_face(mesh, turn, at, K)
    part = keypoint_slice("face")
    crop = face_crop(seen.keypoints2d[0, part], seen.confidence[0, part], name, 224)
    # The head as a camera sees it that looks straight at the cut-out and is rolled with it; x right, y up, z back.
    forward = np.append((crop.centre - K[:2, 2]) / FOCAL, 1)
    straight = Rotation.align_vectors([[0, 0, 1]], [forward])[0].as_matrix()
    upright = Rotation.from_euler("z", -crop.roll).as_matrix()
    shown = (upright @ straight @ (mesh @ turn.T).T).T * [1, -1, -1]
    pose = Rotation.align_vectors(shown, mesh)[0].as_rotvec()
    s = 2 * FOCAL / (crop.side * at[2])
    in_crop = crop.matrix @ np.append(project(at[None], K)[0], 1)
    tx, ty = (in_crop / 112 - 1) / s * [1, -1]
    said = {"pose_params": pose, "cam": [s, tx, ty], "eyelid_params": [1.2, 0.25], "jaw_params": [0.3, 0.5, -0.1],
            "expression_params": np.arange(50) / 50}  # fmt: skip
    models.add(name, planted(tmp_path / "net.onnx", 224, face_answer(**said)))
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    coarse = FaceNetwork(name, FOCAL).estimate(iter([frame]), seen)
    assert degrees(coarse.head, turn[None]) < 0.5
    pixels = project(mesh @ coarse.head[0].T + coarse.head_transl[0], K)
    assert np.linalg.norm(pixels - seen.keypoints2d[0, part], axis=-1).max() < 1
    assert coarse.eyelid[0].tolist() == [1.0, 0.25]  # left, right
    np.testing.assert_allclose(coarse.jaw[0], [0.3, 0.2, -0.1], atol=1e-6)
    np.testing.assert_allclose(coarse.expression[0], np.arange(50) / 50, atol=1e-6)


def test_weak_points_do_not_stretch_the_box(mesh):
    K = default_intrinsics(*SIZE, FOCAL)
    seen = seen_face(mesh, CAMERA, np.array([0, 0, 1.0]), K)
    part = keypoint_slice("face")
    points, confidence = seen.keypoints2d[0, part].copy(), seen.confidence[0, part].copy()
    whole = face_crop(points, confidence, "smirk", 224)
    points[152], confidence[152] = 0, 0.2
    crop = face_crop(points, confidence, "smirk", 224)
    assert abs(crop.side - whole.side) < 0.15 * whole.side
    assert face_crop(points, 0.3 * confidence, "smirk", 224) is None


@pytest.mark.parametrize("roll", [0, 35])
def test_the_cut_out_is_as_large_as_the_networks_were_trained_on(roll):
    """SMIRK: 1.4 times the mean of width and height. TEASER: 1.75 times the longer side along the face, moved up."""
    points, confidence = np.zeros((478, 2)), np.zeros(478)
    confidence[BOX] = 1
    points[BOX] = 0, -10
    points[EYES], points[LIPS] = (0, -10), (0, 30)
    points[BOX[0]], points[BOX[1]], points[BOX[2]] = (-40, 0), (40, 0), (0, 50)  # 80 wide, 60 high
    turn = roll_about_axis(roll)[:2, :2]
    teaser = face_crop(points @ turn.T + 200, confidence, "teaser", 224)
    assert teaser.side == pytest.approx(140) and np.degrees(teaser.roll) == pytest.approx(roll)
    np.testing.assert_allclose(teaser.centre, turn @ [0, 20 - 14] + 200)
    smirk = face_crop(points + 200, confidence, "smirk", 224)
    assert smirk.side == pytest.approx(1.4 * 70) and smirk.roll == 0
    np.testing.assert_allclose(smirk.centre, [200, 220])


def test_missing_weights_are_known_before_the_first_frame():
    with pytest.raises(AssetError, match="teaser weights are needed") as caught:
        FaceNetwork("teaser")
    assert caught.value.fix == "emosh models add teaser PATH.onnx" and caught.value.exit_code == 4
