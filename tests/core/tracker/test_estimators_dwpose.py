"""DWPose through rtmlib by planted networks: person box, cut-out, response, order of points, two detectors."""

import numpy as np
import pytest
import torch
from disc_pictures import degrees, picture
from onnx_networks import people_from_picture, points_from_picture
from scipy.spatial.transform import Rotation

from emosh_core import models
from emosh_core.artifacts import keypoint_slice
from emosh_core.body.pose import zero_pose
from emosh_core.errors import AssetError, MissingDependencyError
from emosh_core.geometry.camera import default_intrinsics, project
from emosh_core.tracker.detectors import N_KEYPOINTS, Detections
from emosh_core.tracker.estimators import dwpose
from emosh_core.tracker.estimators.dwpose import DwposeDetector, wholebody_order
from emosh_core.tracker.initialize import CAM_TO_WORLD, head_orientation

rtmlib = pytest.importorskip("rtmlib", reason="pip install --no-deps rtmlib")

SIZE = (400, 320)
RATIO = 640 / SIZE[0]  # YOLOX sees the picture enlarged to 640 px
PERSON = (120.0, 190.0)  # [px of the picture]
ZOOM = 1.25 * PERSON[1] / 384  # picture over pose network: the box is 1.25 times as high as the person
CENTRE = np.array([211.4, 147.7])


@pytest.fixture
def offsets():
    """Where each of the 133 points is seen from the disc [px of the pose network]."""
    return np.random.default_rng(1).uniform(-60, 60, (133, 2)).round(1)


@pytest.fixture
def scores():
    values = np.full(133, 0.9)
    values[[7, 95, 40]] = 0.1  # left elbow, a finger, a point of the face
    return values


@pytest.fixture
def weights(tmp_path, offsets, scores):
    couch = (300.0, 250.0, 550.0, 500.0)  # larger than the person, and no person
    size = tuple(RATIO * v for v in PERSON)
    models.add("dwpose-det", people_from_picture(tmp_path / "det.onnx", size, couch=couch))
    models.add("dwpose-pose", points_from_picture(tmp_path / "pose.onnx", offsets, scores))


def frame(at=CENTRE) -> np.ndarray:
    return picture({(255, 0, 0): tuple(at)}, SIZE)


def empty(frames: int) -> Detections:
    sure = np.zeros((frames, N_KEYPOINTS), np.float32)
    flat, none = np.zeros((frames, 33, 3), np.float32), np.zeros(frames, np.float32)
    return Detections(np.zeros((frames, N_KEYPOINTS, 2), np.float32), sure.copy(), sure, flat, none)


class Other:
    """A detector that answers with what it was given, and counts the pictures."""

    name = "other"

    def __init__(self, answer):
        self.answer, self.seen = answer, 0

    def detect(self, frames):
        self.seen = len(list(frames))
        return self.answer


def test_points_come_back_to_their_pixels(weights, offsets, scores, capsys):
    moved = CENTRE + np.array([31.5, -22.25])
    seen = DwposeDetector(None).detect(iter([frame(), frame(moved)]))
    source, place = wholebody_order()
    known = scores[source] > 0.3
    for t, centre in enumerate((CENTRE, moved)):
        want = centre + offsets[source] * ZOOM
        away = np.linalg.norm(seen.keypoints2d[t, place] - want, axis=-1)
        assert away[known].max() < 1, away[known].max()
        np.testing.assert_allclose(seen.confidence[t, place[known]], 0.9, atol=0.02)
        weak = place[~known]
        assert (seen.confidence[t, weak] == 0).all() and (seen.keypoints2d[t, weak] == 0).all()
    assert (seen.depth == 0).all() and (seen.silhouette == 1).all()
    assert capsys.readouterr().out == ""  # rtmlib would print; --json promises one object and nothing else


def test_every_point_has_its_own_place():
    source, place = wholebody_order()
    assert len(set(place)) == len(place) == 21 + 51 + 42 and len(set(source)) == len(source)
    where = dict(zip(source.tolist(), place.tolist(), strict=True))
    left, right, face = (keypoint_slice(part).start for part in ("left_hand", "right_hand", "face"))
    # Left and right as MediaPipe counts them: shoulders, wrists, ankles, heels, big toes.
    assert [where[i] for i in (5, 6, 9, 10, 15, 16, 19, 22, 17, 20)] == [11, 12, 15, 16, 27, 28, 29, 30, 31, 32]
    assert (where[91], where[111], where[112], where[132]) == (left, left + 20, right, right + 20)
    # The nose's tip, the outer corners of the subject's right and left eye and mouth.
    assert [where[23 + i] - face for i in (30, 36, 45, 48, 54)] == [4, 33, 263, 61, 291]


def test_face_points_are_where_the_embedded_face_has_them(body):
    """iBUG's order on our own mesh: brows above eyes above nose above mouth, each running from right to left."""
    rest = body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64)).with_pose(zero_pose(1))
    points = rest.landmarks()[0, keypoint_slice("face")][list(dwpose.FACE_51)].numpy()
    rows = {"brows": slice(0, 10), "eyes": slice(19, 31), "nostrils": slice(14, 19), "mouth": slice(31, 51)}
    heights = [points[row, 1].mean() for row in rows.values()]
    assert heights == sorted(heights, reverse=True)
    for row in (slice(0, 10), slice(14, 19), slice(31, 38), slice(43, 48)):  # x grows to the subject's left
        assert (np.diff(points[row, 0]) > 0).all(), points[row, 0]
    assert (np.diff(points[10:14, 1]) < 0).all()  # down the bridge of the nose


def test_the_head_is_turned_by_the_few_face_points_of_dwpose(body):
    """The 427 points of the face that DWPose does not give are said to be in the corner; they must not count."""
    rest = body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64)).with_pose(zero_pose(1))
    face = rest.landmarks()[0, keypoint_slice("face")]
    turn = torch.from_numpy(Rotation.from_euler("yx", [25, 10], degrees=True).as_matrix()).float()
    seen, K = empty(1), torch.from_numpy(default_intrinsics(*SIZE))
    ids = keypoint_slice("face").start + np.array(dwpose.FACE_51)
    points = ((face - face.mean(0)) @ turn.T + torch.tensor([0.1, 0.05, -1.0])) @ CAM_TO_WORLD
    seen.keypoints2d[0, ids] = project(points, K)[list(dwpose.FACE_51)]
    seen.confidence[0, ids] = 0.8
    head, found = head_orientation(seen, face, K)
    assert found[0] and degrees(head.numpy(), turn[None].numpy()) < 0.5
    far = points + torch.tensor([0.0, 0.0, 60.0])  # a face of a few pixels tells no direction, and breaks nothing
    tiny = Detections(**vars(seen) | {"keypoints2d": seen.keypoints2d.copy()})
    tiny.keypoints2d[0, ids] = project(far, K)[list(dwpose.FACE_51)]
    assert np.ptp(tiny.keypoints2d[0, ids, 0]) < 4 and not head_orientation(tiny, face, K)[1][0]
    seen.confidence[0, ids[8:]] = 0.2
    assert not head_orientation(seen, face, K)[1][0]


def test_nobody_is_nothing(weights):
    detector = DwposeDetector(None)
    detector._find = lambda image: (np.array([[0.0, 0, 100, 100]]), np.array([57]))  # a couch
    nobody = detector.detect(iter([frame()]))
    assert nobody.silhouette[0] == 0
    assert (nobody.confidence == 0).all() and (nobody.keypoints2d == 0).all() and (nobody.body3d == 0).all()


def other_answer(offsets, shift=0.0) -> Detections:
    """MediaPipe sees body and face where they are (give or take `shift`), and no hands."""
    answer = empty(1)
    source, place = wholebody_order()
    answer.keypoints2d[0, place] = CENTRE + offsets[source] * ZOOM + 3 + shift
    body, face = keypoint_slice("body"), keypoint_slice("face")
    answer.confidence[0, body], answer.confidence[0, face] = 0.8, 0.9
    answer.body3d[:], answer.silhouette[:], answer.depth[0, face] = 0.5, 0.7, 5
    return answer


def test_each_detector_answers_for_what_it_does_better(weights, offsets):
    other = Other(other_answer(offsets))
    seen = DwposeDetector(other).detect(iter([frame()]))
    source, place = wholebody_order()
    want = np.zeros((N_KEYPOINTS, 2))
    want[place] = CENTRE + offsets[source] * ZOOM
    for part in (np.array([11, 12, 15, 27]), np.arange(33, 54), np.arange(54, 75)):
        part = part[part != 33 + 4]  # the finger that DWPose did not see
        assert np.linalg.norm(seen.keypoints2d[0, part] - want[part], axis=-1).max() < 1
    theirs = [13, *range(75, 553)]  # the elbow that DWPose did not see, and the face
    np.testing.assert_array_equal(seen.keypoints2d[0, theirs], other.answer.keypoints2d[0, theirs])
    assert (seen.body3d == 0.5).all() and seen.depth[0, 100] == 5 and other.seen == 1
    assert seen.silhouette[0] == pytest.approx(0.7)


def test_two_people_are_not_mixed(weights, offsets):
    other = Other(other_answer(offsets, shift=150.0))
    seen = DwposeDetector(other).detect(iter([frame()]))
    for name in ("keypoints2d", "confidence", "depth", "body3d"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(other.answer, name))


def test_a_frame_that_the_other_misses_is_a_flat_skeleton(weights, offsets):
    seen = DwposeDetector(Other(empty(1))).detect(iter([frame()]))
    at, flat = seen.keypoints2d[0], seen.body3d[0]
    assert seen.silhouette[0] == 1 and (flat[:, 2] == 0).all()
    bone, pixels = flat[16] - flat[14], at[16] - at[14]
    assert np.degrees(np.arccos(bone[:2] @ pixels / np.linalg.norm(bone) / np.linalg.norm(pixels))) < 0.5
    trunk, shoulders = np.linalg.norm(flat[[11, 12]].mean(0)), np.linalg.norm(flat[11] - flat[12])
    assert np.isfinite(flat).all() and max(trunk / 0.5, shoulders / 0.36) == pytest.approx(1)


def test_missing_weights_are_known_before_the_first_frame(tmp_path, offsets, scores):
    with pytest.raises(AssetError, match="dwpose-det weights are needed") as caught:
        DwposeDetector(None)
    assert caught.value.fix == "emosh models add dwpose-det PATH.onnx" and caught.value.exit_code == 4
    models.add("dwpose-det", people_from_picture(tmp_path / "det.onnx", (9, 9), couch=(9, 9, 9, 9)))
    with pytest.raises(AssetError, match="dwpose-pose weights are needed"):
        DwposeDetector(None)


def test_a_missing_package_is_named_with_the_way_to_install_it(weights, monkeypatch):
    found = dwpose.importlib.util.find_spec
    monkeypatch.setattr(dwpose.importlib.util, "find_spec", lambda name: None if name == "rtmlib" else found(name))
    with pytest.raises(MissingDependencyError, match="DWPose needs rtmlib") as caught:
        DwposeDetector(None)
    assert "--no-deps rtmlib" in caught.value.fix and caught.value.exit_code == 6
