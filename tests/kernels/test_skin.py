"""Skinning: every implementation gives the reference's result and gradients, and the reference is right."""

import importlib
import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from emosh_kernels.dispatch import TRITON_RUNS_ON
from emosh_kernels.skin import bind, skin
from hypothesis import given, settings
from hypothesis import strategies as st

INTERPRETED = "cpu" in TRITON_RUNS_ON and not torch.cuda.is_available()
TRITON = pytest.param("triton", marks=[
    pytest.mark.gpu, pytest.mark.skipif(not (torch.cuda.is_available() or INTERPRETED), reason="needs a CUDA device"),
])  # fmt: skip
COMPILED = pytest.mark.parametrize("impl", ["numba", TRITON])
IMPLS = pytest.mark.parametrize("impl", ["reference", "numba", TRITON])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 2e-6}, torch.float64: {"rtol": 1e-12, "atol": 1e-13}}


def device_of(impl):
    return "cuda" if impl == "triton" and torch.cuda.is_available() else "cpu"


def random_inputs(frames, count, joints, *, shared=False, dtype=torch.float64, device="cpu"):
    """Vertices, weights (most of them 0, some vertices without any) and affine maps."""
    weights = torch.rand(count, joints, dtype=dtype) * (torch.rand(count, joints) < 0.4)
    weights = weights / weights.sum(1, keepdim=True).clip(min=1e-3)
    verts = torch.randn(1 if shared else frames, count, 3, dtype=dtype)
    return tuple(x.to(device) for x in (verts, weights, torch.randn(frames, joints, 3, 4, dtype=dtype)))


def rotations(*shape):
    return torch.linalg.qr(torch.randn(*shape, 3, 3, dtype=torch.float64))[0]


def with_gradients(impl, verts, weights, transforms):
    """Skinned vertices and the gradients of vertices and transforms for one fixed, uneven loss, on the CPU."""
    device = device_of(impl)
    verts, transforms = (x.detach().clone().to(device).requires_grad_() for x in (verts, transforms))
    posed = skin(verts, bind(weights.to(device)), transforms, impl=impl)
    wave = torch.sin(torch.arange(posed.numel(), dtype=posed.dtype, device=device)).view_as(posed)
    (posed * wave).sum().backward()
    return tuple(x.detach().cpu() for x in (posed, verts.grad, transforms.grad))


def assert_all_close(got, want, dtype):
    for name, a, b in zip(("posed", "verts", "transforms"), got, want, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE[dtype], msg=lambda text, name=name: f"{name}: {text}")


@COMPILED
@DTYPES
@settings(max_examples=5 if INTERPRETED else 30, deadline=None)
@given(seed=st.integers(0, 2**31), frames=st.integers(1, 4), count=st.sampled_from([1, 2, 7, 129]),
       joints=st.sampled_from([1, 2, 5]), shared=st.booleans())  # fmt: skip
def test_equals_reference_forwards_and_backwards(impl, dtype, seed, frames, count, joints, shared):
    torch.manual_seed(seed)
    inputs = random_inputs(frames, count, joints, shared=shared, dtype=dtype)
    assert_all_close(with_gradients(impl, *inputs), with_gradients("reference", *inputs), dtype)


@COMPILED
def test_a_joint_with_more_vertices_than_one_block(impl):
    torch.manual_seed(0)
    inputs = random_inputs(1, 700, 2)
    assert_all_close(with_gradients(impl, *inputs), with_gradients("reference", *inputs), torch.float64)


@COMPILED
def test_views_that_are_not_contiguous(impl):
    torch.manual_seed(0)
    verts, weights, transforms = random_inputs(2, 9, 3)
    verts, transforms = verts.flip(1).transpose(0, 1).contiguous().transpose(0, 1), transforms.mT.contiguous().mT
    assert not verts.is_contiguous() and not transforms.is_contiguous()
    inputs = (verts, weights, transforms)
    assert_all_close(with_gradients(impl, *inputs), with_gradients("reference", *inputs), torch.float64)


@IMPLS
def test_worked_example(impl):
    """A forearm: joint 1 turns 90° about z at (1, 0, 0) and shifts by nothing; joint 0 rests."""
    weights = torch.tensor([[1.0, 0], [0.5, 0.5], [0, 1]])
    verts = torch.tensor([[[0.5, 0, 0], [1, 0.2, 0], [2, 0, 0]]])
    turn = torch.tensor([[0.0, -1, 0, 1], [1, 0, 0, -1], [0, 0, 1, 0]])
    device = device_of(impl)
    transforms = torch.stack([torch.eye(3, 4), turn])[None].to(device)
    posed = skin(verts.to(device), bind(weights.to(device)), transforms, impl=impl).cpu()
    torch.testing.assert_close(posed, torch.tensor([[[0.5, 0, 0], [0.9, 0.1, 0], [1, 1, 0]]]))


@IMPLS
@settings(max_examples=3 if INTERPRETED else 20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_commutes_with_rigid_motions(impl, seed):
    """With weights that sum to 1, moving all joints moves the skin, and one motion of all keeps it rigid."""
    torch.manual_seed(seed)
    device = device_of(impl)
    verts, weights, transforms = random_inputs(2, 20, 4)
    weights[:, 0] += 1 - weights.sum(1)
    turn, shift = rotations(2), torch.randn(2, 3, dtype=torch.float64)
    moved = turn[:, None] @ transforms
    moved[..., 3] += shift[:, None]
    alike = torch.cat([turn, shift[..., None]], -1)[:, None].expand(-1, 4, -1, -1)
    binding = bind(weights.to(device))
    before, after, rigid = (skin(verts.to(device), binding, x.to(device), impl=impl).cpu()
                            for x in (transforms, moved, alike))  # fmt: skip
    torch.testing.assert_close(after, before @ turn.mT + shift[:, None])
    torch.testing.assert_close(torch.cdist(rigid, rigid), torch.cdist(verts, verts), rtol=0, atol=1e-6)
    torch.testing.assert_close(rigid, verts @ turn.mT + shift[:, None])


@IMPLS
def test_shared_vertices_get_the_sum_of_the_gradients_of_all_frames(impl):
    torch.manual_seed(0)
    verts, weights, transforms = random_inputs(3, 6, 2, shared=True)
    posed, of_shared, of_transforms = with_gradients(impl, verts, weights, transforms)
    apart = with_gradients(impl, verts.expand(3, -1, -1), weights, transforms)
    torch.testing.assert_close(posed, apart[0])
    torch.testing.assert_close(of_shared, apart[1].sum(0, keepdim=True))
    torch.testing.assert_close(of_transforms, apart[2])


@pytest.mark.parametrize("impl", ["reference", "numba"])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_right(impl, shared):
    torch.manual_seed(0)
    verts, weights, transforms = random_inputs(2, 5, 3, shared=shared)
    binding = bind(weights)
    inputs = (verts.requires_grad_(), transforms.requires_grad_())
    assert torch.autograd.gradcheck(lambda v, m: skin(v, binding, m, impl=impl), inputs, check_forward_ad=True)


@COMPILED
@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_gradient_that_is_wanted_is_computed(impl, wanted, monkeypatch):
    torch.manual_seed(0)
    kernels = importlib.import_module(f"emosh_kernels.skin.{impl}")
    monkeypatch.delattr(kernels, ("transforms_gradient", "verts_gradient")[wanted])
    device = device_of(impl)
    verts, weights, transforms = random_inputs(2, 5, 3, device=device)
    inputs = [verts, transforms]
    inputs[wanted].requires_grad_()
    skin(inputs[0], bind(weights), inputs[1], impl=impl).square().sum().backward()
    assert inputs[wanted].grad is not None and inputs[1 - wanted].grad is None
    assert not skin(verts.detach(), bind(weights), transforms.detach(), impl=impl).requires_grad


@COMPILED
@pytest.mark.parametrize("shared", [False, True])
def test_jacobian_in_forward_mode(impl, shared):
    """The tracker's Laplace approximation takes it: tangents are batched, values are not."""
    torch.manual_seed(0)
    device = device_of(impl)
    verts, weights, transforms = random_inputs(2, 4, 3, shared=shared, device=device)
    binding, directions = bind(weights), torch.randn(5, 3, 4, dtype=torch.float64, device=device)

    def posed(x, impl):
        return skin(verts * (1 + x[0]), binding, transforms + (x[:, None, None] * directions).sum(0), impl=impl)

    at = torch.zeros(5, dtype=torch.float64, device=device)
    got = torch.func.jacfwd(lambda x: posed(x, impl))(at)
    torch.testing.assert_close(got, torch.autograd.functional.jacobian(lambda x: posed(x, "reference"), at))


def test_result_does_not_depend_on_threads():
    torch.manual_seed(0)
    inputs = random_inputs(31, 2111, 5, shared=True, dtype=torch.float32)  # enough for three threads
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(with_gradients("numba", *inputs))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@IMPLS
def test_nothing_to_do(impl):
    device = device_of(impl)
    for frames, count in ((0, 3), (2, 0)):
        verts, weights, transforms = random_inputs(frames, count, 2, device=device)
        assert skin(verts, bind(weights), transforms, impl=impl).shape == (frames, count, 3)


def test_binding_lists_every_weight_twice():
    weights = torch.tensor([[0, 0.25, 0.75], [0, 0, 0], [1, 0, 0]])
    binding = bind(weights)
    assert binding.starts.tolist() == [0, 2, 2, 3] and binding.joints.tolist() == [1, 2, 0]
    assert binding.weights.tolist() == [0.25, 0.75, 1] and binding.longest == 2
    assert binding.joint_starts.tolist() == [0, 1, 2, 3] and binding.joint_verts.tolist() == [2, 0, 0]
    assert binding.joint_weights.tolist() == [1, 0.25, 0.75]


@pytest.mark.parametrize("impl", ["reference", "numba"])
def test_bad_input_is_refused(impl):
    verts, weights, transforms = random_inputs(2, 5, 3)
    binding = bind(weights)
    for bad in (math.nan, math.inf, -math.inf):
        for broken in (verts, transforms):
            value = broken.view(-1)[4].item()
            broken.view(-1)[4] = bad
            with pytest.raises(ValueError, match="finite"):
                skin(verts, binding, transforms, impl=impl)
            broken.view(-1)[4] = value
    wrong = {
        "transforms must be (T, 3, 3, 4) for this binding, got (2, 2, 3, 4)": (verts, transforms[:, :2]),
        "verts must be (T, 5, 3) for this binding with T = 2 or 1, got (3, 5, 3)": (verts[[0, 0, 1]], transforms),
        "verts must be (T, 5, 3) for this binding with T = 2 or 1, got (5, 3)": (verts[0], transforms),
        "transforms must be torch.float64 on cpu like the binding, got torch.float32": (verts, transforms.float()),
    }
    for message, (some_verts, some_transforms) in wrong.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            skin(some_verts, binding, some_transforms, impl=impl)


def test_bad_weights_are_refused():
    weights = torch.eye(3)
    with pytest.raises(ValueError, match="requires a gradient"):
        bind(weights.clone().requires_grad_())
    with pytest.raises(ValueError, match="finite"):
        bind(weights * math.nan)
    for bad in (weights[0], weights.int(), weights.half()):
        with pytest.raises(ValueError, match=re.escape("lbs_weights must be (V, J) float32 or float64")):
            bind(bad)


def test_impl_that_is_unknown_or_cannot_run_is_an_error():
    verts, weights, transforms = random_inputs(2, 5, 3)
    with pytest.raises(ValueError, match="metal"):
        skin(verts, bind(weights), transforms, impl="metal")
    if not INTERPRETED:
        with pytest.raises(RuntimeError, match="'triton' runs on cuda, the inputs are on cpu"):
            skin(verts, bind(weights), transforms, impl="triton")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
@pytest.mark.skipif(torch.cuda.is_available() or INTERPRETED, reason="it runs natively, or here already")
def test_in_the_interpreter_without_a_gpu():
    here = Path(__file__)
    command = [sys.executable, "-m", "pytest", "-q", str(here), "--confcutdir", str(here.parent), "-k", "triton"]
    result = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    assert re.search(r"\b(1[2-9]|2\d) passed", result.stdout) and "skipped" not in result.stdout, result.stdout[-500:]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
@pytest.mark.skipif(INTERPRETED, reason="the interpreter does not compile")
@pytest.mark.parametrize("name", ["_forward", "_verts_gradient", "_transforms_gradient"])
def test_compiles_for_cuda_without_atomics(name):
    """The compiler needs no GPU; what it makes adds to no memory that two programs share."""
    import triton
    from emosh_kernels.skin import triton as kernels
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(kernels, name)
    floats = {"verts", "gradient", "weights", "joint_weights", "transforms", "posed", "result"}
    numbers = {"count", "joint_count", "longest", "per_frame", "shared_by"}
    kinds = {n: "*fp32" if n in floats else "i32" if n in numbers else "*i32" for n in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=kinds | {"BLOCK": "constexpr"}, constexprs={"BLOCK": 128})
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": False})
    assert len(compiled.asm["cubin"]) > 1000
    assert "st.global" in compiled.asm["ptx"] and not re.search(r"\b(atom|red)\.", compiled.asm["ptx"])
