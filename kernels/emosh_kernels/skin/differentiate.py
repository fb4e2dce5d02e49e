"""How gradients pass through skinning, written once for all compiled implementations.

Skinning is linear in the vertices and linear in the transforms:
v' = Σ_j w_j (R_j v + p_j), so that for the gradient g of v'
∂v = Σ_j w_j R_jᵀ g and ∂(R_j, p_j) = Σ_v w_j g (v, 1)ᵀ,
and a tangent of v' is v' with the tangent in the place of its value (p_j = 0 for a tangent of v).
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emosh_kernels.skin.binding import Binding


class Kernels(Protocol):
    """The three loops that an implementation compiles; a module with these functions is one."""

    def forward(self, verts: Tensor, binding: Binding, transforms: Tensor) -> Tensor:
        """Return the posed vertices (T, V, 3)."""

    def verts_gradient(self, gradient: Tensor, binding: Binding, transforms: Tensor, frames: int) -> Tensor:
        """Return the gradient (frames, V, 3) of the vertices; `frames` is T, or 1 for the sum over T."""

    def transforms_gradient(self, gradient: Tensor, verts: Tensor, binding: Binding) -> Tensor:
        """Return the gradient (T, J, 3, 4) of the transforms."""


class Skin(torch.autograd.Function):
    """Skinning as an operation of torch: reverse mode once, forward mode, and vmap (for Jacobians)."""

    @staticmethod
    def forward(verts: Tensor, transforms: Tensor, binding: Binding, kernels: Kernels) -> Tensor:
        """Return the posed vertices (T, V, 3)."""
        return kernels.forward(verts.detach().contiguous(), binding, transforms.detach().contiguous())

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Keep what the derivatives need."""
        verts, transforms, ctx.binding, ctx.kernels = inputs
        ctx.save_for_backward(verts, transforms)
        ctx.save_for_forward(verts, transforms)
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor | None):
        """Return the gradients of the vertices and of the transforms."""
        if gradient is None:
            return None, None, None, None
        verts, transforms = (x.detach().contiguous() for x in ctx.saved_tensors)
        gradient = gradient.contiguous()
        of_verts = of_transforms = None
        if ctx.needs_input_grad[0]:
            of_verts = ctx.kernels.verts_gradient(gradient, ctx.binding, transforms, len(verts))
        if ctx.needs_input_grad[1]:
            of_transforms = ctx.kernels.transforms_gradient(gradient, verts, ctx.binding)
        return of_verts, of_transforms, None, None

    @staticmethod
    def jvp(ctx, verts_tangent: Tensor | None, transforms_tangent: Tensor | None, *_) -> Tensor | None:
        """Return the tangent of the posed vertices."""
        verts, transforms = ctx.saved_tensors
        parts = []
        if verts_tangent is not None:
            turned = torch.cat([transforms[..., :3], torch.zeros_like(transforms[..., 3:])], -1)
            parts.append(Skin.apply(verts_tangent, turned, ctx.binding, ctx.kernels))
        if transforms_tangent is not None:
            parts.append(Skin.apply(verts, transforms_tangent, ctx.binding, ctx.kernels))
        return sum(parts[1:], parts[0]) if parts else None

    @staticmethod
    def vmap(info, in_dims, verts: Tensor, transforms: Tensor, binding: Binding, kernels: Kernels):
        """Skin a batch at once: as more frames."""
        batched = [
            value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
            for value, dim in zip((verts, transforms), in_dims, strict=False)
        ]
        frames = batched[1].shape[1]
        verts = batched[0].expand(-1, frames, -1, -1).flatten(0, 1)
        posed = Skin.apply(verts, batched[1].flatten(0, 1), binding, kernels)
        return posed.unflatten(0, (info.batch_size, frames)), 0
