"""Compiled for CUDA: one program per frame and block of vertices, or per frame and joint.

No program adds to what another writes: there are no atomics, and the same inputs give the same bits.
Sums over vertices follow the joint-major lists of the binding. Neighbouring vertices lie in
neighbouring lanes and mostly share their joints, so reads of positions fill whole cache lines and the
few transforms of a frame stay in the first-level cache. Plain multiplies and adds in the dtype of the
inputs; there is no matrix product that could fall back to fewer bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from emosh_kernels.skin.binding import Binding

VERTS = 128  # per program
HELD = 256  # vertices of a joint that are summed at once


def forward(verts: Tensor, binding: Binding, transforms: Tensor) -> Tensor:
    """Return the posed vertices (T, V, 3)."""
    frames, count = len(transforms), verts.shape[1]
    posed = torch.empty(frames, count, 3, dtype=verts.dtype, device=verts.device)
    _launch(
        _forward, (frames, triton.cdiv(count, VERTS)), VERTS,
        verts, binding.starts, binding.joints, binding.weights, transforms, posed,
        count, transforms.shape[1], binding.longest, int(len(verts) > 1),
    )  # fmt: skip
    return posed


def verts_gradient(gradient: Tensor, binding: Binding, transforms: Tensor, frames: int) -> Tensor:
    """Return the gradient (frames, V, 3) of the vertices; `frames` is T, or 1 for the sum over T."""
    count = gradient.shape[1]
    result = torch.zeros(frames, count, 3, dtype=gradient.dtype, device=gradient.device)
    _launch(
        _verts_gradient, (frames, triton.cdiv(count, VERTS)), VERTS,
        gradient, binding.starts, binding.joints, binding.weights, transforms, result,
        count, transforms.shape[1], binding.longest, len(gradient) // max(frames, 1),
    )  # fmt: skip
    return result


def transforms_gradient(gradient: Tensor, verts: Tensor, binding: Binding) -> Tensor:
    """Return the gradient (T, J, 3, 4) of the transforms."""
    frames, count = gradient.shape[:2]
    joints = binding.lbs_weights.shape[1]
    result = torch.empty(frames, joints, 3, 4, dtype=gradient.dtype, device=gradient.device)
    _launch(
        _transforms_gradient, (frames, joints), HELD,
        gradient, verts, binding.joint_starts, binding.joint_verts, binding.joint_weights, result,
        count, joints, int(len(verts) > 1),
    )  # fmt: skip
    return result


def _launch(kernel, grid: tuple[int, int], block: int, *arguments) -> None:
    if min(grid):
        with torch.cuda.device_of(arguments[0]):  # Triton launches on the current device, whatever the tensors' is
            # Releases of Triton differ in whether they fuse a product with a sum unless told.
            kernel[grid](*arguments, BLOCK=block, enable_fp_fusion=False)


@triton.jit
def _forward(
    verts, starts, joints, weights, transforms, posed, count, joint_count, longest, per_frame,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Skin a block of vertices of one frame; `per_frame` is 0 where all frames share their rest vertices."""
    t = tl.program_id(0).to(tl.int64)
    v = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = v < count
    rest = verts + t * per_frame * count * 3 + v * 3
    x = tl.load(rest, inside, 0)
    y = tl.load(rest + 1, inside, 0)
    z = tl.load(rest + 2, inside, 0)
    first = tl.load(starts + v, inside, 0)
    stop = tl.load(starts + v + 1, inside, 0)
    a = tl.zeros_like(x)
    b = tl.zeros_like(x)
    c = tl.zeros_like(x)
    for k in range(longest):
        held = first + k < stop
        w = tl.load(weights + first + k, held, 0)
        m = transforms + (t * joint_count + tl.load(joints + first + k, held, 0)) * 12
        a += w * (tl.load(m, held, 0) * x + tl.load(m + 1, held, 0) * y
                  + tl.load(m + 2, held, 0) * z + tl.load(m + 3, held, 0))  # fmt: skip
        b += w * (tl.load(m + 4, held, 0) * x + tl.load(m + 5, held, 0) * y
                  + tl.load(m + 6, held, 0) * z + tl.load(m + 7, held, 0))  # fmt: skip
        c += w * (tl.load(m + 8, held, 0) * x + tl.load(m + 9, held, 0) * y
                  + tl.load(m + 10, held, 0) * z + tl.load(m + 11, held, 0))  # fmt: skip
    out = posed + t * count * 3 + v * 3
    tl.store(out, a, inside)
    tl.store(out + 1, b, inside)
    tl.store(out + 2, c, inside)


@triton.jit
def _verts_gradient(
    gradient, starts, joints, weights, transforms, result, count, joint_count, longest, shared_by,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up the gradient of a block of rest vertices over the `shared_by` frames that share them, in order."""
    own = tl.program_id(0).to(tl.int64)
    v = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = v < count
    first = tl.load(starts + v, inside, 0)
    stop = tl.load(starts + v + 1, inside, 0)
    out = result + own * count * 3 + v * 3
    a = tl.load(out, inside, 0)  # zeros, of the right dtype
    b = tl.zeros_like(a)
    c = tl.zeros_like(a)
    for t in range(own * shared_by, (own + 1) * shared_by):
        pull = gradient + t * count * 3 + v * 3
        x = tl.load(pull, inside, 0)
        y = tl.load(pull + 1, inside, 0)
        z = tl.load(pull + 2, inside, 0)
        for k in range(longest):
            held = first + k < stop
            w = tl.load(weights + first + k, held, 0)
            m = transforms + (t * joint_count + tl.load(joints + first + k, held, 0)) * 12
            a += w * (tl.load(m, held, 0) * x + tl.load(m + 4, held, 0) * y + tl.load(m + 8, held, 0) * z)
            b += w * (tl.load(m + 1, held, 0) * x + tl.load(m + 5, held, 0) * y + tl.load(m + 9, held, 0) * z)
            c += w * (tl.load(m + 2, held, 0) * x + tl.load(m + 6, held, 0) * y + tl.load(m + 10, held, 0) * z)
    tl.store(out, a, inside)
    tl.store(out + 1, b, inside)
    tl.store(out + 2, c, inside)


@triton.jit
def _transforms_gradient(
    gradient, verts, joint_starts, joint_verts, joint_weights, result, count, joint_count, per_frame,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up the gradient of one joint's transform in one frame over the vertices that it holds."""
    t = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1)
    pull = gradient + t * count * 3
    rest = verts + t * per_frame * count * 3
    first = tl.load(joint_starts + j)
    stop = tl.load(joint_starts + j + 1)
    lane = tl.arange(0, BLOCK)
    column = tl.arange(0, 4)[None, :]
    total_x = tl.zeros((BLOCK, 4), dtype=result.dtype.element_ty)
    total_y = tl.zeros((BLOCK, 4), dtype=result.dtype.element_ty)
    total_z = tl.zeros((BLOCK, 4), dtype=result.dtype.element_ty)
    for n in range(first, stop, BLOCK):
        held = n + lane < stop
        v = tl.load(joint_verts + n + lane, held, 0) * 3
        w = tl.load(joint_weights + n + lane, held, 0)
        place = tl.load(rest + v[:, None] + column, held[:, None] & (column < 3), 1)  # (v, 1)
        total_x += (w * tl.load(pull + v, held, 0))[:, None] * place
        total_y += (w * tl.load(pull + v + 1, held, 0))[:, None] * place
        total_z += (w * tl.load(pull + v + 2, held, 0))[:, None] * place
    out = result + (t * joint_count + j) * 12 + tl.arange(0, 4)
    tl.store(out, tl.sum(total_x, 0))
    tl.store(out + 4, tl.sum(total_y, 0))
    tl.store(out + 8, tl.sum(total_z, 0))
