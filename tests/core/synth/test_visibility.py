"""What a camera sees of joints and landmarks: planted occluders, views from behind, points outside the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from emosh_kernels.rasterize import rasterize
from emosh_kernels.skin import bind
from figures import bare_figure

from emosh_core.artifacts import keypoint_slice
from emosh_core.body.joints import HANDS, JOINT_NAMES
from emosh_core.body.pose import zero_pose
from emosh_core.geometry.camera import to_camera
from emosh_core.synth.draw import OVERSAMPLE, Drawn
from emosh_core.synth.visibility import points_of, visible

SIZE = 256
JOINTS = len(JOINT_NAMES)


def camera(yaw: float = 0.0, focal: float = 300.0, distance: float = 2.6):
    """Look at the origin from a distance, from the front turned by yaw."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = torch.tensor([[c, 0, -s], [0, -1, 0], [-s, 0, -c]], dtype=torch.float32)
    w2c = torch.eye(4)[None].clone()
    w2c[0, :3, :3], w2c[0, 2, 3] = turn, distance
    return torch.tensor([[[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]]]), w2c


def seen(figure, K, w2c, pose=None) -> torch.Tensor:
    """Return which of joints and landmarks (55 + 553,) are seen."""
    verts, _, body = figure.pose(pose or zero_pose())
    into = torch.tensor([[OVERSAMPLE, 0, 0], [0, OVERSAMPLE, 0], [0, 0, 1.0]])
    solid = rasterize(to_camera(verts, w2c), figure.parts[0].faces, into @ K, (SIZE * OVERSAMPLE,) * 2)
    blank = torch.zeros(1, SIZE, SIZE, 3)
    points = to_camera(torch.cat([body.joints, body.landmarks()], 1), w2c)
    return visible(points_of(figure), points, K, Drawn(blank, blank[..., 0], solid, (0, 0)))[0]


def part(visible_: torch.Tensor, name: str) -> torch.Tensor:
    return visible_[JOINTS:][keypoint_slice(name)]


def test_from_the_front_nearly_everything_is_seen(body):
    found = seen(bare_figure(body), *camera())
    assert part(found, "face").float().mean() > 0.85
    assert found[:22].float().mean() > 0.95, [JOINT_NAMES[j] for j in range(22) if not found[j]]
    for side in ("left", "right"):  # a flat hand, palm down: the index finger hides the others
        assert 0.4 < part(found, f"{side}_hand").float().mean() < 0.8


def test_from_behind_the_face_is_hidden_and_the_body_is_not(body):
    found = seen(bare_figure(body), *camera(np.pi))
    assert part(found, "face").float().mean() < 0.05
    assert found[:22].float().mean() > 0.8


def test_in_profile_half_of_the_face_and_one_shoulder_are_seen(body):
    pose = zero_pose()
    pose.body_pose[:, 15, 2], pose.body_pose[:, 16, 2] = -1.3, 1.3  # arms down
    found = seen(bare_figure(body), *camera(np.pi / 2), pose)
    assert 0.25 < part(found, "face").float().mean() < 0.75
    left, right = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")
    assert found[left] and not found[right]


def test_a_foreign_thing_close_before_a_joint_hides_it_however_close(body):
    figure = bare_figure(body)
    at = figure.shaped.rest_joints[0] + torch.tensor([0.0, 0.0, 0.2])  # nearer than the trunk is thick
    corners = at + 0.08 * torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    weights = torch.zeros(4, 55)
    weights[:, JOINT_NAMES.index("head")] = 1
    count = len(figure.rest_verts)
    faces = torch.cat([figure.parts[0].faces, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32) + count])
    covered = replace(
        figure, rest_verts=torch.cat([figure.rest_verts, corners]), parts=(replace(figure.parts[0], faces=faces),),
        binding=bind(torch.cat([figure.binding.lbs_weights, weights])),
    )  # fmt: skip
    assert seen(figure, *camera())[0] and not seen(covered, *camera())[0]


def test_a_board_in_front_hides_what_is_behind_it_and_nothing_else(body):
    figure = bare_figure(body)
    head = figure.shaped.rest_joints[15]
    board = head + torch.tensor([[-0.2, -0.15, 0.4], [0.2, -0.15, 0.4], [0.2, 0.3, 0.4], [-0.2, 0.3, 0.4]])
    count = len(figure.rest_verts)
    weights = torch.zeros(4, 55)
    weights[:, 0] = 1  # a thing that is held by nobody's head
    faces = torch.cat([figure.parts[0].faces, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32) + count])
    covered = replace(
        figure, rest_verts=torch.cat([figure.rest_verts, board]), parts=(replace(figure.parts[0], faces=faces),),
        binding=bind(torch.cat([figure.binding.lbs_weights, weights])),
    )  # fmt: skip
    before, after = seen(figure, *camera()), seen(covered, *camera())
    assert part(before, "face").any() and not part(after, "face").any() and not after[JOINT_NAMES.index("head")]
    below = [JOINT_NAMES.index(name) for name in ("pelvis", "left_knee", "right_ankle", "left_elbow")]
    assert torch.equal(before[below], after[below])


@pytest.mark.parametrize("side", ["left", "right"])
def test_points_outside_the_picture_are_not_seen(body, side):
    K, w2c = camera()
    K[0, 0, 2] += SIZE / 2 * (1 if side == "left" else -1)  # that hand leaves the picture
    found = seen(bare_figure(body), K, w2c)
    other = "right" if side == "left" else "left"
    assert not found[list(HANDS[side])].any() and not part(found, f"{side}_hand").any()
    assert found[list(HANDS[other])].any() and part(found, f"{other}_hand").any()
