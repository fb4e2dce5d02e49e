"""SMPL-X with FLAME's head in the tracker, on made-up files of the real structure."""

import numpy as np
import pytest
import roma
import torch

from emosh_core.artifacts import keypoint_slice
from emosh_core.body.pose import pose_from_motion, zero_pose
from emosh_core.body.smplx import read_smplx
from emosh_core.geometry.camera import default_intrinsics, project
from emosh_core.settings import TrackConfig
from emosh_core.tracker import priors
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.estimators.protocol import JAW_OPEN
from emosh_core.tracker.fit_model import JAW_AT, fit_model
from emosh_core.tracker.initialize import CAM_TO_WORLD
from emosh_core.tracker.track import track
from emosh_core.video_io import VideoWriter

FRAMES, SIZE = 10, (320, 400)


@pytest.fixture(scope="module")
def model(licensed):
    return read_smplx(licensed)


def test_the_stand_in_is_the_model_where_no_joint_is_bent(model):
    fit = fit_model(model)
    betas = torch.randn(32, generator=torch.Generator().manual_seed(0)), torch.randn(64) * 0.5
    shaped, wanted = fit.linear.with_shape(*betas), model.with_shape(*betas)
    torch.testing.assert_close(shaped.rest_verts[: len(model.template)], wanted.rest_verts, atol=2e-5, rtol=0)
    torch.testing.assert_close(shaped.rest_joints, wanted.rest_joints, atol=2e-5, rtol=0)
    turn = roma.rotvec_to_rotmat(torch.tensor([[0.2, 0.5, -0.1]]))
    rotmats = torch.eye(3).repeat(1, 55, 1, 1)
    rotmats[:, 0] = turn
    names = fit.linear.expression_names
    amounts = torch.zeros(1, len(names))
    amounts[0, :5] = torch.tensor([1.0, -0.5, 0.3, 0.8, -1.0])
    amounts[0, names.index("eyeBlinkLeft")] = 1
    amounts[0, names.index("jawOpen")] = JAW_AT / JAW_OPEN
    got = shaped.with_rotmats(rotmats, amounts, torch.tensor([[0.1, 0.2, -3.0]]))
    with_jaw = rotmats.clone()
    with_jaw[:, 22] = roma.rotvec_to_rotmat(torch.tensor([[JAW_AT, 0.0, 0.0]]))
    real = wanted.with_rotmats(with_jaw, amounts[:, :50], torch.tensor([[0.1, 0.2, -3.0]]), torch.tensor([[1.0, 0.0]]))
    # Expression and jaw add up instead of acting one after the other, hence not to the last digit.
    off = (got.landmarks() - real.landmarks()).norm(dim=-1)[:, fit.present]
    assert float(off.max()) < 2e-3 and float(off.median()) < 1e-5
    torch.testing.assert_close(got.joints[:, :22], real.joints[:, :22], atol=2e-5, rtol=0)


def test_the_tracker_fits_it(model, tmp_path):
    fit, pose, s = fit_model(model), zero_pose(FRAMES), torch.linspace(0, 1, FRAMES)
    pose.body_pose[:] = priors.body_mean()
    pose.body_pose[:, priors.BODY_JOINTS.index("left_shoulder"), 2] += 0.9 * s
    pose.body_pose[:, priors.BODY_JOINTS.index("right_elbow"), 1] = 1.0 * s
    pose.transl[:] = torch.tensor([0.1, 0.0, -3.4])
    rotmats = pose.rotmats()
    rotmats[:, 22] = roma.rotvec_to_rotmat(torch.stack([0.3 * s, 0 * s, 0 * s], -1))
    shaped = model.for_landmarks().with_shape(torch.tensor([0.5, -0.4]), torch.tensor([0.3]))
    truth = shaped.with_rotmats(rotmats, torch.zeros(FRAMES, 50), pose.transl)
    K = torch.from_numpy(default_intrinsics(*SIZE))
    points = truth.landmarks() @ CAM_TO_WORLD
    body, depth = points[:, :33], torch.zeros(points.shape[:2])
    for part in ("left_hand", "right_hand", "face"):
        rows = keypoint_slice(part)
        depth[:, rows] = (points[:, rows, 2] - points[:, rows, 2][:, :1]) * float(K[0, 0]) / 3.4
    confidence = np.ones(points.shape[:2], np.float32)
    seen = Detections(
        project(points, K).numpy(), depth.numpy(), confidence, (body - body[:, [23, 24]].mean(1, keepdim=True)).numpy(),
        np.ones(FRAMES, np.float32),
    )  # fmt: skip
    clip = tmp_path / "blank.mp4"
    with VideoWriter(clip, 30, SIZE) as video:
        for _ in range(FRAMES):
            video.write(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))

    class Planted:
        name = "planted"

        def detect(self, frames):
            return seen

    motion = track(clip, model, TrackConfig(), detector=Planted())
    assert motion.body_model == "smplx" and motion.expression.shape == (FRAMES, 50)
    assert motion.shape.betas_body.shape == (32,) and motion.shape.betas_head.shape == (64,)
    assert np.nanmedian(motion.reprojection_error) < 3
    again = model.for_landmarks().with_shape_of(motion.shape).with_pose(pose_from_motion(motion))
    np.testing.assert_allclose(motion.joints, again.joints.numpy(), atol=1e-4)
    assert (again.joints[:, :22] - truth.joints[:, :22]).norm(dim=-1).median() < 0.06
    opened = motion.jaw_pose[:, 0]
    assert np.isfinite(opened).all() and fit.present.sum() == 75 + 105
