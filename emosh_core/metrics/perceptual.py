"""How different two pictures look to the eye, without learned weights: GMSD, MS-SSIM, sharpness."""

import numpy as np
from scipy.ndimage import prewitt

from emosh_core.metrics.image import SSIM_RADIUS, similarity

LUMA = (0.299, 0.587, 0.114)
GMSD_C = 170.0
"""What keeps the similarity of gradients finite where there are none, for values 0..255 (Xue et al. 2014)."""
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, finest first (Wang et al. 2003)."""


def gmsd(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the gradient magnitude similarity deviation (Xue et al. 2014); 0 if equal, larger is worse.

    Luminance is halved in size first; the deviation is the standard deviation over all pixels, borders included.

    Args:
        image, truth: (H, W, 3) uint8.
    """
    a, b = (_gradient(_halved(_luma(picture)[..., None])[..., 0]) for picture in (image, truth))
    return float(((2 * a * b + GMSD_C) / (a * a + b * b + GMSD_C)).std())


def ms_ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the multi-scale structural similarity (Wang et al. 2003); 1 if equal.

    Contrast and structure count at every scale, luminance at the coarsest. A picture too small for five scales is
    compared at those where the 11×11 window still fits (four at 128 px), their weights scaled to the sum of all; so
    values of different sizes are not comparable. Mean over pixels and channels, as of `ssim`.

    Args:
        image, truth: (H, W, 3) uint8, at least 11 px on each side.
    """
    a, b = image.astype(np.float64), truth.astype(np.float64)
    fitting = int(np.log2(min(a.shape[:2]) / (2 * SSIM_RADIUS + 1))) + 1
    weights = np.array(MS_SSIM_WEIGHTS[:fitting])
    weights *= sum(MS_SSIM_WEIGHTS) / weights.sum()
    result = 1.0
    for k, weight in enumerate(weights):
        luminance, structure = similarity(a, b)
        last = k == len(weights) - 1
        value = (luminance * structure if last else structure).mean()
        result *= max(value, 0.0) ** weight  # opposite structure is as bad as none
        a, b = _halved(a), _halved(b)
    return float(result)


def sharpness(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean gradient of a picture over the true one's: 1 is as sharp, less is blurred; NaN if that is flat.

    It does not ask whether edges are where they should be, and so tells blur from misplacement, which the others
    punish alike or even more.

    Args:
        image, truth: (H, W, 3) uint8.
    """
    a, b = (float(_gradient(_luma(picture)).mean()) for picture in (image, truth))
    return a / b if b > 0 else float("nan")


def _luma(image: np.ndarray) -> np.ndarray:
    """Return the luminance (H, W)."""
    return image @ np.array(LUMA)


def _halved(image: np.ndarray) -> np.ndarray:
    """Return the means of 2×2 pixels (H // 2, W // 2, C) of a picture (H, W, C)."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    return image[:height, :width].reshape(height // 2, 2, width // 2, 2, -1).mean((1, 3))


def _gradient(image: np.ndarray) -> np.ndarray:
    """Return the length of the Prewitt gradient (H, W) of values (H, W)."""
    return np.hypot(*(prewitt(image, axis, mode="nearest") / 3 for axis in (0, 1)))
