"""The camera's focal length: given, written in the file, or assumed; always said which."""

import av
import torch
from PIL import Image
from torch import Tensor

from emosh_core.geometry.camera import default_intrinsics
from emosh_core.video_io import IMAGE_SUFFIXES, Source

FULL_FRAME = 43.27
"""[mm] diagonal of 24 × 36 film, to which "35 mm equivalent" refers."""
EXIF_IFD, FOCAL_35MM = 0x8769, 0xA405
APPLE_35MM = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def find_intrinsics(source: Source, focal: float = 0.0) -> tuple[Tensor, str]:
    """Return K (3, 3) [px] and a sentence that says where its focal length comes from.

    Args:
        focal: [px] as the user knows it; 0 looks into the file, and assumes the picture's diagonal if it is silent.
    """
    diagonal = (source.width**2 + source.height**2) ** 0.5
    millimetres = 0.0 if focal else _equivalent(source)
    if focal:
        how = f"focal length {focal:.0f} px, as given"
    elif millimetres:
        focal = diagonal / FULL_FRAME * millimetres
        how = f"focal length {focal:.0f} px, from the file ({millimetres:g} mm equivalent)"
    else:
        focal = diagonal
        how = (f"focal length assumed: {focal:.0f} px, a diagonal field of view of 53°; distances and sizes depend on "
               "it, proportions hardly: give --focal PX if it is known")  # fmt: skip
    return torch.from_numpy(default_intrinsics(source.width, source.height, focal)), how


def _equivalent(source: Source) -> float:
    """Return the 35 mm equivalent focal length [mm] that the file states, or 0."""
    try:
        if source.is_video:
            with av.open(str(source.path)) as container:
                return float(container.metadata.get(APPLE_35MM, 0))
        path = source.path
        if path.is_dir():
            path = min(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        with Image.open(path) as image:
            return float(image.getexif().get_ifd(EXIF_IFD).get(FOCAL_35MM, 0))
    except (OSError, ValueError, TypeError, ZeroDivisionError, av.error.FFmpegError):
        return 0.0
