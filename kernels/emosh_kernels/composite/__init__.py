"""Textured layers over a background: from what each pixel sees of several meshes to colours."""

from emosh_kernels.composite.composite import Layer, composite

__all__ = ["Layer", "composite"]
