"""One patch convolution instead of two."""

import torch
from torch.nn.functional import conv3d

from emosh_core.generate.wan.fold import fold_patch, split_patch


def _parts():
    torch.manual_seed(0)
    return torch.randn(6, 12, 1, 2, 2), torch.randn(6, 4, 1, 2, 2), torch.randn(6)


def test_the_folded_convolution_is_the_sum_and_leaves_frames_without_motion_alone():
    patch, pose, bias = _parts()
    x, motion = torch.randn(1, 12, 3, 4, 4), torch.randn(1, 4, 3, 4, 4)
    present = torch.tensor([0.0, 1, 1])[:, None, None]
    want = conv3d(x, patch, stride=(1, 2, 2))
    want += conv3d(motion, pose, bias, stride=(1, 2, 2)) * present
    folded_input = torch.cat([x, motion * present, torch.ones(1, 1, 3, 4, 4) * present], 1)
    folded = fold_patch(patch, pose, bias)
    assert folded.shape == (6, 17, 1, 2, 2) and folded[:, 16].count_nonzero() == 6
    torch.testing.assert_close(conv3d(folded_input, folded, stride=(1, 2, 2)), want, rtol=0, atol=1e-5)


def test_splitting_undoes_folding_and_sums_the_taps_that_training_moved():
    parts = _parts()
    folded = fold_patch(*parts)
    assert all(torch.equal(a, b) for a, b in zip(split_patch(folded), parts))
    folded[:, -1] += 1
    torch.testing.assert_close(split_patch(folded)[2], parts[2] + 4)


def test_without_a_pose_convolution_motion_has_no_effect():
    patch, *_ = _parts()
    folded = fold_patch(patch)
    assert torch.equal(folded[:, :12], patch) and not folded[:, 12:].any()
    assert fold_patch(patch.half()).dtype == torch.float16
