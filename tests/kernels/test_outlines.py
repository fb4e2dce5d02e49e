"""Smooth outlines: equal in every implementation, exact in area, with gradients that finite differences confirm."""

from dataclasses import replace

import pytest
import torch
from emosh_kernels.rasterize import mesh_edges, rasterize
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emosh_core.body.assets import load_body
from emosh_core.body.pose import zero_pose
from emosh_core.render.colors import mean_in_t_pose

FLAT = torch.eye(3)
"""Intrinsics under which x, y at depth 1 are pixels."""


def polygon(points, z=1.0):
    """A fan (1, N, 3) with its faces around the mean of its rim, all at depth z."""
    rim = torch.as_tensor(points, dtype=torch.float64)
    xy = torch.cat([rim.mean(0, keepdim=True), rim])
    count = len(rim)
    faces = torch.tensor([[0, i + 1, (i + 1) % count + 1] for i in range(count)])
    return torch.cat([xy * z, torch.full((count + 1, 1), z)], 1)[None], faces


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.sampled_from([1, 7, 33]), width=st.sampled_from([1, 13, 40]))
def test_numba_finds_the_references_crossings_on_soup(seed, height, width):
    torch.manual_seed(seed)
    k = torch.tensor([[30.0, 0, width / 2], [0, 30, height / 2], [0, 0, 1]])
    verts = torch.randn(2, 30, 3) * torch.tensor([0.3, 0.3, 1.0]) + torch.tensor([0, 0, 0.6])
    verts[:, :4] *= 100
    verts[:, 5] = verts[:, 6]
    faces = torch.randint(0, 30, (40, 3))
    want, got = (
        rasterize(verts, faces, k, (height, width), edges=mesh_edges(faces), impl=impl).crossings
        for impl in ("reference", "numba")
    )
    for name in ("to", "source", "share"):
        assert torch.equal(getattr(got, name), getattr(want, name)), name


def test_numba_finds_the_references_crossings_on_the_body():
    body = load_body()
    verts = mean_in_t_pose(body).verts * torch.tensor([1, -1, -1]) + torch.tensor([0, 0.4, 2.6])
    k = torch.tensor([[110.0, 0, 40], [0, 110, 60], [0, 0, 1]])
    edges = mesh_edges(body.faces)
    seen = rasterize(verts, body.faces, k, (120, 80), edges=edges)
    from emosh_kernels.rasterize.numba import find_crossings as compiled
    from emosh_kernels.rasterize.silhouette import find_crossings

    given_ = (verts, k[None], body.faces, edges, seen.face_id, seen.depth, 0.01)
    assert len(seen.crossings.to) > 300
    for want, got in zip(find_crossings(*given_), compiled(*given_)):
        assert torch.equal(want, got)


@settings(max_examples=40, deadline=None)
@given(
    x0=st.floats(5, 12), y0=st.floats(5, 12), width=st.floats(3, 12), height=st.floats(3, 12), turn=st.floats(0, 1.6)
)
@example(x0=5.0, y0=5.0, width=3.0, height=3.5, turn=0.0)
def test_coverage_adds_up_to_the_area(x0, y0, width, height, turn):
    """A turned rectangle: off by less than what its four corners can hide."""
    corners = torch.tensor([[0, 0], [width, 0], [width, height], [0, height]], dtype=torch.float64)
    cos, sin = torch.cos(torch.tensor(turn)), torch.sin(torch.tensor(turn))
    corners = corners @ torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64) + torch.tensor([x0 + 10, y0])
    verts, faces = polygon(corners)
    alpha = rasterize(verts, faces, FLAT, (48, 48), edges=mesh_edges(faces)).coverage()
    assert abs(float(alpha.sum()) - width * height) < 1.3
    assert float(alpha.min()) >= 0 and float(alpha.max()) <= 1


@pytest.mark.parametrize("impl", ["reference", "numba"])
def test_an_edge_through_the_centres_of_pixels_covers_them_by_half(impl):
    """All four sides: the fill rule gives the pixel to the surface on two of them and to the background on two."""
    verts, faces = polygon([(4.5, 3.5), (9.5, 3.5), (9.5, 7.5), (4.5, 7.5)])
    alpha = rasterize(verts, faces, FLAT, (12, 14), edges=mesh_edges(faces), impl=impl).coverage()[0]
    want = torch.zeros(12, 14, dtype=alpha.dtype)
    want[4:7, 5:9] = 1
    want[4:7, [4, 9]] = want[[3, 7], 5:9] = 0.5
    torch.testing.assert_close(alpha[4:7], want[4:7], atol=1e-6, rtol=0)
    torch.testing.assert_close(alpha[:, 5:9], want[:, 5:9], atol=1e-6, rtol=0)


def test_upright_edge_covers_pixels_by_its_exact_share():
    verts, faces = polygon([(4.3, -9), (9.8, -9), (9.8, 30), (4.3, 30)])
    alpha = rasterize(verts, faces, FLAT, (8, 14), edges=mesh_edges(faces)).coverage()
    want = torch.tensor([0, 0, 0, 0, 0.7, 1, 1, 1, 1, 0.8, 0, 0, 0, 0])
    torch.testing.assert_close(alpha[0], want.to(alpha.dtype).expand(8, 14), atol=1e-6, rtol=0)


def test_only_outlines_are_smoothed():
    """Between faces of one surface, and on a surface in front of an outline, nothing changes."""
    verts, faces = polygon([(2.2, 2.2), (20.7, 2.2), (20.7, 20.7), (2.2, 20.7)])
    behind = verts * torch.tensor([1.5, 1.2, 1.2]) + torch.tensor([2.0, 0, 0])
    both, more = torch.cat([verts, behind], 1), torch.cat([faces, faces + 5])
    seen = rasterize(both, more, FLAT, (24, 32), edges=mesh_edges(more))
    image = torch.rand(1, 24, 32, 3, dtype=torch.float64)
    changed = (seen.antialias(image) != image).any(-1)[0]
    assert not changed[5:18, 5:18].any()
    assert changed.any(0)[19:23].any()  # the front square's right side, seen against the one behind
    with pytest.raises(ValueError, match="edges=mesh_edges"):
        rasterize(both, more, FLAT, (24, 32)).coverage()


def test_a_face_that_is_inside_out_has_no_other_outline():
    verts, faces = polygon([(2.2, 2.2), (20.7, 2.2), (20.7, 20.7), (2.2, 20.7)])
    turned = faces.clone()
    turned[1] = turned[1].flip(0)
    want, got = (rasterize(verts, f, FLAT, (24, 32), edges=mesh_edges(f)).crossings for f in (faces, turned))
    assert torch.equal(got.to, want.to) and torch.equal(got.share, want.share)


def test_hidden_outline_leaves_no_trace():
    """A small square wholly behind a large one."""
    front, faces = polygon([(1.0, 1), (30, 1), (30, 22), (1, 22)])
    back, _ = polygon([(10.3, 8.3), (20.7, 8.3), (20.7, 16.7), (10.3, 16.7)], z=2.0)
    both = torch.cat([front, back], 1)
    alone = rasterize(front, faces, FLAT, (24, 32), edges=mesh_edges(faces))
    more = torch.cat([faces, faces + 5])
    seen = rasterize(both, more, FLAT, (24, 32), edges=mesh_edges(more))
    assert torch.equal(seen.crossings.to, alone.crossings.to)


def test_edges_of_a_closed_an_open_and_a_branching_mesh():
    tetrahedron = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    edges = mesh_edges(tetrahedron)
    assert len(edges) == 6 and (edges[:, 3] >= 0).all()
    for a, b, c, d, f, g, alike in edges.tolist():
        assert not alike
        assert {a, b, c} == set(tetrahedron[f].tolist()) and {a, b, d} == set(tetrahedron[g].tolist())
    assert (mesh_edges(tetrahedron[:1])[:, 3] == -1).all() and len(mesh_edges(tetrahedron[:1])) == 3
    fins = mesh_edges(torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    assert len(fins) == 9 and (fins[:, 5] == -1).all()
    assert mesh_edges(torch.zeros(0, 3, dtype=torch.long)).shape == (0, 7)
    inside_out = tetrahedron.clone()
    inside_out[0] = inside_out[0].flip(0)
    assert sorted(mesh_edges(inside_out)[:, 6].tolist()) == [0, 0, 0, 1, 1, 1]


def scene():
    """Two overlapping triangles at a slant, away from places where an outline changes its pixels."""
    verts = torch.tensor(
        [[[-0.31, -0.22, 1.0], [0.42, -0.13, 1.6], [0.07, 0.33, 1.3], [-0.2, 0.31, 2.1], [0.5, 0.2, 2.0],
          [0.1, -0.4, 2.4]]], dtype=torch.float64,
    )  # fmt: skip
    k = torch.tensor([[20.0, 0, 12], [0, 20, 9], [0, 0, 1]], dtype=torch.float64)
    return verts, torch.tensor([[0, 1, 2], [3, 4, 5]]), k


@pytest.mark.parametrize("impl", ["reference", "numba"])
@pytest.mark.parametrize("what", ["depth", "color", "coverage", "blended"])
def test_gradients_are_those_of_finite_differences(impl, what):
    verts, faces, k = scene()
    edges = mesh_edges(faces)
    torch.manual_seed(0)
    colors, weight = torch.rand(6, 3, dtype=torch.float64), torch.rand(18, 24, 1, dtype=torch.float64)

    def picture(verts, k):
        seen = rasterize(verts, faces, k, (18, 24), edges=edges, impl=impl)
        depth = torch.where(seen.face_id >= 0, seen.depth, 0.0)
        color = (seen.bary[..., None] * colors[faces[seen.face_id.clamp(min=0).long()]]).sum(-2)
        return {
            "depth": depth[0, ..., None], "color": color[0], "coverage": seen.coverage()[0, ..., None],
            "blended": seen.antialias(color)[0],
        }[what]  # fmt: skip

    # Sums with random weights: a loss that sees every pixel.
    assert torch.autograd.gradcheck(
        lambda v, k: (weight * picture(v, k)).sum(), (verts.requires_grad_(), k.requires_grad_()), eps=1e-7, atol=2e-5
    )
    assert rasterize(verts, faces, k, (18, 24), edges=edges, impl=impl).depth.dtype == torch.float64


def test_a_pose_is_fitted_from_a_mask_alone():
    """Silhouettes pull: shoulders, a hip, the lean and the place of a body from its coverage only."""
    body, joints = load_body(), [16, 17, 1]
    edges, size, k = mesh_edges(body.faces), (96, 96), torch.tensor([[100.0, 0, 48], [0, 100, 48], [0, 0, 1]])
    mean = body.with_shape(torch.zeros(32), torch.zeros(64))
    pose = zero_pose()

    def mask(turns, lean, shift):
        body_pose = pose.body_pose.clone()
        body_pose[0, [j - 1 for j in joints], 2] = turns
        posed = mean.with_pose(replace(pose, body_pose=body_pose, global_orient=lean * torch.tensor([[0.0, 0, 1]])))
        verts = posed.verts * torch.tensor([1.0, -1, -1]) + torch.tensor([0, 0.3, 2.8]) + shift
        return rasterize(verts, body.faces, k, size, edges=edges).coverage()[0]

    truth = torch.tensor([-0.7, 0.3, 0.35]), torch.tensor(0.2), torch.tensor([0.1, -0.05, 0.1])
    want = mask(*truth)
    pool = lambda image, scale: torch.nn.functional.avg_pool2d(image[None], scale)  # noqa: E731
    found = [torch.zeros_like(value).requires_grad_() for value in truth]
    optimiser = torch.optim.Adam(found, lr=0.08)
    overlap = []
    for step in range(70):
        optimiser.param_groups[0]["lr"] = 0.08 * (1 - step / 70)
        got = mask(*found)
        optimiser.zero_grad()
        # Also on coarser pictures: where thin arms do not overlap yet, only those know which way to go.
        sum(scale**2 * (pool(got - want, scale) ** 2).sum() for scale in (1, 4, 12)).backward()
        optimiser.step()
        got = got.detach()
        overlap.append(float(torch.minimum(got, want).sum() / torch.maximum(got, want).sum()))
    assert overlap[0] < 0.6 and overlap[-1] > 0.97, overlap[::10]
    for value, wanted in zip(found, truth, strict=True):
        torch.testing.assert_close(value.detach(), wanted, atol=0.04, rtol=0)
