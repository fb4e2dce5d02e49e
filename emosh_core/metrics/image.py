"""How much two pictures differ: PSNR, L1 and SSIM."""

import numpy as np
from scipy.ndimage import gaussian_filter

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
"""Half width of SSIM's 11×11 window [px]; borders this wide are left out."""
SSIM_K = (0.01, 0.03)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio [dB] of two uint8 pictures; infinite if they are equal."""
    error = np.mean((image.astype(np.float64) - truth) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def l1(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute difference of two uint8 pictures, in [0, 1]."""
    return float(np.mean(np.abs(image.astype(np.float64) - truth)) / 255)


def ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the structural similarity (Wang et al. 2004) of two pictures, mean over pixels and channels.

    Args:
        image, truth: (H, W, 3) uint8, at least 11 px on each side.
    """
    luminance, structure = similarity(image.astype(np.float64), truth.astype(np.float64))
    return float((luminance * structure).mean())


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of SSIM, luminance and contrast with structure, of float pictures (H, W, 3) in 0..255.

    Each is (H − 10, W − 10, 3): windows that lie inside the picture.
    """
    c1, c2 = ((k * 255) ** 2 for k in SSIM_K)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    inside = slice(SSIM_RADIUS, -SSIM_RADIUS), slice(SSIM_RADIUS, -SSIM_RADIUS)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance[inside], ((2 * covariance + c2) / (var_a + var_b + c2))[inside]


def _blur(image: np.ndarray) -> np.ndarray:
    return gaussian_filter(image, (SSIM_SIGMA, SSIM_SIGMA, 0), radius=(SSIM_RADIUS, SSIM_RADIUS, 0))
