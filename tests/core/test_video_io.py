"""Reading and writing moving pictures: orientation, timing, sizes, damage."""

import struct

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from emosh_core.errors import ArtifactError, ConfigError, MissingDependencyError
from emosh_core.image_io import read_image, write_image
from emosh_core.video_io import VideoWriter, check_codec, open_source

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30)


def quadrants(height=48, width=64):
    """Red and green on top, blue and yellow below."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, YELLOW
    return image


def write(path, frames, fps=10.0, **options):
    with VideoWriter(path, fps, frames[0].shape[1::-1], **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def set_display_matrix(path, a, b, c, d):
    """Write an mp4 track header's 2×2 display matrix, as a phone does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: flags, times, id, duration, layer, volume come first
    for k, value in zip((0, 1, 3, 4), (a, b, c, d), strict=True):
        struct.pack_into(">i", data, at + 4 * k, value << 16)
    path.write_bytes(data)


def corners(image):
    height, width = image.shape[:2]
    found = [image[y, x].astype(int) for y in (4, height - 5) for x in (4, width - 5)]
    names = {"R": RED, "G": GREEN, "B": BLUE, "Y": YELLOW}
    return "".join(min(names, key=lambda n: np.abs(f - names[n]).sum()) for f in found)


@pytest.mark.parametrize(
    ("matrix", "size", "expected"),
    [
        ((1, 0, 0, 1), (64, 48), "RGBY"),
        ((0, 1, -1, 0), (48, 64), "BRYG"),  # a portrait phone: turned by 90° clockwise for display
        ((-1, 0, 0, -1), (64, 48), "YBGR"),
        ((0, -1, 1, 0), (48, 64), "GYRB"),
        ((1, 0, 0, -1), (64, 48), "BYRG"),  # vertical flip
    ],
)
def test_frames_come_upright(tmp_path, matrix, size, expected):
    path = write(tmp_path / "v.mp4", [quadrants()] * 3)
    set_display_matrix(path, *matrix)
    source = open_source(path)
    _, frame = next(source.frames())
    assert (source.width, source.height) == size == frame.shape[1::-1]
    assert corners(frame) == expected


FORMS = [("h264", ".mp4"), ("h264", ".mov"), ("h265", ".mp4"), ("prores", ".mov")]


def length(path):
    """Length of the video track [s]."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.duration * stream.time_base)


@pytest.mark.parametrize(("codec", "suffix"), FORMS)
def test_variable_frame_rate_keeps_its_times(tmp_path, codec, suffix):
    times = np.array([0.0, 0.03, 0.09, 0.12, 0.40])
    frames = [np.full((32, 32, 3), 50 * i, np.uint8) for i in range(5)]
    path = write(tmp_path / f"v{suffix}", frames, 30.0, times=times, codec=codec)
    read = list(open_source(path).frames())
    np.testing.assert_allclose([t for t, _ in read], times, atol=1e-4)
    np.testing.assert_allclose([f.mean() for _, f in read], [0, 50, 100, 150, 200], atol=4)
    assert length(path) == pytest.approx(0.40 + 1 / 30, abs=1e-3)


@pytest.mark.parametrize(("codec", "suffix"), FORMS)
def test_broadcast_rates_stay_exact(tmp_path, codec, suffix):
    fps, frames = 30000 / 1001, [np.zeros((32, 32, 3), np.uint8)] * 7
    path = write(tmp_path / f"v{suffix}", frames, fps, times=np.arange(7) / fps, codec=codec)
    assert open_source(path).fps == pytest.approx(fps, abs=1e-9)
    np.testing.assert_allclose([t for t, _ in open_source(path).frames()], np.arange(7) / fps, atol=1e-6)
    assert length(path) == pytest.approx(7 / fps, abs=1e-4)


PURE = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (0, 177, 64), (12, 200, 99)]
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@pytest.mark.parametrize("size", [(64, 48), (33, 47)])
@pytest.mark.parametrize(("codec", "suffix"), FORMS)
def test_colours_are_bt709_in_limited_range_and_say_so(tmp_path, codec, suffix, size):
    frames = [np.full((size[1], size[0], 3), colour, np.uint8) for colour in PURE]
    path = write(tmp_path / f"v{suffix}", frames, codec=codec)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        read = list(container.decode(video=0))
        for tagged in (context, *read):
            tags = (tagged.color_primaries, tagged.color_trc, tagged.colorspace, tagged.color_range)
            assert tags == (1, 1, 1, 1)
    if codec != "prores":  # green and blue by BT.709's weights, not BT.601's 145 and 41
        luma = [np.frombuffer(frame.planes[0], np.uint8)[0] for frame in read[:5]]
        np.testing.assert_allclose(luma, [63, 173, 32, 235, 16], atol=1)
    for frame, colour in zip(read, PURE, strict=True):
        image = frame.reformat(format="rgb24", interpolation=EXACT).to_ndarray()
        assert np.abs(image.astype(int) - colour).max() <= 3
    for (_, image), colour in zip(open_source(path).frames(), PURE, strict=True):
        assert np.abs(image.astype(int) - colour).max() <= 3


def test_prores_keeps_opacity(tmp_path):
    frame = np.zeros((32, 48, 4), np.uint8)
    frame[..., :3], frame[..., 3] = (200, 100, 50), np.linspace(0, 255, 48).astype(np.uint8)
    path = write(tmp_path / "v.mov", [frame] * 2, codec="prores", alpha=True)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "ap4h"
        back = next(container.decode(video=0)).to_ndarray(format="rgba")
    assert np.abs(back.astype(int) - frame).max() <= 3


def test_a_codec_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="prores does not go into"):
        check_codec("prores", ".mp4")
    with pytest.raises(ConfigError, match="codec is unknown"):
        check_codec("vp9", ".mp4")
    monkeypatch.setattr(av, "codecs_available", {"libx264"})
    with pytest.raises(MissingDependencyError, match="h265 cannot be written") as error:
        write(tmp_path / "v.mp4", [quadrants()], codec="h265")
    assert "libx265" in error.value.found and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 41)])
def test_odd_sizes_survive(tmp_path, size):
    frame = np.full((size[1], size[0], 3), 120, np.uint8)
    _, back = next(open_source(write(tmp_path / "v.mp4", [frame] * 2)).frames())
    assert back.shape == frame.shape
    assert np.abs(back.astype(int) - 120).max() <= 3


def test_damaged_tail_keeps_the_good_frames_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(40)]
    path = write(tmp_path / "v.mp4", frames)
    data = bytearray(path.read_bytes())
    data[len(data) * 7 // 10 :] = bytes(len(data) - len(data) * 7 // 10)
    path.write_bytes(data)
    source = open_source(path)
    good = len(list(source.frames()))
    assert 15 <= good < 40
    assert source.problems and f"{good} good frames" in source.problems[0]


def test_undamaged_video_has_no_problems(tmp_path):
    source = open_source(write(tmp_path / "v.mp4", [quadrants()] * 12))
    assert len(list(source.frames())) == 12 and source.problems == []


def test_a_failed_write_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "v.mp4", 10, (32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_wrong_inputs_are_named(tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        open_source(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("not a video at all")
    with pytest.raises(ArtifactError, match="not a video"):
        open_source(tmp_path / "text.mp4")
    (tmp_path / "text.png").write_text("not an image at all")
    with pytest.raises(ArtifactError, match="not an image"):
        open_source(tmp_path / "text.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="no images"):
        open_source(tmp_path / "empty")


def test_image_folder_is_read_in_order_and_sizes_must_agree(tmp_path):
    for i in (2, 0, 1):
        write_image(tmp_path / f"{i}.png", np.full((8, 8, 3), i * 40, np.uint8))
    assert [f.mean() for _, f in open_source(tmp_path).frames()] == [0, 40, 80]
    write_image(tmp_path / "9.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ArtifactError, match="different sizes"):
        list(open_source(tmp_path).frames())


def test_pictures_with_opacity_are_written(tmp_path):
    picture = np.dstack([quadrants(), np.full((48, 64), 255, np.uint8)])
    picture[:24, :, 3] = 0
    write_image(tmp_path / "a.png", picture)
    image = read_image(tmp_path / "a.png")
    assert (image[:24] == 255).all() and np.array_equal(image[24:], quadrants()[24:])


def test_transparency_is_laid_on_white(tmp_path):
    import cv2

    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (0, 0, 255, 255)  # BGRA red, opaque
    cv2.imwrite(str(tmp_path / "a.png"), rgba)
    image = read_image(tmp_path / "a.png")
    assert (image[:2] == (255, 0, 0)).all() and (image[2:] == 255).all()
