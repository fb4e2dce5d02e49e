"""GVHMR result files, and how any estimate takes the place of the closed-form start."""

import os
import pickle
import sys
import types
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
import roma
import torch
from disc_pictures import degrees
from scipy.spatial.transform import Rotation

from emosh_core import models
from emosh_core.artifacts import keypoint_slice
from emosh_core.body.joints import HEAD, JAW, WRISTS
from emosh_core.body.pose import zero_pose
from emosh_core.errors import ArtifactError, AssetError, ConfigError, MissingDependencyError
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics, project
from emosh_core.tracker import priors
from emosh_core.tracker.detectors import N_KEYPOINTS, Detections
from emosh_core.tracker.estimators.choose import choose_estimators
from emosh_core.tracker.estimators.gvhmr import PELVIS, GvhmrFile, GvhmrPackage
from emosh_core.tracker.estimators.names import parse_estimators, weights_of
from emosh_core.tracker.estimators.protocol import JAW_OPEN, Coarse, Start, deepen, merge, place

SIZE = (640, 480)
CAMERA = CAMERA_AT_ORIGIN[:3, :3].astype(float)


def motion(t: np.ndarray) -> dict[str, np.ndarray]:
    """Somebody who turns twice about the vertical in front of the camera and raises an arm, at times t [s]."""
    turn = Rotation.from_rotvec(t[:, None] * [0, 2, 0]) * Rotation.from_rotvec([0, 0, 0.2])
    pose = np.zeros((len(t), 21, 3))
    pose[:, 15, 2], pose[:, 3, 0] = 1.1 * t - 1, 0.4
    place = np.stack([0.3 * t - 0.4, 0.1 + 0 * t, 3 + 0.5 * t], -1)
    return {"global_orient": (Rotation.from_matrix(CAMERA) * turn).as_rotvec(), "body_pose": pose, "transl": place}


def write_result(path, t: np.ndarray, focal=700.0, size=SIZE):
    values = motion(t)
    K = np.tile(default_intrinsics(*size, focal), (len(t), 1, 1))
    values = {**values, "body_pose": values["body_pose"].reshape(len(t), 63), "betas": np.zeros((len(t), 10))}
    if path.suffix == ".npz":
        np.savez(path, fps=30.0, camera="static", intrinsics=K, **{f"camera_{k}": v for k, v in values.items()},
                 **{f"world_{k}": 0 * v for k, v in values.items()})  # fmt: skip
    else:
        tensors = {k: torch.from_numpy(v).float() for k, v in values.items()}
        wrong = {k: torch.zeros_like(v) for k, v in tensors.items()}
        torch.save({"smpl_params_incam": tensors, "smpl_params_global": wrong, "K_fullimg": torch.from_numpy(K)}, path)
    return path


def frames_at(fps: float, seconds: float = 3.2) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
@pytest.mark.parametrize("fps", [30.0, 25.0, 24.0, 60.0])
def test_a_result_at_30_fps_answers_for_any_clip(tmp_path, suffix, fps):
    """Turning faster than half a turn, so that axis-angles jump: interpolating their numbers would be far off."""
    path = write_result(tmp_path / f"dance{suffix}", frames_at(30))
    times = frames_at(fps) + 0.5  # a clip may begin at any time
    coarse = GvhmrFile(path, tmp_path / "dance.mp4", times).estimate(iter([]), None)
    inside = times - 0.5 <= 3.2 - 1 / 30  # later frames than its last one get its last one
    want = motion(times - 0.5)
    assert inside.sum() >= len(times) - 1 and coarse.body_known.all()
    assert degrees(coarse.root[inside], Rotation.from_rotvec(want["global_orient"]).as_matrix()[inside]) < 0.5
    got = Rotation.from_rotvec(coarse.body_pose[inside].reshape(-1, 3)).as_matrix()
    assert degrees(got, Rotation.from_rotvec(want["body_pose"][inside].reshape(-1, 3)).as_matrix()) < 0.5
    np.testing.assert_allclose(coarse.transl[inside], (want["transl"] + PELVIS)[inside], atol=1e-3)
    np.testing.assert_allclose(coarse.K, default_intrinsics(*SIZE, 700.0), atol=1e-3)


def test_variable_frame_rates_keep_their_times(tmp_path):
    path = write_result(tmp_path / "a.pt", frames_at(30))
    times = np.array([0, 0.1, 0.5, 0.52, 1.9, 2.0, 2.7])  # the last frame lasts half a second, as others on average
    coarse = GvhmrFile(path, tmp_path / "a.mp4", times).estimate(iter([]), None)
    assert degrees(coarse.root, Rotation.from_rotvec(motion(times)["global_orient"]).as_matrix()) < 0.5


def test_the_body_stands_in_the_picture_where_gvhmr_says(tmp_path, body):
    """Our body in the merged start, seen by our camera, against GVHMR's own formula R (v − J0) + J0 + t."""
    t = frames_at(30, 0.5)
    path = write_result(tmp_path / "a.pt", t)
    coarse = GvhmrFile(path, tmp_path / "a.mp4", t).estimate(iter([]), None)
    K = torch.from_numpy(default_intrinsics(*SIZE, 700.0))
    start = merge(coarse, zero_start(len(t)))
    shaped = body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64))
    rotmats = torch.eye(3).repeat(len(t), 55, 1, 1)
    rotmats[:, 0] = start.root
    to_world = torch.from_numpy(CAMERA_AT_ORIGIN[:3, :3])
    posed = shaped.with_rotmats(rotmats, torch.zeros(len(t), 52), place(coarse, K) @ to_world)
    got = project(posed.joints @ to_world, K).numpy()
    still = shaped.with_rotmats(torch.eye(3).repeat(1, 55, 1, 1), torch.zeros(1, 52), torch.zeros(1, 3))
    rest, want = still.joints[0].numpy(), motion(t)
    at = PELVIS + (rest - rest[0])  # an SMPL-X model whose pelvis is where theirs is
    turn = Rotation.from_rotvec(want["global_orient"]).as_matrix()
    moved = (at - PELVIS) @ turn.transpose(0, 2, 1) + (PELVIS + want["transl"])[:, None]
    assert np.linalg.norm(got - project(moved, K.double().numpy()), axis=-1).max() < 1


def test_another_focal_length_keeps_the_pixel_and_moves_the_depth(tmp_path):
    path = write_result(tmp_path / "a.pt", frames_at(30))
    coarse = GvhmrFile(path, tmp_path / "a.mp4", frames_at(30)).estimate(iter([]), None)
    theirs, ours = torch.from_numpy(coarse.K), torch.from_numpy(default_intrinsics(*SIZE, 1169.0))
    moved = place(coarse, ours)
    pixels = project(moved[:, None], ours), project(torch.from_numpy(coarse.transl)[:, None], theirs)
    assert (pixels[0] - pixels[1]).norm(dim=-1).max() < 1
    np.testing.assert_allclose(moved[:, 2], coarse.transl[:, 2] * 1.67, rtol=1e-4)


@pytest.mark.parametrize("where", ["dance/hmr4d_results.pt", "dance.pt", "dance.npz"])
def test_a_folder_of_results(tmp_path, where):
    (tmp_path / "out" / "dance").mkdir(parents=True)
    write_result(tmp_path / "out" / where, frames_at(30))
    assert GvhmrFile(tmp_path / "out", tmp_path / "dance.mp4", frames_at(30)).estimate(iter([]), None).body_known.all()
    with pytest.raises(ArtifactError, match=r"no GVHMR result for other\.mp4"):
        GvhmrFile(tmp_path / "out", tmp_path / "other.mp4", frames_at(30))


def test_another_clips_result_is_refused(tmp_path):
    path = write_result(tmp_path / "a.pt", frames_at(30))
    for times in (frames_at(30, 2.0), frames_at(25, 4.0)):
        with pytest.raises(ArtifactError, match="not of this clip") as caught:
            GvhmrFile(path, tmp_path / "a.mp4", times).estimate(iter([]), None)
        assert "96 frames" in caught.value.found


class Trap:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (self.file,)


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_code_in_a_result_is_not_run(tmp_path, suffix):
    trap, path = tmp_path / "sprung", tmp_path / f"bad{suffix}"
    if suffix == ".pt":
        torch.save({"smpl_params_incam": Trap(str(trap)), "K_fullimg": torch.eye(3)}, path)
    else:
        np.savez(path, camera_global_orient=np.array(Trap(str(trap)), dtype=object))
    with pytest.raises(ArtifactError, match="not a GVHMR result"):
        GvhmrFile(path, tmp_path / "a.mp4", frames_at(30))
    assert not trap.exists()
    if suffix == ".pt":
        torch.load(path, weights_only=False)
    else:
        np.load(path, allow_pickle=True)["camera_global_orient"]
    assert trap.exists(), "the trap is none"


@pytest.mark.parametrize("damage", ["text", "cut", "shape", "nan", "pickle"])
def test_damaged_results_are_refused(tmp_path, damage):
    path = write_result(tmp_path / "a.pt", frames_at(30))
    data = torch.load(path, weights_only=True)
    if damage == "text":
        path.write_text("no result")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps([1, 2], protocol=2))
    else:
        pose = data["smpl_params_incam"]["body_pose"]
        data["smpl_params_incam"]["body_pose"] = pose[:, :60] if damage == "shape" else pose * float("nan")
        torch.save(data, path)
    with pytest.raises(ArtifactError, match="not a GVHMR result"):
        GvhmrFile(path, tmp_path / "a.mp4", frames_at(30))


def test_the_package_needs_a_checkpoint_then_the_package(tmp_path):
    with pytest.raises(AssetError, match="gvhmr weights are needed") as caught:
        GvhmrPackage(tmp_path / "a.mp4", frames_at(30))
    assert caught.value.fix == "emosh models add gvhmr PATH.ckpt"
    (tmp_path / "gvhmr.ckpt").write_bytes(b"weights")
    models.add("gvhmr", tmp_path / "gvhmr.ckpt")
    with pytest.raises(MissingDependencyError, match="package gvhmr"):
        GvhmrPackage(tmp_path / "a.mp4", frames_at(30))


def test_the_package_is_asked_for_this_clip(tmp_path, monkeypatch):
    """A stand-in with the package's call and answer (1.6.1)."""
    calls = []

    class Found:
        smpl_params_camera = {k: torch.from_numpy(v) for k, v in motion(frames_at(30)).items()}  # noqa: RUF012
        intrinsics, fps = torch.from_numpy(np.tile(default_intrinsics(*SIZE, 640.0), (96, 1, 1))), 30.0

    package = types.ModuleType("gvhmr")
    package.__spec__ = ModuleSpec("gvhmr", None)
    package.recover = lambda video, **options: calls.append((video, options)) or Found
    monkeypatch.setitem(sys.modules, "gvhmr", package)
    (tmp_path / "gvhmr.ckpt").write_bytes(b"weights")
    models.add("gvhmr", tmp_path / "gvhmr.ckpt")
    times = frames_at(25)
    coarse = GvhmrPackage(tmp_path / "a.mp4", times, focal=640.0).estimate(iter([]), None)
    assert calls[0][0] == str(tmp_path / "a.mp4")
    assert calls[0][1]["ckpt_path"] == str(tmp_path / "gvhmr.ckpt") and calls[0][1]["f_px"] == 640.0
    want = Rotation.from_rotvec(motion(times)["global_orient"]).as_matrix()
    assert degrees(coarse.root[:-1], want[:-1]) < 0.5 and coarse.K[0, 0] == 640


def zero_start(frames: int) -> Start:
    zeros = torch.zeros(frames, 21, 3)
    return Start(root=torch.eye(3).repeat(frames, 1, 1), body_pose=priors.body_mean().repeat(frames, 1, 1),
                 left_hand_pose=zeros[:, :15], right_hand_pose=zeros[:, :15] + 0.1,
                 expression=torch.full((frames, 4), 0.5))  # fmt: skip


UNITS = ("browDownLeft", "eyeBlinkLeft", "eyeBlinkRight", "jawOpen")


@pytest.fixture
def everything():
    """An estimate of all parts in four frames; each part is known in all frames but one of its own."""
    rng = np.random.default_rng(5)
    turns = lambda *n: Rotation.random(int(np.prod(n)), random_state=rng.integers(99)).as_matrix().reshape(*n, 3, 3)  # noqa: E731
    but = lambda t: np.arange(4) != t  # noqa: E731
    fields = {"root": turns(4), "body_pose": rng.normal(0, 0.4, (4, 21, 3)), "transl": rng.normal(0, 1, (4, 3)),
              "head": turns(4), "jaw": np.tile([0.18, 0, 0], (4, 1)), "eyelid": np.tile([0.2, 0.7], (4, 1)),
              "expression": rng.normal(0, 1, (4, 50))}  # fmt: skip
    for side in WRISTS:
        fields |= {f"{side}_wrist": turns(4), f"{side}_hand_pose": rng.normal(0, 0.4, (4, 15, 3))}
    known = {"body_known": but(0), "left_hand_known": but(1), "right_hand_known": but(2), "face_known": but(3)}
    return Coarse(**{k: v.astype(np.float32) for k, v in fields.items()}, **known)


def world_rotations(start: Start, body) -> torch.Tensor:
    """(T, 55, 3, 3) by the body's own kinematics."""
    rest = torch.cat([start.body_pose, torch.zeros(4, 3, 3), start.left_hand_pose, start.right_hand_pose], 1)
    rotmats = torch.cat([start.root[:, None], roma.rotvec_to_rotmat(rest)], 1)
    return body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64)).place_joints(rotmats, torch.zeros(4, 3))[0]


def test_everything_known_replaces_the_start(everything, body):
    start = zero_start(4)
    before = {k: v.clone() for k, v in vars(start).items()}
    merged = merge(everything, start, UNITS)
    for name, value in before.items():
        assert torch.equal(getattr(start, name), value), f"{name} of the argument was changed"
    world = CAMERA @ everything.root
    known = everything.body_known
    assert degrees(merged.root.numpy()[known], world[known]) < 0.5
    assert torch.equal(merged.root[0], start.root[0])
    legs = [j - 1 for j in (1, 2, 4, 5, 7, 8)]
    np.testing.assert_allclose(merged.body_pose[1:, legs], everything.body_pose[1:, legs], atol=1e-6)
    np.testing.assert_allclose(merged.body_pose[0, legs], start.body_pose[0, legs])
    turned = world_rotations(merged, body).numpy()
    for joint, name, part in ((HEAD, "head", "face"), (WRISTS["left"], "left_wrist", "left_hand"),
                              (WRISTS["right"], "right_wrist", "right_hand")):  # fmt: skip
        known = getattr(everything, f"{part}_known")
        assert degrees(turned[known, joint], (CAMERA @ getattr(everything, name))[known]) < 0.5, name
        if part != "face":
            got, want, old = (getattr(value, f"{part}_pose") for value in (merged, everything, start))
            np.testing.assert_allclose(got[known], want[known])
            np.testing.assert_array_equal(got[~known], old[~known])
    np.testing.assert_allclose(merged.expression[:3], np.tile([0.5, 0.2, 0.7, 0.5], (3, 1)), atol=1e-6)
    assert (merged.expression[3] == 0.5).all()


def test_unknown_parts_leave_the_start_alone():
    start = zero_start(4)
    for name, value in vars(merge(Coarse(), start, UNITS)).items():
        assert torch.equal(value, getattr(start, name))


def test_jaw_opens_the_mouth_as_far_as_the_embedded_body_does(body):
    """jawOpen = 1 turns the chin by JAW_OPEN about the jaw joint."""
    pose = zero_pose(2)
    pose.expression[1, body.expression_names.index("jawOpen")] = 1
    posed = body.for_landmarks().with_shape(torch.zeros(32), torch.zeros(64)).with_pose(pose)
    lip = (posed.landmarks()[:, keypoint_slice("face").start + 17] - posed.joints[:, JAW])[:, 1:]
    angle = torch.atan2(lip[:, 0], lip[:, 1])
    assert angle[0] - angle[1] == pytest.approx(JAW_OPEN, abs=0.03)


def test_estimates_are_joined_part_by_part_and_kept_as_arrays(everything):
    hands = Coarse(left_hand_known=np.ones(4, bool), left_wrist=np.zeros((4, 3, 3), np.float32))
    joined = hands.over(everything)
    assert joined.left_wrist.sum() == 0 and joined.left_hand_pose is None  # one estimator speaks for a whole part
    assert joined.head is everything.head and joined.root is everything.root
    again = Coarse(**joined.arrays())
    assert again.arrays().keys() == joined.arrays().keys() and again.left_hand_pose is None


def test_choices_are_read_and_mistakes_named(tmp_path):
    assert parse_estimators("mediapipe") == {"detector": "mediapipe"}
    assert parse_estimators("dwpose, gvhmr,hamer,teaser") == {
        "detector": "dwpose", "body": "gvhmr", "hands": "hamer", "face": "teaser"}  # fmt: skip
    assert weights_of("dwpose,gvhmr,wilor") == ["dwpose-det", "dwpose-pose", "gvhmr", "wilor"]
    assert weights_of("gvhmr", gvhmr_results="results") == []
    # A still has no motion to read: the same choice serves clip and reference.
    assert parse_estimators("gvhmr,hamer", tmp_path / "a.jpg") == {"detector": "mediapipe", "hands": "hamer"}
    assert "body" in parse_estimators("gvhmr,hamer", tmp_path / "a.mp4")
    assert not choose_estimators("gvhmr", tmp_path / "a.png", focal=0, gvhmr_results="none")
    for wrong, word in (("hammer", "no estimator 'hammer'"), ("hamer,wilor", "two estimators for one hands")):
        with pytest.raises(ConfigError, match=word):
            parse_estimators(wrong)
    with pytest.raises(AssetError, match="smirk weights"):
        choose_estimators("smirk", tmp_path / "a.mp4", focal=0, gvhmr_results="")
    assert not choose_estimators("mediapipe", tmp_path / "a.mp4", focal=0, gvhmr_results="")


def test_the_chosen_estimators_are_asked_in_turn(tmp_path):
    path = write_result(tmp_path / "a.pt", frames_at(30))
    chosen = choose_estimators("gvhmr", tmp_path / "a.mp4", focal=0, gvhmr_results=str(path))
    coarse = chosen.estimate(lambda: iter([]), None, frames_at(30))
    assert chosen and coarse.body_known.all() and coarse.head is None


def test_hands_get_the_depth_of_the_estimates_points():
    """In the scale of x, behind the wrist, as detectors give it: at 2 m and 700 px a centimetre is 3.5 px."""
    points = np.zeros((2, 21, 3), np.float32)
    points[..., 2], points[1, 8, 2] = 2.0, 2.01
    coarse = Coarse(left_hand_known=np.array([False, True]), left_hand_points=points)
    flat = np.full((2, N_KEYPOINTS), 7, np.float32)
    seen = Detections(np.zeros((2, N_KEYPOINTS, 2)), flat, flat, np.zeros((2, 33, 3)), np.ones(2))
    deep = deepen(seen, coarse, default_intrinsics(*SIZE, 700.0)).depth
    hand = keypoint_slice("left_hand")
    want = np.zeros(21)
    want[8] = 3.5
    np.testing.assert_allclose(deep[1, hand], want, atol=1e-3)
    deep[1, hand] = 7
    assert (deep == 7).all() and (flat == 7).all()
