"""A still out of the driver's own clip is found in it; another one is not."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from emosh_core.clip import _camera_of
from emosh_core.image_io import read_image, write_image
from emosh_core.moment import moment_of
from emosh_core.video_io import VideoWriter


@pytest.fixture
def clip(tmp_path):
    """A disc that crosses a room, 12 frames at 24 fps."""
    rng = np.random.default_rng(0)
    room = cv2.resize(rng.integers(60, 200, (9, 12, 3)).astype(np.uint8), (192, 144), interpolation=cv2.INTER_CUBIC)
    frames = [cv2.circle(room.copy(), (20 + 12 * t, 70), 24, (250, 240, 30), -1) for t in range(12)]
    with VideoWriter(tmp_path / "clip.mp4", 24, (192, 144)) as writer:
        for frame in frames:
            writer.write(frame)
    return tmp_path / "clip.mp4", frames


def test_a_frame_is_found_also_as_a_larger_jpeg(clip, tmp_path):
    path, frames = clip
    assert moment_of(frames[7], path) == pytest.approx(7 / 24, abs=0.01)
    larger = cv2.resize(frames[4], (384, 288), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "still.jpg"), larger[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert moment_of(read_image(tmp_path / "still.jpg"), path) == pytest.approx(4 / 24, abs=0.01)


def test_what_the_clip_does_not_show_is_not_found(clip, tmp_path):
    path, frames = clip
    elsewhere = cv2.circle(frames[0].copy(), (100, 110), 24, (250, 240, 30), -1)
    assert moment_of(elsewhere, path) is None
    assert moment_of(frames[3][:, :120], path) is None  # of another shape
    write_image(tmp_path / "one.png", frames[2])
    assert moment_of(frames[2], tmp_path / "one.png") == 0


def test_the_drivers_camera_at_that_moment_took_the_still(clip):
    path, frames = clip
    K = np.array([[100.0 + t, 0, 96] for t in range(12)])
    K = np.stack([K, np.tile([0.0, 100, 72], (12, 1)), np.tile([0.0, 0, 1], (12, 1))], 1)
    w2c = np.stack([np.eye(4) for _ in range(12)])
    w2c[:, 0, 3] = np.arange(12)
    target = SimpleNamespace(time=np.arange(12) / 24, K=K, w2c=w2c, fps=24.0, size=(192, 144))
    notes = []
    making = SimpleNamespace(note=notes.append)
    larger = cv2.resize(frames[5], (384, 288), interpolation=cv2.INTER_CUBIC)
    camera = _camera_of(larger, target, path, making)
    assert camera.w2c[0, 3] == 5 and camera.K[0, 0] == pytest.approx(210) and "0.21 s" in notes[0]
    target.time = target.time[:3]  # a target that ends before the still was taken
    assert _camera_of(larger, target, path, making) is None and _camera_of(larger, target, None, making) is None
    assert len(notes) == 1


def test_a_clip_that_cannot_be_read_is_said_and_stops_nothing(clip, tmp_path):
    _, frames = clip
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:200])
    notes = []
    target = SimpleNamespace(time=np.zeros(1), K=None, w2c=None, fps=24.0, size=(192, 144))
    assert _camera_of(frames[0], target, tmp_path / "cut.mp4", SimpleNamespace(note=notes.append)) is None
    assert len(notes) == 1 and "not known" in notes[0]
