"""Rasteriser and strokes in Triton: natively where there is CUDA, else in its interpreter, at sizes it can bear."""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from emosh_kernels.composite import Layer, composite
from emosh_kernels.dispatch import TRITON_RUNS_ON
from emosh_kernels.rasterize import Fragments, mesh_edges, rasterize
from emosh_kernels.strokes import Strokes, draw_strokes

NATIVE = torch.cuda.is_available()
INTERPRETED = "cpu" in TRITON_RUNS_ON and not NATIVE
DEVICE = "cuda" if NATIVE else "cpu"
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
runs = pytest.mark.skipif(not (NATIVE or INTERPRETED), reason="needs a CUDA device")
K = torch.tensor([[20.0, 0, 9], [0, 20, 7], [0, 0, 1]])


def soup(seed, frames=2, count=14, faces=9):
    generator = torch.Generator().manual_seed(seed)
    verts = torch.randn(frames, count, 3, generator=generator) * torch.tensor([0.3, 0.3, 1.0])
    verts = verts + torch.tensor([0, 0, 0.6])
    verts[:, :3] *= 100  # far off the picture, behind the camera, slivers
    verts[:, 4] = verts[:, 5]  # faces without area
    return verts, torch.randint(0, count, (faces, 3), generator=generator)


@pytest.mark.gpu
@runs
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("size", [(1, 1), (14, 18), (3, 40)])
def test_triton_rasterises_what_the_reference_does(seed, size):
    verts, faces = soup(seed)
    edges = mesh_edges(faces)
    want = rasterize(verts, faces, K, size, edges=edges, impl="reference")
    got = rasterize(verts.to(DEVICE), faces.to(DEVICE), K.to(DEVICE), size, edges=edges.to(DEVICE), impl="triton")
    assert torch.equal(got.face_id.cpu(), want.face_id)
    assert torch.equal(got.depth.cpu(), want.depth)
    assert torch.equal(got.bary.cpu(), want.bary)
    assert torch.equal(got.crossings.to.cpu(), want.crossings.to)
    torch.testing.assert_close(got.coverage().cpu(), want.coverage())


@pytest.mark.gpu
@runs
def test_triton_draws_small_and_large_faces_and_ties_alike():
    """A grid of small faces over one that fills the picture, at equal depth in part."""
    axis = torch.linspace(-0.5, 0.5, 5)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    verts = torch.cat([torch.cat([grid, torch.ones(25, 1)], 1), torch.tensor([[-9.0, -9, 1], [9, -9, 1], [0, 9, 1]])])
    cells = [r * 5 + c for r in range(4) for c in range(4)]
    faces = torch.tensor([[25, 26, 27]] + [f for a in cells for f in ([a, a + 1, a + 5], [a + 5, a + 1, a + 6])])
    for order in (faces, faces.flip(0)):
        want = rasterize(verts[None], order, K, (14, 18), impl="reference")
        got = rasterize(verts[None].to(DEVICE), order.to(DEVICE), K.to(DEVICE), (14, 18), impl="triton")
        assert torch.equal(got.face_id.cpu(), want.face_id) and (want.face_id >= 0).all()


@pytest.mark.gpu
@runs
@pytest.mark.parametrize("hides", [False, True])
def test_triton_strokes_like_the_reference(hides):
    torch.manual_seed(0)
    lines = Strokes(
        ends=torch.rand(2, 9, 2, 2) * 40 - 5, distance=torch.rand(2, 9, 2) + 0.2, width=torch.rand(2, 9) * 4,
        color=torch.rand(9, 3), tolerance=torch.rand(9) * 0.1, drawn=torch.rand(2, 9) > 0.2,
    )  # fmt: skip
    image, depth = torch.rand(2, 19, 33, 3), (torch.rand(2, 19, 33) + 0.3 if hides else None)
    want = draw_strokes(image.clone(), lines, depth, impl="reference")
    moved = Strokes(**{name: value.to(DEVICE) for name, value in vars(lines).items()})
    got = draw_strokes(image.to(DEVICE).clone(), moved, None if depth is None else depth.to(DEVICE), impl="triton")
    torch.testing.assert_close(got.cpu(), want, atol=1e-5, rtol=0)


@pytest.mark.gpu
@runs
@pytest.mark.parametrize("oversample", [1, 2])
def test_triton_composites_like_the_reference(oversample):
    generator = torch.Generator().manual_seed(oversample)
    random = lambda *dims: torch.rand(*dims, generator=generator)  # noqa: E731
    layers = []
    for seed in range(3):
        verts, faces = soup(seed)
        texture, values = random(5, 6, 4), random(2, 14, 7) * torch.tensor([8.0, 7, 1.5, 1.5, 1.5, 1, 0.5]) - 0.2
        texture[..., :3] *= texture[..., 3:]
        seen = rasterize(verts, faces, K, (12, 16), impl="reference")
        layers.append(Layer(seen, faces, values, texture))
    layers[2] = replace(layers[2], fragments=layers[1].fragments)  # everywhere as deep as another
    want = composite(layers, oversample=oversample, impl="reference")
    moved = [
        Layer(Fragments(*(getattr(x.fragments, name).to(DEVICE) for name in ("face_id", "depth", "bary"))),
              x.faces.to(DEVICE), x.values.to(DEVICE), x.texture.to(DEVICE))
        for x in layers
    ]  # fmt: skip
    got = composite(moved, oversample=oversample, impl="triton")
    torch.testing.assert_close(got.cpu(), want, atol=2e-5, rtol=0)
    assert (want[..., 3] > 0).any() and (want[..., 3] < 1).any()


@needs_triton
@pytest.mark.skipif(NATIVE or INTERPRETED, reason="it runs natively, or here already")
def test_in_the_interpreter_without_a_gpu():
    here = Path(__file__)
    command = [sys.executable, "-m", "pytest", "-q", str(here), "--confcutdir", str(here.parent), "-k", "test_triton_"]
    result = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    assert re.search(r"\b11 passed", result.stdout) and "skipped" not in result.stdout, result.stdout[-500:]


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="the interpreter does not compile")
@pytest.mark.parametrize("name", ["_draw_small", "_draw_large", "_resolve", "strokes", "look_up", "layers"])
def test_compiles_for_cuda(name):
    """The compiler needs no GPU."""
    import triton
    from emosh_kernels.composite import triton as layers
    from emosh_kernels.rasterize import triton as faces
    from emosh_kernels.strokes import triton as lines
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if name == "strokes":
        kernel, constants = lines._draw, {"HIDES": True, "SIDE": 16, "CHANNELS": 4}
        pointers = {"picture": "*fp32", "table": "*fp64", "color": "*fp32", "drawn": "*i8", "surface": "*fp32"}
    elif name == "look_up":
        kernel, constants = layers._look_up, {"SIZE": 128}
        pointers = {"face_id": "*i32", "bary": "*fp32", "values": "*fp32", "faces": "*i32", "texture": "*fp32",
                    "color": "*fp32"}  # fmt: skip
    elif name == "layers":
        kernel, constants = layers._resolve, {"SIZE": 128, "LAYERS": 4, "FINE": 2}
        pointers = {"painted": "*fp32", "depth": "*fp32", "out": "*fp32"}
    else:
        kernel, constants = getattr(faces, name), {"BLOCK": 64}
        pointers = {"points": "*fp64", "faces": "*i32", "key": "*i64", "large": "*i8", "items": "*i32",
                    "face_id": "*i32", "depth": "*fp32", "bary": "*fp32", "near": "fp32"}  # fmt: skip
    kinds = {n: "constexpr" if n in constants else pointers.get(n, "i32") for n in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=kinds, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": False})
    assert len(compiled.asm["cubin"]) > 1000
    assert not re.search(r"\bfma\.\w+\.f64", compiled.asm["ptx"])  # fused sums would round unlike the reference
