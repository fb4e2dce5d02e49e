"""GMSD and MS-SSIM: values worked by hand, and what must hold of any distance between pictures."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.metrics.image import ssim
from emosh_core.metrics.perceptual import GMSD_C, MS_SSIM_WEIGHTS, gmsd, ms_ssim, sharpness


def scene(seed: int, size: int = 192) -> np.ndarray:
    """Return a picture (size, size, 3) with edges and textures of all scales."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.uniform(0, 255, (n, n, 3)), (size, size), interpolation=cv2.INTER_NEAREST)
              for n in (3, 8, 24, size)]  # fmt: skip
    return np.average(layers, 0, [4, 3, 2, 1]).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    grain = np.random.default_rng(9).normal(size=image.shape)
    return np.clip(image + sigma * grain, 0, 255).round().astype(np.uint8)


@pytest.mark.property
@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([24, 63, 192]))
def test_a_picture_is_like_itself_and_the_order_does_not_matter(seed, size):
    a, b = scene(seed, size), noisy(scene(seed, size), 25)
    assert gmsd(a, a) == 0 and ms_ssim(a, a) == pytest.approx(1)
    assert gmsd(a, b) == pytest.approx(gmsd(b, a)) and ms_ssim(a, b) == pytest.approx(ms_ssim(b, a))
    assert gmsd(a, b) > 0 and ms_ssim(a, b) < 1


@pytest.mark.parametrize("worse", [blurred, noisy])
@pytest.mark.parametrize("seed", range(4))
def test_more_blur_and_more_noise_are_worse(seed, worse):
    image = scene(seed)
    row = [worse(image, sigma) for sigma in ((0.7, 1.2, 2, 3.2) if worse is blurred else (4, 8, 16, 32))]
    distances, likenesses = [gmsd(image, w) for w in row], [ms_ssim(image, w) for w in row]
    assert distances == sorted(distances) and likenesses == sorted(likenesses, reverse=True)
    assert distances[-1] > 2 * distances[0]


def test_gmsd_of_an_edge_that_is_missing():
    # Halved, the edge lies between columns 1 and 2 of four; the Prewitt gradient there is the step, elsewhere 0. So
    # half of the pixels are alike (1) and half as alike as C / (step² + C).
    step, edge = 90, np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = step
    assert gmsd(edge, np.zeros_like(edge)) == pytest.approx((1 - GMSD_C / (step**2 + GMSD_C)) / 2)


def test_sharpness_is_the_ratio_of_gradients():
    image = scene(2)
    assert sharpness(image, image) == 1 and sharpness(image // 2, image // 2 * 2) == pytest.approx(0.5)
    row = [sharpness(blurred(image, sigma), image) for sigma in (0.7, 1.2, 2, 3.2)]
    assert row == sorted(row, reverse=True) and row[0] < 1
    assert sharpness(noisy(image, 16), image) > 1
    assert np.isnan(sharpness(image, np.full_like(image, 9)))


def test_sharpness_does_not_mind_where_things_are():
    image = scene(3)
    assert sharpness(image[:, ::-1], image) == pytest.approx(1)


def test_gmsd_does_not_see_brightness():
    image = scene(0) // 2
    assert gmsd(image, image + 60) == pytest.approx(0, abs=1e-9)


def test_ms_ssim_of_flat_pictures_is_their_luminance_at_the_coarsest_scale():
    a, b = (np.full((180, 176, 3), value, np.uint8) for value in (100, 140))
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 140 + c1) / (100**2 + 140**2 + c1)
    assert ms_ssim(a, b) == pytest.approx(luminance ** MS_SSIM_WEIGHTS[-1], rel=1e-9)
    # At 128 px four scales fit: the weight of the last is scaled with the others.
    a, b = a[:128, :128], b[:128, :128]
    share = MS_SSIM_WEIGHTS[3] / sum(MS_SSIM_WEIGHTS[:4]) * sum(MS_SSIM_WEIGHTS)
    assert ms_ssim(a, b) == pytest.approx(luminance**share, rel=1e-9)


def test_ms_ssim_of_a_small_picture_is_ssim():
    a = scene(1, 20)
    b = noisy(a, 20)
    assert ms_ssim(a, b) == pytest.approx(ssim(a, b) ** sum(MS_SSIM_WEIGHTS))


def test_ms_ssim_of_opposite_structure_is_zero():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    assert ms_ssim(image, 255 - image) == 0
