"""Triangle rasteriser: which face each pixel sees, how far away, and where on the face."""

from emosh_kernels.rasterize.rasterize import Fragments, rasterize

__all__ = ["Fragments", "rasterize"]
