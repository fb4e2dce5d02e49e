"""Pictures in and out of files."""

from pathlib import Path

import cv2
import numpy as np

from emosh_core.errors import ArtifactError
from emosh_core.quiet import quiet_native_stderr


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as uint8 RGB (H, W, 3), EXIF orientation applied, transparency laid on white."""
    data = np.fromfile(path, np.uint8)
    with quiet_native_stderr():  # libpng complains about colour profiles that do not matter here
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise ArtifactError(f"not an image that can be read: {path}", found=f"{data.size} bytes", fix="use PNG or JPEG")
    if image.ndim == 3 and image.shape[2] == 4:
        full = float(np.iinfo(image.dtype).max)
        alpha = image[..., 3:] / full
        flat = image[..., :3] / full * alpha + (1 - alpha)
        return np.ascontiguousarray((flat[..., ::-1] * 255).round().astype(np.uint8))
    with quiet_native_stderr():
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3), or with straight alpha (H, W, 4); the suffix chooses the format."""
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    ok, data = cv2.imencode(Path(path).suffix, cv2.cvtColor(image, order))
    if not ok:
        raise ArtifactError(f"cannot encode an image as {Path(path).suffix}", fix="use .png or .jpg")
    Path(path).write_bytes(data.tobytes())
