"""Triangle rasteriser: which face each pixel sees, how far away, where on the face, and how outlines run."""

from emosh_kernels.rasterize.edges import mesh_edges
from emosh_kernels.rasterize.rasterize import Fragments, rasterize
from emosh_kernels.rasterize.silhouette import Crossings

__all__ = ["Crossings", "Fragments", "mesh_edges", "rasterize"]
