"""Data that tests share: the embedded body and a motion made from known parameters."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in emosh_cli/main.py

from dataclasses import replace

import numpy as np
import pytest

from emosh_core.artifacts import KEYPOINTS, Motion, Shape, trust_of
from emosh_core.body.assets import load_body
from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics
from emosh_core.tracker import priors


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def make_shape():
    def make(betas_body=(), betas_head=()) -> Shape:
        body, head = np.zeros(32, np.float32), np.zeros(64, np.float32)
        body[: len(betas_body)], head[: len(betas_head)] = betas_body, betas_head
        return Shape(
            betas_body=body, betas_head=head, betas_body_std=np.ones(32, np.float32),
            betas_head_std=np.ones(64, np.float32), head_scale=1.0, hand_scale=1.0, body_model="embedded",
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def make_motion(body, make_shape):
    """Make a consistent motion of T frames: arms hanging, `pose` fields overridden by keyword."""

    def make(frames=3, size=(320, 400), shape=None, **pose) -> Motion:
        zeros = lambda *dims: np.zeros((frames, *dims), np.float32)  # noqa: E731
        points = sum(KEYPOINTS.values())
        fields = {
            "global_orient": zeros(3), "body_pose": np.tile(priors.body_mean().numpy(), (frames, 1, 1)),
            "left_hand_pose": zeros(15, 3), "right_hand_pose": zeros(15, 3), "jaw_pose": zeros(3),
            "eye_pose": zeros(2, 3), "expression": zeros(52), "transl": zeros(3) + np.float32([0, 0, -3.2]),
        }  # fmt: skip
        fields |= {k: np.asarray(v, np.float32) for k, v in pose.items()}
        always = np.ones(frames, bool)
        motion = Motion(
            **fields, joints=zeros(55, 3), eyelid=zeros(2), K=np.tile(default_intrinsics(*size), (frames, 1, 1)),
            w2c=np.repeat(CAMERA_AT_ORIGIN[None], frames, 0),
            keypoints2d=zeros(points, 2), confidence=zeros(points) + 1,
            face_valid=always, left_hand_valid=always, right_hand_valid=always, person_valid=always,
            trust=trust_of(*[always] * 4),
            reprojection_error=zeros(), time=np.arange(frames) / 30, shape=shape or make_shape(), fps=30.0,
            size=size, body_model="embedded",
        )  # fmt: skip
        posed = body.for_landmarks().with_shape_of(motion.shape).with_pose(pose_from_motion(motion))
        return replace(motion, joints=posed.joints.numpy())

    return make
