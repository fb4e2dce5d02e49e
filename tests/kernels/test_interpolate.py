"""Values at pixels: compiled equals reference, and gradients flow to values and vertices."""

import pytest
import torch
from emosh_kernels.interpolate import interpolate
from emosh_kernels.rasterize import rasterize
from hypothesis import given, settings
from hypothesis import strategies as st

K = torch.tensor([[40.0, 0, 16], [0, 40, 12], [0, 0, 1]])


def soup(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    verts = torch.randn(2, 20, 3, generator=generator, dtype=dtype) * 0.3 + torch.tensor([0, 0, 1.2])
    return verts, torch.randint(0, 20, (25, 3), generator=generator)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), channels=st.sampled_from([1, 3, 5]), own=st.booleans())
def test_numba_equals_reference(seed, channels, own):
    verts, faces = soup(seed)
    seen = rasterize(verts, faces, K, (24, 32))
    values = torch.rand(2, 20, channels) if own else torch.rand(20, channels)
    want, got = (interpolate(seen, faces, values, impl=impl) for impl in ("reference", "numba"))
    torch.testing.assert_close(got, want, atol=1e-6, rtol=0)
    assert not got[seen.face_id < 0].any()


def test_positions_come_back_from_their_own_interpolation():
    verts, faces = soup(1)
    seen = rasterize(verts, faces, K, (24, 32))
    points = interpolate(seen, faces, verts)
    inside = seen.face_id >= 0
    torch.testing.assert_close(points[inside][:, 2], seen.depth[inside], atol=1e-5, rtol=1e-5)


def test_gradients_reach_values_and_vertices():
    verts, faces = soup(3, torch.float64)
    values = torch.rand(20, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 24, 32, 2, dtype=torch.float64)

    def loss(verts, values):
        return (weight * interpolate(rasterize(verts, faces, K, (24, 32)), faces, values)).sum()

    assert torch.autograd.gradcheck(loss, (verts.requires_grad_(), values), eps=1e-8, atol=1e-3, rtol=1e-4)


def test_bad_input_is_refused():
    verts, faces = soup(0)
    seen = rasterize(verts, faces, K, (8, 8))
    with pytest.raises(ValueError, match="rows"):
        interpolate(seen, faces, torch.rand(3, 2))
    with pytest.raises(ValueError, match="T = 2"):
        interpolate(seen, faces, torch.rand(3, 20, 2))
    with pytest.raises(ValueError, match="faces"):
        interpolate(seen, faces.float(), torch.rand(20, 2))
    with pytest.raises(RuntimeError, match="no gradients"):
        interpolate(seen, faces, torch.rand(20, 2, requires_grad=True), impl="numba")
