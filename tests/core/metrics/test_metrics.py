"""Metrics: values worked by hand, and the textbook formula pixel by pixel."""

import numpy as np
import pytest

from emosh_core.errors import ArtifactError
from emosh_core.image_io import write_image
from emosh_core.metrics.evaluate import compare_videos
from emosh_core.metrics.image import l1, psnr, ssim
from emosh_core.metrics.motion import jitter, reprojection
from emosh_core.settings import EvalConfig

rng = np.random.default_rng(0)


def flat(value: int) -> np.ndarray:
    return np.full((20, 24, 3), value, np.uint8)


def test_known_values_of_flat_pictures():
    a, b = flat(100), flat(110)
    assert psnr(a, b) == pytest.approx(10 * np.log10(255**2 / 100))
    assert l1(a, b) == pytest.approx(10 / 255)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1), rel=1e-9)


def test_equal_pictures():
    a = rng.integers(0, 256, (32, 30, 3), np.uint8)
    assert psnr(a, a) == np.inf and l1(a, a) == 0 and ssim(a, a) == pytest.approx(1)


def test_ssim_is_the_textbook_sum_over_one_window():
    a, b = (rng.integers(0, 256, (11, 11, 3), np.uint8) for _ in range(2))
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 1.5**2))
    window /= window.sum()
    wanted, (c1, c2) = [], ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
    for p, q in zip(np.moveaxis(a.astype(float), 2, 0), np.moveaxis(b.astype(float), 2, 0)):
        mp, mq = (window * p).sum(), (window * q).sum()
        vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
        cov = (window * (p - mp) * (q - mq)).sum()
        wanted.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    assert ssim(a, b) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_jitter_is_the_third_derivative_per_second():
    t = np.arange(40) / 25
    joints = np.zeros((40, 2, 3))
    joints[:, :, 0] = (2 * t**3)[:, None]
    assert jitter(joints, 25.0, np.ones(40, bool)) == pytest.approx(12, rel=1e-6)
    assert jitter(joints + t[:, None, None] ** 2, 25.0, np.ones(40, bool)) == pytest.approx(12, rel=1e-6)


def test_jitter_skips_frames_without_a_person():
    joints = np.zeros((20, 1, 3))
    joints[10] = 99
    valid = np.arange(20) != 10
    assert jitter(joints, 25.0, valid) == 0
    assert np.isnan(jitter(joints, 25.0, np.zeros(20, bool))) and np.isnan(jitter(joints[:3], 25.0, valid[:3]))


def test_reprojection_leaves_out_unknown_frames():
    summary = reprojection(np.array([1, 2, np.nan, 6], np.float32), (300, 400))
    assert summary["mean"] == 3 and summary["median"] == 2 and summary["mean_of_diagonal"] == pytest.approx(3 / 500)
    assert np.isnan(reprojection(np.array([np.nan]), (3, 4))["mean"])


def folder(path, frames):
    path.mkdir()
    for i, frame in enumerate(frames):
        write_image(path / f"{i:03d}.png", frame)
    return path


def test_videos_are_compared_frame_by_frame(tmp_path):
    a = folder(tmp_path / "a", [flat(100), flat(100), flat(0)])
    b = folder(tmp_path / "b", [flat(100), flat(110)])
    report = compare_videos(a, b, EvalConfig(size=24))
    assert report["frames"] == 2 and report["frames_of_each"] == [3, 2] and report["size"] == [24, 20]
    assert report["per_frame"]["l1"] == pytest.approx([0, 10 / 255])
    assert report["clip"]["psnr"] == pytest.approx((100 + 10 * np.log10(255**2 / 100)) / 2)


def test_other_aspect_ratio_is_refused(tmp_path):
    a, b = folder(tmp_path / "a", [flat(1)]), folder(tmp_path / "b", [np.zeros((20, 40, 3), np.uint8)])
    with pytest.raises(ArtifactError, match=r"different shapes[\s\S]*24×20 and 40×20"):
        compare_videos(a, b, EvalConfig())
