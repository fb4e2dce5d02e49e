"""The rasteriser: every implementation gives the reference's pixels, and the reference gives the right ones."""

import math

import pytest
import torch
from emosh_kernels.rasterize import mesh_edges, rasterize
from hypothesis import given, settings
from hypothesis import strategies as st

K = torch.tensor([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]])
IMPLS = pytest.mark.parametrize("impl", ["reference", "numba"])


def assert_same(verts, faces, size, k=K):
    want = rasterize(verts, faces, k, size, impl="reference")
    got = rasterize(verts, faces, k, size, impl="numba")
    assert torch.equal(got.face_id, want.face_id)
    assert torch.equal(got.depth, want.depth)
    assert torch.equal(got.bary, want.bary)
    return want


def on_screen(xy, z=1.0):
    """Camera-space vertices (1, V, 3) that K projects to the pixels xy."""
    xy = torch.as_tensor(xy, dtype=torch.float64)
    return torch.cat([(xy - K[:2, 2]) / 100 * z, torch.full((len(xy), 1), z)], 1)[None]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.sampled_from([1, 7, 33]), width=st.sampled_from([1, 13, 40]))
def test_numba_equals_reference_on_soup_in_front_of_behind_and_across_the_camera(seed, height, width):
    torch.manual_seed(seed)
    verts = torch.randn(2, 30, 3) * torch.tensor([0.3, 0.3, 1.0]) + torch.tensor([0, 0, 0.6])
    verts[:, :4] *= 100  # far off the screen and slivers
    verts[:, 5] = verts[:, 6]  # degenerate faces
    assert_same(verts, torch.randint(0, 30, (40, 3)), (height, width))


@pytest.mark.parametrize("size", [(1, 1), (4097, 3), (3, 4097), (2, 40000)])
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e9, 1e-9])
def test_odd_pictures_and_huge_and_tiny_coordinates(size, scale):
    """Slivers across the whole of a long picture, corners as far away as floats go, faces smaller than a pixel."""
    torch.manual_seed(int(scale) % 97)
    k = torch.tensor([[float(max(size)), 0, size[1] / 2], [0, max(size), size[0] / 2], [0, 0, 1]])
    verts = torch.randn(1, 12, 3) * torch.tensor([scale, scale, 0.3]) + torch.tensor([0, 0, 1.0])
    verts[:, :3, :2] = torch.tensor([[-1e-3, -2.0], [1e-3, 2.0], [2e-3, -2.0]])
    faces = torch.randint(0, 12, (9, 3))
    faces[0] = torch.tensor([0, 1, 2])
    seen = assert_same(verts, faces, size, k)
    edges = mesh_edges(faces)
    outlines = [rasterize(verts, faces, k, size, edges=edges, impl=impl).crossings for impl in ("reference", "numba")]
    assert torch.equal(outlines[0].to, outlines[1].to) and torch.equal(outlines[0].share, outlines[1].share)
    assert bool((seen.face_id >= 0).any())


@IMPLS
@pytest.mark.parametrize("centre", [(16.5, 12.5), (16.0, 12.0), (15.3, 11.9)])
def test_closed_fan_covers_each_pixel_once(impl, centre):
    """Each face alone; rim and centre lie on pixel centres, corners and elsewhere."""
    rim = [(4.5, 4.5), (16.5, 2.5), (28.5, 4.5), (28.5, 12.5), (28.5, 20.5), (16.5, 22.5), (4.5, 20.5), (4.5, 12.5)]
    k = torch.eye(3)
    verts = torch.tensor([[(*p, 1.0) for p in [centre, *rim]]])
    faces = torch.tensor([[0, i, i % 8 + 1] for i in range(1, 9)])
    alone = torch.stack([rasterize(verts, f[None], k, (24, 32), impl=impl).face_id[0] >= 0 for f in faces]).sum(0)
    assert int(alone.max()) == 1
    assert bool((alone[5:20, 5:28] == 1).all())


@IMPLS
def test_random_grid_has_no_cracks(impl):
    torch.manual_seed(1)
    n = 9
    axis = torch.linspace(-10, 74, n)
    xy = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1) + torch.rand(n, n, 2) * 3
    z = 1 + torch.rand(n, n, 1)
    verts = torch.cat([(xy - K[:2, 2]) / 100 * z, z], -1).reshape(1, -1, 3)
    cells = [r * n + c for r in range(n - 1) for c in range(n - 1)]
    faces = torch.tensor([f for a in cells for f in ([a, a + 1, a + n], [a + n, a + 1, a + n + 1])])
    assert bool((rasterize(verts, faces, K, (48, 64), impl=impl).face_id >= 0).all())


@IMPLS
def test_depth_and_bary_agree_with_the_plane(impl):
    verts = torch.tensor([[[-0.3, -0.2, 1.0], [0.4, -0.1, 2.0], [0.1, 0.5, 3.0]]], dtype=torch.float64)
    out = rasterize(verts, torch.tensor([[0, 1, 2]]), K, (48, 64), impl=impl)
    rows, columns = torch.nonzero(out.face_id[0] == 0, as_tuple=True)
    assert len(rows) > 100
    points = out.bary[0, rows, columns].double() @ verts[0]
    pixels, centres = points @ K.double().T, torch.stack([columns, rows], 1).double() + 0.5
    torch.testing.assert_close(points[:, 2], out.depth[0, rows, columns].double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(pixels[:, :2] / pixels[:, 2:], centres, rtol=0, atol=1e-4)


@IMPLS
def test_floor_that_passes_under_the_camera_reaches_its_horizon(impl):
    """A plane from behind the camera to far away: below the horizon everything is floor, above nothing."""
    verts = torch.tensor([[[-500.0, 1, -5], [500, 1, -5], [-500, 1, 1e4], [500, 1, 1e4]]])
    out = rasterize(verts, torch.tensor([[0, 1, 2], [2, 1, 3]]), K, (48, 64), impl=impl)
    assert bool((out.face_id[0, 25:] >= 0).all()) and bool((out.face_id[0, :24] < 0).all())
    y = torch.arange(30, 48) + 0.5
    torch.testing.assert_close(out.depth[0, 30:, 7], 100 / (y - 24), rtol=1e-4, atol=0)


@IMPLS
def test_nothing_behind_the_camera_is_drawn_and_background_is_marked(impl):
    out = rasterize(on_screen([(0, 0), (60, 0), (0, 60)]) * -1, torch.tensor([[0, 1, 2]]), K, (5, 6), impl=impl)
    assert (out.face_id == -1).all() and out.depth.isinf().all() and (out.bary == 0).all()


@IMPLS
def test_equal_depth_goes_to_the_smaller_face_and_nearer_wins_in_any_order(impl):
    verts = torch.cat([on_screen([(0, 0), (64, 0), (0, 64)], z) for z in (2.0, 1.0)], 1)
    faces = torch.tensor([[0, 1, 2], [3, 4, 5], [5, 3, 4]])
    assert int(rasterize(verts, faces, K, (48, 64), impl=impl).face_id[0, 5, 5]) == 1
    assert int(rasterize(verts, faces.flip(0), K, (48, 64), impl=impl).face_id[0, 5, 5]) == 0


def test_result_does_not_depend_on_threads_or_on_neighbouring_frames():
    torch.manual_seed(0)
    verts = torch.randn(3, 60, 3) * 0.2 + torch.tensor([0, 0, 1.0])
    faces = torch.randint(0, 60, (80, 3))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append([rasterize(verts, faces, K, (48, 64)), rasterize(verts[1:2], faces, K, (48, 64))])
    finally:
        torch.set_num_threads(before)
    for whole, single in results:
        assert torch.equal(whole.face_id, results[0][0].face_id) and torch.equal(whole.bary, results[0][0].bary)
        assert torch.equal(whole.face_id[1:2], single.face_id)


def test_intrinsics_may_change_from_frame_to_frame():
    verts = on_screen([(0, 0), (64, 0), (0, 64)]).repeat(2, 1, 1)
    wide = torch.stack([K, K * torch.tensor([[0.5], [0.5], [1]])])
    assert_same(verts, torch.tensor([[0, 1, 2]]), (48, 64), wide)
    counts = (rasterize(verts, torch.tensor([[0, 1, 2]]), wide, (48, 64)).face_id >= 0).sum((1, 2))
    assert int(counts[1]) < int(counts[0])


def test_bad_input_is_refused():
    verts, faces = on_screen([(0, 0), (64, 0), (0, 64)]), torch.tensor([[0, 1, 2]])
    for bad in (math.nan, math.inf):
        broken = verts.clone()
        broken[0, 1, 2] = bad
        with pytest.raises(ValueError, match="finite"):
            rasterize(broken, faces, K, (8, 8))
    with pytest.raises(ValueError, match="vertices"):
        rasterize(verts, faces + 1, K, (8, 8))
    with pytest.raises(ValueError, match="verts_cam"):
        rasterize(verts[0], faces, K, (8, 8))
    with pytest.raises(ValueError, match="faces"):
        rasterize(verts, faces.float(), K, (8, 8))
    with pytest.raises(ValueError, match="K must"):
        rasterize(verts, faces, K[:2], (8, 8))
    with pytest.raises(ValueError, match="size"):
        rasterize(verts, faces, K, (0, 8))
    with pytest.raises(ValueError, match="edges"):
        rasterize(verts, faces, K, (8, 8), edges=faces)
    with pytest.raises(ValueError, match="metal"):
        rasterize(verts, faces, K, (8, 8), impl="metal")
