"""Compiled for the CPU: each vertex visits only the joints that hold it.

Threads own vertices, or joints where a sum runs over vertices; every sum runs in one fixed order,
so the result is the same to the bit on any number of threads.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from emosh_kernels.skin.binding import Binding
from emosh_kernels.threads import for_each, stretches

WORTH_A_THREAD = 20_000
"""How many vertices, counted in every frame, take several times as long as waking a thread."""


def forward(verts: Tensor, binding: Binding, transforms: Tensor) -> Tensor:
    """Return the posed vertices (T, V, 3)."""
    posed = torch.empty(len(transforms), *verts.shape[1:], dtype=verts.dtype)
    arrays = (verts.numpy(), *_by_vertex(binding), transforms.numpy(), posed.numpy())
    for_each(lambda own: _forward(*arrays, *own), _own_verts(transforms, verts))
    return posed


def verts_gradient(gradient: Tensor, binding: Binding, transforms: Tensor, frames: int) -> Tensor:
    """Return the gradient (frames, V, 3) of the vertices; `frames` is T, or 1 for the sum over T."""
    result = torch.zeros(frames, *gradient.shape[1:], dtype=gradient.dtype)
    arrays = (gradient.numpy(), *_by_vertex(binding), transforms.numpy(), result.numpy())
    for_each(lambda own: _verts_gradient(*arrays, *own), _own_verts(transforms, gradient))
    return result


def transforms_gradient(gradient: Tensor, verts: Tensor, binding: Binding) -> Tensor:
    """Return the gradient (T, J, 3, 4) of the transforms."""
    joints = binding.lbs_weights.shape[1]
    result = torch.empty(len(gradient), joints, 3, 4, dtype=gradient.dtype)
    by_joint = (binding.joint_starts.numpy(), binding.joint_verts.numpy(), binding.joint_weights.numpy())
    arrays = (gradient.numpy(), verts.numpy(), *by_joint, result.numpy())
    least = 1 + WORTH_A_THREAD * joints // max(1, gradient.shape[1])
    for_each(lambda own: _transforms_gradient(*arrays, *own), stretches(len(gradient) * joints, least))
    return result


def _own_verts(transforms: Tensor, verts: Tensor) -> list[tuple[int, int]]:
    """Return which vertices each thread owns in all frames."""
    return stretches(verts.shape[1], 1 + WORTH_A_THREAD // max(1, len(transforms)))


def _by_vertex(binding: Binding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return binding.starts.numpy(), binding.joints.numpy(), binding.weights.numpy()


@njit(nogil=True, cache=True)
def _forward(verts, starts, joints, weights, transforms, posed, first, stop):
    """Skin the vertices first..stop of all frames."""
    zero = verts.dtype.type(0)
    for t in range(len(transforms)):
        rest = verts[t if len(verts) > 1 else 0]
        for v in range(first, stop):
            x, y, z = rest[v, 0], rest[v, 1], rest[v, 2]
            a, b, c = zero, zero, zero
            for n in range(starts[v], starts[v + 1]):
                m, w = transforms[t, joints[n]], weights[n]
                a += w * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3])
                b += w * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3])
                c += w * (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3])
            posed[t, v, 0], posed[t, v, 1], posed[t, v, 2] = a, b, c


@njit(nogil=True, cache=True)
def _verts_gradient(gradient, starts, joints, weights, transforms, result, first, stop):
    """Add up the gradient of the rest vertices first..stop over the frames that share them."""
    zero = gradient.dtype.type(0)
    for t in range(len(transforms)):
        total = result[t if len(result) > 1 else 0]
        for v in range(first, stop):
            x, y, z = gradient[t, v, 0], gradient[t, v, 1], gradient[t, v, 2]
            a, b, c = zero, zero, zero
            for n in range(starts[v], starts[v + 1]):
                m, w = transforms[t, joints[n]], weights[n]
                a += w * (m[0, 0] * x + m[1, 0] * y + m[2, 0] * z)
                b += w * (m[0, 1] * x + m[1, 1] * y + m[2, 1] * z)
                c += w * (m[0, 2] * x + m[1, 2] * y + m[2, 2] * z)
            total[v, 0] += a
            total[v, 1] += b
            total[v, 2] += c


@njit(nogil=True, cache=True)
def _transforms_gradient(gradient, verts, starts, held, weights, result, first, stop):
    """Add up the gradient of the transforms first..stop, counted frame by frame, over the vertices they hold."""
    joints = len(starts) - 1
    for transform in range(first, stop):
        t, j = transform // joints, transform % joints
        rest = verts[t if len(verts) > 1 else 0]
        total = np.zeros((3, 4))  # float64: a sum of thousands
        for n in range(starts[j], starts[j + 1]):
            v = held[n]
            for row in range(3):
                pull = weights[n] * gradient[t, v, row]
                total[row, 0] += pull * rest[v, 0]
                total[row, 1] += pull * rest[v, 1]
                total[row, 2] += pull * rest[v, 2]
                total[row, 3] += pull
        for row in range(3):
            for column in range(4):
                result[t, j, row, column] = total[row, column]
