"""Strokes lie where they are said to, to a fraction of a pixel, in depth order and behind what hides them."""

import pytest
import torch
from emosh_kernels.strokes import Strokes, draw_strokes
from hypothesis import given, settings
from hypothesis import strategies as st

IMPLS = pytest.mark.parametrize("impl", ["reference", "numba"])


def strokes(ends, distance=1.0, width=1.0, color=(1.0,), tolerance=0.0, drawn=True) -> Strokes:
    """One frame of strokes; a number stands for all."""
    ends = torch.as_tensor(ends, dtype=torch.float64).reshape(1, -1, 2, 2)
    count = ends.shape[1]
    fill = lambda value, *shape: torch.as_tensor(value, dtype=torch.float64).expand(*shape)  # noqa: E731
    distance = torch.as_tensor(distance, dtype=torch.float64)
    distance = distance.reshape(1, -1, 1).expand(1, count, 2) if distance.ndim < 2 else distance[None]
    return Strokes(
        ends=ends, distance=distance, width=fill(width, 1, count), color=torch.as_tensor(color).reshape(-1, 1).expand(
            count, -1) if torch.as_tensor(color).ndim < 2 else torch.as_tensor(color),
        tolerance=fill(tolerance, count), drawn=torch.as_tensor(drawn).expand(1, count),
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.sampled_from([1, 9, 30]), width=st.sampled_from([1, 14, 41]))
def test_numba_equals_reference(seed, height, width):
    torch.manual_seed(seed)
    size = torch.tensor([width, height])
    lines = Strokes(
        ends=torch.rand(2, 12, 2, 2) * size * 1.6 - 0.3 * size,
        distance=torch.rand(2, 12, 2) + 0.2 * torch.randn(2, 12, 1),
        width=torch.rand(2, 12) * 4, color=torch.rand(12, 3), tolerance=torch.rand(12) * 0.1,
        drawn=torch.rand(2, 12) > 0.2,
    )  # fmt: skip
    lines.ends[:, 3, 1] = lines.ends[:, 3, 0]  # a dot
    image, depth = torch.rand(2, height, width, 3), torch.rand(2, height, width) + 0.3
    for hidden_by in (None, depth):
        want, got = (draw_strokes(image.clone(), lines, hidden_by, impl=impl) for impl in ("reference", "numba"))
        torch.testing.assert_close(got, want, atol=1e-6, rtol=0)


@IMPLS
@settings(max_examples=30, deadline=None)
@given(x=st.floats(8, 24), y=st.floats(8, 24), width=st.floats(0.5, 5))
def test_a_dot_has_its_centre_of_mass_where_its_point_is(impl, x, y, width):
    image = draw_strokes(torch.zeros(1, 32, 32, 1), strokes([(x, y), (x, y)], width=width), impl=impl)[0, ..., 0]
    place = torch.arange(32) + 0.5
    assert abs(float((image.sum(0) * place).sum() / image.sum()) - x) < 0.2
    assert abs(float((image.sum(1) * place).sum() / image.sum()) - y) < 0.2


@IMPLS
@pytest.mark.parametrize("width", [0.4, 1.0, 1.7, 4.0])
def test_a_stroke_is_as_wide_as_asked(impl, width):
    image = draw_strokes(torch.zeros(1, 32, 32, 1), strokes([(13.3, -9), (13.3, 50)], width=width), impl=impl)
    torch.testing.assert_close(image[0, :, :, 0].sum(1), torch.full((32,), width), atol=0.11, rtol=0)


@IMPLS
def test_near_strokes_cover_far_ones_whatever_their_order(impl):
    cross = [[(2.0, 8), (14, 8)], [(8, 2.0), (8, 14)]]
    for far, near in ((0, 1), (1, 0)):
        distance = [0.0, 0.0]
        distance[far], distance[near] = 2.0, 1.0
        image = draw_strokes(torch.zeros(1, 16, 16, 1), strokes(cross, distance, 2.0, [[1.0], [0.5]]), impl=impl)
        assert float(image[0, 8, 8, 0]) == (1.0, 0.5)[near]


@IMPLS
def test_a_surface_hides_the_part_of_a_stroke_that_lies_behind_it(impl):
    """A stroke from 1 m to 3 m before a wall at 2 m: perspective puts the passage at a quarter of its length."""
    wall = torch.full((1, 16, 64), 2.0)
    line = strokes([(4.0, 8), (60, 8)], distance=[[1.0, 3.0]], width=2.0)
    image = draw_strokes(torch.zeros(1, 16, 64, 1), line, wall, impl=impl)[0, 8, :, 0]
    passage = 4 + 56 * (1 - 1 / 2) / (1 - 1 / 3)
    assert int((image > 0.5).sum()) == pytest.approx(passage - 3, abs=1)
    deep = strokes([(4.0, 8), (60, 8)], distance=[[1.0, 3.0]], width=2.0, tolerance=1.1)
    assert int((draw_strokes(torch.zeros(1, 16, 64, 1), deep, wall, impl=impl)[0, 8, :, 0] > 0.5).sum()) > 54


@IMPLS
def test_what_is_not_drawn_or_lies_behind_the_camera_leaves_no_trace(impl):
    for line in (strokes([(2.0, 2), (9, 9)], drawn=False), strokes([(2.0, 2), (9, 9)], distance=[[-1.0, 2.0]])):
        assert not draw_strokes(torch.zeros(1, 12, 12, 1), line, impl=impl).any()
    off = strokes([(-1e6, 1e7), (-3e6, 1e7)])
    assert not draw_strokes(torch.zeros(1, 12, 12, 1), off, impl=impl).any()


def test_bad_input_is_refused():
    image, line = torch.zeros(1, 8, 8, 1), strokes([(2.0, 2), (9, 9)])
    with pytest.raises(ValueError, match="color"):
        draw_strokes(torch.zeros(1, 8, 8, 3), line)
    with pytest.raises(ValueError, match="image"):
        draw_strokes(image[0], line)
    with pytest.raises(ValueError, match="depth"):
        draw_strokes(image, line, torch.zeros(1, 8, 9))
    with pytest.raises(ValueError, match="contiguous"):
        draw_strokes(torch.zeros(1, 8, 9, 1).transpose(1, 2), line)
    with pytest.raises(ValueError, match="finite"):
        draw_strokes(image, strokes([(2.0, float("nan")), (9, 9)]))
