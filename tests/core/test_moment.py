"""A still out of the driver's own clip is found in it; another one is not."""

import cv2
import numpy as np
import pytest

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
