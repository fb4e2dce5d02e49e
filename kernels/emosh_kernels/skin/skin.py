"""The public function: checks its inputs once, then picks an implementation."""

import torch
from torch import Tensor

from emosh_kernels.dispatch import TRITON_RUNS_ON, choose
from emosh_kernels.skin import reference
from emosh_kernels.skin.binding import Binding

OFFERED = {"numba": ("cpu",), "triton": TRITON_RUNS_ON, "reference": ("cpu", "cuda")}


def skin(verts: Tensor, binding: Binding, transforms: Tensor, *, impl: str = "auto") -> Tensor:
    """Move vertices with the joints they are bound to: v' = Σ_j w_j (R_j v + p_j).

    Differentiable with respect to `verts` and `transforms`; the compiled implementations once in
    reverse mode, and in forward mode. The result is deterministic and does not depend on the number of
    threads (the reference's may, as torch's matrix product decides).

    Args:
        verts: (T, V, 3), or (1, V, 3) shared by all frames [m].
        binding: `bind(lbs_weights)`, on the device of `verts` and of its dtype.
        transforms: (T, J, 3, 4) each joint's affine map (R_j | p_j), away from where `verts` rest.
        impl: "auto", "reference", "numba" or "triton"; all give the same result but for rounding.

    Returns:
        Posed vertices (T, V, 3) [m].

    Raises:
        ValueError: a shape, dtype or device is wrong, or a number is not finite (not looked at within torch.func).
        RuntimeError: the implementation asked for cannot run here.
    """
    _check(verts, binding, transforms)
    chosen = choose("skin", impl, verts.device.type, OFFERED)
    if chosen == "reference":
        return reference.skin(verts, binding, transforms)
    from emosh_kernels.skin.differentiate import Skin

    if chosen == "numba":
        from emosh_kernels.skin import numba as kernels  # compiled on first use
    else:
        from emosh_kernels.skin import triton as kernels
    return Skin.apply(verts, transforms, binding, kernels)


def _check(verts: Tensor, binding: Binding, transforms: Tensor) -> None:
    bound, joints = binding.lbs_weights.shape
    if transforms.ndim != 4 or transforms.shape[1:] != (joints, 3, 4):
        raise ValueError(f"transforms must be (T, {joints}, 3, 4) for this binding, got {tuple(transforms.shape)}")
    frames = len(transforms)
    if verts.ndim != 3 or verts.shape[1:] != (bound, 3) or len(verts) not in (1, frames):
        raise ValueError(
            f"verts must be (T, {bound}, 3) for this binding with T = {frames} or 1, got {tuple(verts.shape)}"
        )
    inputs = {"verts": verts, "transforms": transforms}
    for name, values in inputs.items():
        if values.dtype != binding.weights.dtype or values.device != binding.weights.device:
            raise ValueError(
                f"{name} must be {binding.weights.dtype} on {binding.weights.device} like the binding, "
                f"got {values.dtype} on {values.device}"
            )
    for name, values in inputs.items():
        if not _finite(values):
            raise ValueError(f"{name} must be finite")


def _finite(values: Tensor) -> bool:
    """Look at the smallest and the largest number: ten times as fast as torch.isfinite of each."""
    if values.numel() == 0 or torch.func.debug_unwrap(values) is not values:
        return True  # within vmap and jvp the numbers cannot be looked at
    return bool(torch.stack(torch.aminmax(values.detach())).isfinite().all())
