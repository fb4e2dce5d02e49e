"""Textured layers: every implementation paints the reference's picture, and the reference paints the right one."""

import pytest
import torch
from emosh_kernels.composite import Layer, composite
from emosh_kernels.rasterize import Fragments, rasterize
from hypothesis import given, settings
from hypothesis import strategies as st

IMPLS = pytest.mark.parametrize("impl", ["reference", "numba"])


def random_layer(seed: int, size: tuple[int, int], frames: int = 2) -> Layer:
    """Random triangles with a random texture of random alpha."""
    generator = torch.Generator().manual_seed(seed)
    random = lambda *dims: torch.rand(*dims, generator=generator)  # noqa: E731
    verts = random(frames, 15, 3) * torch.tensor([30.0, 30, 1]) + torch.tensor([0, 0, 1.0])
    verts[..., :2] *= verts[..., 2:]
    faces = torch.randint(0, 15, (8, 3), generator=generator)
    texture = random(7, 9, 4)
    texture[..., :3] *= texture[..., 3:]
    values = random(frames, 20, 7) * torch.tensor([12.0, 9, 1.5, 1.5, 1.5, 1, 1])
    values = values - torch.tensor([1.5, 1, 0, 0, 0, 0, 0.5])
    rows = torch.randint(0, 20, (3, 8), generator=generator).T  # not contiguous
    return Layer(rasterize(verts, faces, torch.eye(3), size), rows, values, texture)


def plain_layer(depth: float, rgba, size=(4, 4), where=None) -> Layer:
    """One colour at one depth, on the fine pixels `where` (all by default)."""
    where = torch.ones(1, *size, dtype=torch.bool) if where is None else where[None]
    fragments = Fragments(
        torch.where(where, 0, -1).int(), torch.where(where, depth, torch.inf).float(),
        torch.tensor([0.5, 0.25, 0.25]) * where[..., None],
    )  # fmt: skip
    rgba = torch.tensor(rgba, dtype=torch.float32)
    texture = torch.cat([rgba[:3] * rgba[3], rgba[3:]]).expand(2, 2, 4)
    return Layer(fragments, torch.zeros(1, 3, dtype=torch.long), torch.tensor([[[1.0, 1, 1, 1, 1, 1, 0]]]), texture)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), oversample=st.integers(1, 3), count=st.integers(1, 3))
def test_numba_equals_reference(seed, oversample, count):
    size = (17, 13)
    layers = [random_layer(seed + k, tuple(side * oversample for side in size)) for k in range(count)]
    background = torch.rand(2, *size, 3)
    want = composite(layers, background, oversample=oversample, impl="reference")
    got = composite(layers, background, oversample=oversample, impl="numba")
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)


@IMPLS
def test_nearer_covers_farther_whatever_the_order_and_alpha_lets_through(impl):
    red, half_blue = plain_layer(2.0, (1, 0, 0, 1)), plain_layer(1.0, (0, 0, 1, 0.5))
    background = torch.ones(1, 4, 4, 3)
    for layers in ([red, half_blue], [half_blue, red]):
        torch.testing.assert_close(
            composite(layers, background, impl=impl)[0, 0, 0], torch.tensor([0.5, 0, 0.5]), atol=1e-6, rtol=0
        )
    hidden = composite([plain_layer(0.5, (1, 0, 0, 1)), half_blue], background, impl=impl)
    torch.testing.assert_close(hidden[0, 0, 0], torch.tensor([1.0, 0, 0]))
    tie = composite([plain_layer(1.0, (0, 1, 0, 1)), red, plain_layer(1.0, (1, 1, 1, 1))], background, impl=impl)
    torch.testing.assert_close(tie[0, 0, 0], torch.tensor([0.0, 1, 0]))


@IMPLS
def test_a_half_covered_pixel_is_half_background(impl):
    where = torch.zeros(4, 4, dtype=torch.bool)
    where[:, :1] = True
    made = composite([plain_layer(1.0, (1, 0, 0, 1), where=where)], torch.zeros(1, 2, 2, 3), oversample=2, impl=impl)
    torch.testing.assert_close(made[0, :, 0], torch.tensor([[0.5, 0, 0]] * 2))
    assert (made[0, :, 1] == 0).all()


@IMPLS
def test_gains_tint_opacity_fades_and_shine_adds_up_to_white(impl):
    layer = plain_layer(1.0, (0.8, 0.8, 0.8, 1))
    layer.values[..., 2:6] = torch.tensor([0.5, 0.25, 1.0, 0.25])
    made = composite([layer], torch.ones(1, 4, 4, 3), impl=impl)
    torch.testing.assert_close(made[0, 0, 0], 0.25 * torch.tensor([0.4, 0.2, 0.8]) + 0.75)
    layer.values[..., 2:] = torch.tensor([0.5, 0.25, 1.0, 1.0, 0.3])
    made = composite([layer], torch.zeros(1, 4, 4, 3), impl=impl)
    torch.testing.assert_close(made[0, 0, 0], torch.tensor([0.7, 0.5, 1.0]))


@IMPLS
def test_too_much_light_is_white_before_pixels_are_averaged(impl):
    where = torch.zeros(4, 4, dtype=torch.bool)
    where[:, :1] = True
    layer = plain_layer(1.0, (0.5, 0.5, 0.5, 1), where=where)
    layer.values[..., 6] = 9.0
    made = composite([layer], torch.zeros(1, 2, 2, 3), oversample=2, impl=impl)
    torch.testing.assert_close(made[0, :, 0], torch.full((2, 3), 0.5))


@IMPLS
def test_without_a_background_it_returns_colour_times_alpha_and_alpha(impl):
    layers = [random_layer(3, (16, 12)), random_layer(4, (16, 12))]
    alone = composite(layers, oversample=2, impl=impl)
    background = torch.rand(2, 8, 6, 3)
    over = alone[..., :3] + (1 - alone[..., 3:]) * background
    torch.testing.assert_close(composite(layers, background, oversample=2, impl=impl), over)
    assert 0 < alone[..., 3].max() <= 1 and (alone[..., :3] <= alone[..., 3:] + 1e-6).all()


def test_shapes_that_do_not_fit_are_refused():
    layer = plain_layer(1.0, (1, 0, 0, 1))
    with pytest.raises(ValueError, match="background must be"):
        composite([layer], torch.zeros(1, 4, 4, 3), oversample=2)
    with pytest.raises(ValueError, match="do not fit"):
        composite([layer, plain_layer(1.0, (1, 0, 0, 1), (2, 4))], oversample=2)
    with pytest.raises(ValueError, match="cannot be averaged"):
        composite([layer], oversample=3)
    with pytest.raises(ValueError, match="at least one layer"):
        composite([], torch.zeros(1, 4, 4, 3))
