"""Canonical colours name body parts, whoever has them."""

import torch

from emosh_core.body.joints import HANDS
from emosh_core.render.colors import canonical_colors, mean_in_t_pose


def test_colors_do_not_depend_on_identity_and_leave_black_to_the_background(body):
    colors = canonical_colors(body)
    assert colors.shape == body.template.shape
    assert 0.1 < float(colors.min()) and float(colors.max()) <= 1
    assert canonical_colors(body) is colors  # the model is all it depends on: no shape can reach it


def test_left_and_right_differ(body):
    verts, colors = mean_in_t_pose(body).verts[0], canonical_colors(body)
    left, right = verts[:, 0] > 0.2, verts[:, 0] < -0.2
    assert float(colors[left, 0].min()) > float(colors[right, 0].max()) + 0.15


def test_back_of_the_hand_differs_from_the_palm(body):
    verts, colors = mean_in_t_pose(body).verts[0], canonical_colors(body)
    fingers = body.lbs_weights[:, list(HANDS["left"])].sum(1) > 0.9
    height = verts[fingers, 1]
    top, bottom = (colors[fingers][height > height.quantile(0.9)], colors[fingers][height < height.quantile(0.1)])
    assert float((top[:, 1].mean() - bottom[:, 1].mean()).abs()) > 0.25


def test_colors_are_continuous_along_the_mesh(body):
    colors, verts = canonical_colors(body), mean_in_t_pose(body).verts[0]
    edges = torch.cat([body.faces[:, [0, 1]], body.faces[:, [1, 2]]])
    long = (verts[edges[:, 0]] - verts[edges[:, 1]]).norm(dim=1)
    assert float(((colors[edges[:, 0]] - colors[edges[:, 1]]).abs().amax(1) / (long + 0.01)).max()) < 30
