"""The tracker on planted detections (exact truth), its gates and its loss terms."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.pose import zero_pose
from emosh_core.errors import ArtifactError
from emosh_core.geometry.camera import default_intrinsics, project
from emosh_core.tracker import losses, priors
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.estimators.protocol import Coarse
from emosh_core.tracker.initialize import CAM_TO_WORLD, fill_rotation_gaps, solve_translation
from emosh_core.tracker.sides import mend_sides
from emosh_core.tracker.track import TrackConfig, track
from emosh_core.video_io import VideoWriter

SIZE = (320, 400)
FRAMES = 12


def person(body, transl):
    """Pose somebody of unusual shape who raises the arms, turns a little, bends a knee and smiles."""
    pose = person_pose(body, transl)
    betas = torch.zeros(32), torch.zeros(64)
    betas[0][:3] = torch.tensor([1.5, -1.0, 0.8])
    return body.for_landmarks().with_shape(*betas).with_pose(pose)


def person_pose(body, transl=(0.0, 0.0, 0.0)):
    pose = zero_pose(FRAMES)
    s = torch.linspace(0, 1, FRAMES)
    names = priors.BODY_JOINTS
    pose.body_pose[:] = priors.body_mean()
    pose.body_pose[:, names.index("left_shoulder"), 2] += 1.2 * s
    pose.body_pose[:, names.index("right_elbow"), 1] = 1.3 * s
    pose.body_pose[:, names.index("left_knee"), 0] = 0.8 * s
    pose.body_pose[:, names.index("left_hip"), 0] = -0.7 * s
    pose.global_orient[:, 1] = 0.5 * s - 0.2
    for side in ("Left", "Right"):
        pose.expression[:, body.expression_names.index(f"mouthSmile{side}")] = 0.8 * s
    pose.transl[:] = torch.tensor(transl)
    return pose


def see(posed):
    """Detect exactly what is there; points outside the picture are not seen."""
    K = torch.from_numpy(default_intrinsics(*SIZE))
    points = posed.landmarks() @ CAM_TO_WORLD
    pixels = project(points, K)
    scale = K[0, 0] / points[:, keypoint_slice("body"), 2].mean()
    depth = torch.zeros(points.shape[:2])
    for part in ("left_hand", "right_hand", "face"):
        s = keypoint_slice(part)
        depth[:, s] = (points[:, s, 2] - points[:, s, 2][:, :1]) * scale
    body3d = points[:, keypoint_slice("body")]
    hips = body3d[:, [23, 24]].mean(1, keepdim=True)
    inside = ((pixels > 0) & (pixels < torch.tensor(SIZE))).all(-1)
    confidence = inside.float().numpy()
    return Detections(
        pixels.numpy(), depth.numpy(), confidence, (body3d - hips).numpy(), np.ones(FRAMES, np.float32)
    )


@pytest.fixture(scope="module")
def truth(body):
    return person(body, transl=(0.1, 0.0, -3.2))


@pytest.fixture(scope="module")
def planted(truth):
    """The truth, exactly; but in the second frame nobody is seen."""
    detections = see(truth)
    for values in (detections.confidence, detections.silhouette, detections.keypoints2d):
        values[1] = 0
    return detections


class Planted:
    name = "planted"

    def __init__(self, detections):
        self.detections, self.calls = detections, 0

    def detect(self, frames):
        assert len(list(frames)) == FRAMES
        self.calls += 1
        return self.detections


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "blank.mp4"
    with VideoWriter(path, 30, SIZE) as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return path


@pytest.fixture(scope="module")
def motion(clip, body, planted):
    return track(clip, body, TrackConfig(), detector=Planted(planted))


def aligned_error(got, want):
    """Joint distances [m] after the best similarity: one camera cannot tell a giant far off from a child nearby."""
    rotation, place, scale = roma.rigid_points_registration(got, want, compute_scaling=True)
    moved = scale[:, None, None] * got @ rotation.mT + place[:, None]
    return (moved - want).norm(dim=-1).numpy()


def test_planted_motion_is_recovered(motion, truth):
    seen = motion.person_valid
    assert seen.tolist() == [i != 1 for i in range(FRAMES)]
    assert np.nanmedian(motion.reprojection_error) < 1.0
    error = aligned_error(torch.from_numpy(motion.joints[:, :22]), truth.joints[:, :22])[seen]
    assert np.median(error) < 0.03 and np.quantile(error, 0.95) < 0.1, (np.median(error), np.quantile(error, 0.95))


def test_every_frame_gets_an_output_and_gaps_are_bridged(motion, truth):
    assert len(motion.joints) == FRAMES and np.isfinite(motion.joints).all()
    assert np.isnan(motion.reprojection_error[1]) and not motion.person_valid[1]
    # The missing frame lies between its neighbours: nobody jumps.
    middle = (motion.joints[0] + motion.joints[2]) / 2
    assert np.linalg.norm(motion.joints[1] - middle, axis=-1).max() < 0.05


def test_what_nobody_sees_follows_a_coarse_estimate(clip, body, planted, truth, monkeypatch):
    """Legs out of sight keep the pose that an estimator gave them, and rest without one."""
    from emosh_core.tracker import track as pipeline

    blind = Detections(*(v.copy() for v in vars(planted).values()))
    for values in (blind.confidence, blind.keypoints2d, blind.body3d):
        values[:, 23:33] = 0
    everywhere = np.ones(FRAMES, bool)

    class Estimator:
        def estimate(self, frames, seen, times):
            root = CAM_TO_WORLD.numpy() @ truth.rotmats[:, 0].numpy()
            pose = roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(person_pose(body).body_pose)).numpy()
            return Coarse(body_known=everywhere, root=root, body_pose=pose, transl=np.zeros((FRAMES, 3), np.float32))

    knee = priors.BODY_JOINTS.index("left_knee")
    without = track(clip, body, TrackConfig(), detector=Planted(blind))
    monkeypatch.setattr(pipeline, "choose_estimators", lambda *args, **kwargs: Estimator())
    given = track(clip, body, TrackConfig(), detector=Planted(blind))
    assert abs(without.body_pose[-1, knee, 0]) < 0.2 and given.body_pose[-1, knee, 0] == pytest.approx(0.8, abs=0.1)
    assert np.nanmedian(given.reprojection_error) < 2


def test_smile_is_read_from_a_close_face(clip, body):
    close = person(body, transl=(0.0, -0.55, -0.7))
    motion = track(clip, body, TrackConfig(), detector=Planted(see(close)))
    left, right = (motion.expression[:, body.expression_names.index(f"mouthSmile{s}")] for s in ("Left", "Right"))
    assert left[-1] > 0.3 > left[0] + 0.1 and right[-1] > 0.3


def test_shape_is_surer_than_the_prior_where_it_was_seen(motion):
    assert motion.shape.betas_body_std.min() < 0.3 and motion.shape.betas_body_std.max() <= 1.0 + 1e-5


def test_interrupted_tracking_resumes_to_the_same_bits(clip, body, planted, motion, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done > 0.8 * total:
            raise Stop

    with pytest.raises(Stop):
        track(clip, body, TrackConfig(), detector=Planted(planted), scratch=tmp_path, progress=stop)
    detector = Planted(planted)
    resumed = track(clip, body, TrackConfig(), detector=detector, scratch=tmp_path)
    assert detector.calls == 0
    for name in ("joints", "expression", "body_pose", "transl"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(motion, name))


def test_nobody_in_the_clip_is_an_error_that_names_the_frames(clip, body, planted):
    empty = Detections(*(np.zeros_like(v) for v in vars(planted).values()))
    with pytest.raises(ArtifactError, match="no person") as caught:
        track(Path(clip), body, TrackConfig(), detector=Planted(empty))
    assert f"0–{FRAMES - 1}" in caught.value.found


def test_left_and_right_are_mended(truth):
    """Frames 3 to 5 and 8 swapped; the face tells in the first, its neighbour in the others."""
    good = see(truth)
    bad = Detections(*(v.copy() for v in vars(good).values()))
    left, right = keypoint_slice("left_hand"), keypoint_slice("right_hand")
    pairs = [(1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((i, i + 1) for i in range(11, 33, 2))]
    pairs += zip(range(left.start, left.stop), range(right.start, right.stop), strict=True)
    for t in (3, 4, 5, 8):  # a front taken for a back: sides changed, depth inside out
        for a, b in pairs:
            for name in ("keypoints2d", "depth", "confidence"):
                getattr(bad, name)[t, [a, b]] = getattr(good, name)[t, [b, a]]
            if b < 33:
                bad.body3d[t, [a, b]] = good.body3d[t, [b, a]]
        bad.body3d[t, :, 2] *= -1
    assert not np.allclose(bad.keypoints2d, good.keypoints2d)
    facing = ~np.isin(np.arange(FRAMES), [0, 4, 5, 8, 9])
    mended = mend_sides(bad, facing)
    for name in ("keypoints2d", "depth", "body3d"):
        np.testing.assert_array_equal(getattr(mended, name), getattr(good, name))
    # The frames around a mistake are doubted, the face in them is not.
    assert (mended.confidence[6, 11:33] == 0.2).all() and (mended.confidence[:, keypoint_slice("face")] == 1).all()
    for got, want in zip(vars(mend_sides(good, facing)).values(), vars(good).values(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_keypoint_loss_by_hand():
    projected, observed = torch.tensor([[[10.0, 0.0]]]), torch.tensor([[[0.0, 0.0]]])
    args = torch.ones(1, 1), torch.tensor([100.0]), torch.tensor([0.05]), torch.tensor([1.5])
    r2 = 10**2 / ((100 * 0.05) ** 2 + 1.5**2)
    want = r2 / (1 + r2 / losses.OUTLIER**2)
    assert losses.keypoint_loss(projected, observed, *args).item() == pytest.approx(want)
    assert losses.keypoint_loss(projected, observed, 0 * args[0], *args[1:]).item() == 0


def test_constant_speed_is_smooth_and_rate_does_not_matter():
    t, weight = torch.arange(20.0)[:, None, None], torch.ones(18, 1)
    assert losses.smoothness_loss(3 * t + 1, 0.1, 1.0, weight).item() == pytest.approx(0, abs=1e-6)
    slow, fast = torch.sin(t / 5), torch.sin(torch.arange(40.0)[:, None, None] / 10)
    at30 = losses.smoothness_loss(slow, 0.1, 1.0, weight)
    at60 = losses.smoothness_loss(fast, 0.1, 2.0, torch.ones(38, 1))
    assert at60.item() / 2 == pytest.approx(at30.item(), rel=0.1)  # twice as many frames


def test_limits_are_mirrored():
    low, high = priors.body_limits()
    left, right = priors.BODY_JOINTS.index("left_elbow"), priors.BODY_JOINTS.index("right_elbow")
    assert low[left, 1] == -high[right, 1] and high[left, 1] == -low[right, 1]
    assert ((priors.body_mean() >= low) & (priors.body_mean() <= high)).all()


def test_translation_is_solved_exactly():
    K = torch.from_numpy(default_intrinsics(640, 480))
    points, place = torch.randn(3, 9, 3) * 0.3, torch.tensor([[0.2, -0.1, 3.0], [0.0, 0.5, 2.0], [-1.0, 0.0, 6.0]])
    pixels = project(points + place[:, None], K)
    torch.testing.assert_close(solve_translation(points, pixels, torch.ones(3, 9), K), place, atol=1e-3, rtol=1e-3)
    assert solve_translation(points, pixels, torch.zeros(3, 9), K).isnan().all()


def test_rotation_gaps_take_the_short_way():
    angles = torch.tensor([0.0, 9.0, 9.0, 0.6])
    rotations = roma.rotvec_to_rotmat(torch.stack([0 * angles, angles, 0 * angles], -1))
    filled = fill_rotation_gaps(rotations, torch.tensor([True, False, False, True]))
    assert roma.rotmat_to_rotvec(filled)[:, 1].tolist() == pytest.approx([0, 0.2, 0.4, 0.6], abs=2e-3)


def test_keypoint_layout_is_contiguous():
    stops = [keypoint_slice(part).stop for part in KEYPOINTS]
    starts = [keypoint_slice(part).start for part in KEYPOINTS]
    assert starts == [0, *stops[:-1]] and stops[-1] == 553
