"""The sheet moves with the body, fades where it is stretched, and does not show the old background."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emosh_core.render.fringe import FADE, FADE_AT_ARMS, cut_fringe
from emosh_core.render.view import views


@pytest.fixture(scope="module")
def skirt(make_motion, body):
    """A blue skirt between the knees over a green background; then the legs spread."""
    pose = np.zeros((2, 21, 3), np.float32)
    pose[:, [15, 16], 2] = [-1.0, 1.0]
    pose[1, [0, 1], 2] = [0.5, -0.5]
    motion = make_motion(2, size=(300, 400), transl=[[0, 0.05, -3.2]] * 2, body_pose=pose)
    shaped = body.with_shape_of(motion.shape)
    view = next(views(motion, body, np.array([0]), shaped=shaped))
    mask = np.zeros((400, 300), bool)
    mask[215:275, 115:185] = True
    image = np.full((400, 300, 3), (0, 255, 0), np.uint8)
    image[mask] = (0, 0, 255)
    return cut_fringe(image, mask, motion, view, shaped), next(views(motion, body, shaped=shaped))


def test_a_skirt_spans_the_spread_legs(skirt):
    fringe, view = skirt
    sheet = fringe.move(view)
    widths = [float(np.ptp(points[:, 0].numpy())) for points in sheet]
    assert widths[1] > 1.1 * widths[0]
    assert float(fringe.values(sheet)[1, :, 5].median()) == 1 and float(fringe.values(sheet)[1, :, 5].min()) > 0.2
    torch.testing.assert_close(fringe.values(sheet)[0, :, 5], torch.ones(len(fringe.points)))


def test_what_is_torn_apart_fades_earlier_at_the_arms(skirt):
    fringe, view = skirt
    sheet = fringe.move(view)[:1]
    stretched = sheet * (FADE_AT_ARMS[1] + FADE[0]) / 2
    used = fringe.faces.unique()
    assert float(fringe.values(stretched)[:, used, 5].min()) == 1
    arms = torch.zeros_like(fringe.lbs_weights)
    arms[:, 18] = 1  # the left elbow
    assert float(replace(fringe, lbs_weights=arms).values(stretched)[:, used, 5].max()) == 0
    assert float(fringe.values(sheet * FADE[1] * 1.1)[:, used, 5].max()) == 0


def test_the_matte_holds_no_background(skirt):
    fringe, _ = skirt
    alpha = fringe.texture[..., 3:]
    assert float((fringe.texture[..., 1:2] - 0.02 * alpha).max()) < 0.01  # no green
    assert float(alpha.max()) == pytest.approx(1) and float(alpha[:100].max()) == 0
