"""Where each condition lies, and what the network and the loss see of it."""

import pytest
import torch

from emosh_core.generate.flow_matching import masked_loss
from emosh_core.generate.layout import Conditions, latent_count, latent_mask, model_channels
from emosh_core.generate.sampling import solve_euler, solve_unipc

C, F, H = 16, 5, 4


def conditions(*, temporal: bool, aligned: bool) -> Conditions:
    generator = torch.Generator().manual_seed(3)
    draw = lambda *dims: torch.randn(*dims, generator=generator)  # noqa: E731
    return Conditions(
        reference_latent=draw(2, C, 1, H, H),
        motion_latents=draw(2, C, F, H, H),
        fill=draw(1, C, F, H, H),
        temporal_latents=draw(2, C, 2, H, H) if temporal else None,
        aligned_latent=draw(2, C, 1, H, H) if aligned else None,
    )


LAYOUTS = pytest.mark.parametrize(
    ("temporal", "aligned", "given"),
    [(False, False, [0]), (True, False, [0, 1, 2]), (True, True, [0, 1, 2, 3])],
    ids=["R n", "R T n", "R S T n"],
)


@pytest.mark.parametrize(("known", "latents"), [(0, []), (1, [0]), (5, [0, 1])])
def test_frame_masks_fold_into_latent_masks(known, latents):
    mask = torch.zeros(77)
    mask[:known] = 1
    folded = latent_mask(mask)
    assert folded.shape == (4, 20)
    assert folded.sum(0).tolist() == [4.0 if i in latents else 0.0 for i in range(20)]


def test_lengths_that_the_vae_would_cut_are_refused():
    assert [latent_count(n) for n in (1, 5, 77)] == [1, 2, 20]
    with pytest.raises(ValueError, match="4k \\+ 1"):
        latent_count(76)


@LAYOUTS
def test_channels_of_each_slot(temporal, aligned, given):
    c = conditions(temporal=temporal, aligned=aligned)
    mask, condition, motion, flag = c.channels().split([4, C, C, 1], 1)
    assert C + c.channels().shape[1] == model_channels(C) == 53
    length = F + 1 + aligned
    assert c.conditioned.nonzero().flatten().tolist() == given
    assert [mask[:, :, i].unique().tolist() for i in range(length)] == [[float(i in given)] for i in range(length)]
    assert torch.equal(condition[:, :, :1], c.reference_latent)
    if aligned:
        assert torch.equal(condition[:, :, 1:2], c.aligned_latent)
    if temporal:
        assert torch.equal(condition[:, :, c.clip][:, :, :2], c.temporal_latents)
    free = slice(2 if temporal else 0, None)
    assert torch.equal(condition[:, :, c.clip][:, :, free], c.fill.expand(2, -1, -1, -1, -1)[:, :, free])
    assert torch.equal(motion[:, :, c.clip], c.motion_latents)
    assert (motion[:, :, : c.clip.start] == 0).all()
    assert flag[0, 0, :, 0, 0].tolist() == [0.0] * (1 + aligned) + [1.0] * F


def test_the_motion_embedding_leaves_reference_and_aligned_slots_alone(networks):
    c = conditions(temporal=True, aligned=True)
    inputs = torch.cat([torch.zeros(2, C, F + 2, H, H), c.channels()], 1)
    embed = networks.transformer.patch_embedding
    weight = embed.weight.detach().clone()
    before = torch.nn.functional.conv3d(inputs, weight, embed.bias, embed.stride)
    weight[:, 36:] += 1  # the motion embedding: 16 motion channels, and the flag that carries its bias
    change = (torch.nn.functional.conv3d(inputs, weight, embed.bias, embed.stride) - before).abs().amax((0, 1, 3, 4))
    assert (change[:2] == 0).all()
    assert (change[2:] > 0).all()


@LAYOUTS
def test_the_loss_does_not_see_the_conditioned_slots(temporal, aligned, given):
    c = conditions(temporal=temporal, aligned=aligned)
    output = torch.zeros(2, C, F + 1 + aligned, H, H, requires_grad=True)
    masked_loss(output, torch.ones_like(output), ~c.conditioned).backward()
    touched = output.grad.abs().amax((0, 1, 3, 4)) > 0
    assert (~touched).nonzero().flatten().tolist() == given


@LAYOUTS
@pytest.mark.parametrize("solve", [solve_euler, solve_unipc])
def test_conditioned_slots_end_at_their_latents_whatever_the_network_says(temporal, aligned, given, solve):
    c = conditions(temporal=temporal, aligned=aligned)
    clean = c.sequence(torch.zeros(2, C, F, H, H))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))

    def field(zt, t):
        # On the way, too, they must be what training showed.
        expected = (1 - t) * clean + t * noise
        torch.testing.assert_close(zt[:, :, given], expected[:, :, given], rtol=0, atol=2e-3)
        return c.pin(torch.sin(3 * zt), clean, noise)

    final = solve(field, noise, steps=20, shift=5.0)
    error = (final - clean).abs().amax((0, 1, 3, 4))
    assert error[given].max() < (1e-4 if solve is solve_euler else 1e-3)
    assert error[~c.conditioned].min() > 0.1
