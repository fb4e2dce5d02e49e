"""Our rasteriser against PyTorch3D's: two programs that share no code see the same faces."""

import math

import pytest
import torch
from emosh_kernels.rasterize import rasterize
from emosh_kernels.rasterize.rasterize import NEAR

pytest.importorskip("pytorch3d._C", reason="needs a pytorch3d that fits the installed torch", exc_type=ImportError)
from emosh_kernels.rasterize import pytorch3d as peer

K = torch.tensor([[[90.0, 0, 30], [0, 80, 17], [0, 0, 1]], [[60, 0, 25], [0, 70, 24], [0, 0, 1]]])
"""Not centred, pixels not square, another camera in each frame."""


def both(verts, faces, k, size):
    ours = rasterize(verts, faces, k, size, impl="numba")
    return ours, peer.rasterize(verts, faces, k, size, NEAR)


def bumpy_sphere(rings=24, spokes=40):
    """Two frames (2, V, 3) of a knobbly ball that hides parts of itself, and its faces."""
    theta, phi = torch.meshgrid(
        torch.linspace(0.05, math.pi - 0.05, rings), torch.arange(spokes) * (2 * math.pi / spokes), indexing="ij"
    )
    radius = 0.3 * (1 + 0.3 * torch.sin(5 * theta) * torch.cos(4 * phi))
    ball = torch.stack([theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin()], -1) * radius[..., None]
    at = torch.arange(rings * spokes).view(rings, spokes)
    a, b, c, d = at[:-1], at[1:], at.roll(-1, 1)[:-1], at.roll(-1, 1)[1:]
    faces = torch.cat([torch.stack([a, b, c], -1).view(-1, 3), torch.stack([c, b, d], -1).view(-1, 3)])
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.4, 0.7], [0.4, 0, 0.2], [-0.7, -0.2, 0]]))
    verts = ball.view(-1, 3)
    return torch.stack([verts, verts @ turn.T]) + torch.tensor([0.03, -0.02, 1.2]), faces


@pytest.mark.parametrize("size", [(40, 64), (64, 40), (48, 48)])
def test_the_same_faces_depths_and_weights(size):
    verts, faces = bumpy_sphere()
    ours, (face_id, depth, bary) = both(verts, faces, K, size)
    same = face_id == ours.face_id
    assert same.float().mean() >= 0.999
    seen = same & (face_id >= 0)
    assert all(int(count) > 300 for count in seen.sum((1, 2)))
    torch.testing.assert_close(depth[seen], ours.depth[seen], rtol=1e-5, atol=0)
    torch.testing.assert_close(bary[seen], ours.bary[seen], rtol=0, atol=2e-3)  # theirs is float32 throughout


def test_the_background_is_marked_alike():
    verts, faces = bumpy_sphere()
    ours, (face_id, depth, bary) = both(verts, faces, K, (40, 64))
    nothing = (face_id == -1) & (ours.face_id == -1)
    assert nothing.sum() > 300
    assert depth[nothing].isinf().all() and (bary[nothing] == 0).all()


def test_faces_that_cross_the_camera_plane():
    """A floor from behind the camera to far away."""
    verts = torch.tensor([[[-5.0, 1, -5], [5, 1, -5], [-50, 1, 100], [50, 1, 100]]])
    ours, (face_id, depth, bary) = both(verts, torch.tensor([[0, 1, 2], [2, 1, 3]]), K[:1], (40, 64))
    same = face_id == ours.face_id
    assert same.float().mean() >= 0.99 and (face_id[0, 25:] >= 0).all()
    seen = same & (face_id >= 0)
    torch.testing.assert_close(depth[seen], ours.depth[seen], rtol=1e-3, atol=0)
    torch.testing.assert_close(bary[seen], ours.bary[seen], rtol=0, atol=5e-3)
