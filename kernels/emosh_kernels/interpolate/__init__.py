"""Values of a mesh's corners at the pixels that see it."""

from emosh_kernels.interpolate.interpolate import interpolate

__all__ = ["interpolate"]
