"""Sound: copied or encoded again, in step with the pictures, and exactly as long as they are."""

from fractions import Fraction

import av
import numpy as np
import pytest

from emosh_core.errors import ArtifactError
from emosh_core.sound import Sound, check_sound
from emosh_core.video_io import VideoWriter

FPS, RATE = 25, 48000


def beeps(seconds):
    """440 Hz, on and off ten times per second."""
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.5 * np.sin(2 * np.pi * 440 * t) * (np.floor(t * 10) % 2)


@pytest.fixture
def make_driver(tmp_path):
    """Make a clip of one second whose pictures begin `late` seconds after its sound."""

    def make(name, codec, late=0.0):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            video, audio = container.add_stream("libx264", rate=FPS), container.add_stream(codec, RATE, layout="mono")
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            for i in range(FPS):
                picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * i, np.uint8))
                picture.pts, picture.time_base = i + round(late * FPS), Fraction(1, FPS)
                container.mux(video.encode(picture))
            frame = av.AudioFrame.from_ndarray(beeps(1 + late).astype(np.float32)[None], "fltp", "mono")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
            container.mux(video.encode())
        return path

    return make


def listen(path):
    """Return codec, length of the track [s], and what is heard."""
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        heard = [frame.to_ndarray()[0] for frame in container.decode(audio)]
        assert audio.start_time == 0
        joined = np.concatenate(heard)
        scale = np.iinfo(joined.dtype).max if joined.dtype.kind == "i" else 1
        return audio.codec_context.codec.canonical_name, float(audio.duration * audio.time_base), joined / scale


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def dub(out, sound, codec="h264"):
    count = round((sound.stop - sound.start) * FPS)
    with VideoWriter(out, FPS, (32, 32), times=np.arange(count) / FPS, sound=sound, codec=codec) as writer:
        for _ in range(count):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    return out


@pytest.mark.parametrize(
    ("driver", "codec", "out", "becomes"),
    [
        ("d.mp4", "aac", "o.mp4", "aac"),
        ("d.mkv", "flac", "o.mp4", "flac"),
        ("d.mkv", "flac", "o.mov", "aac"),
        ("d.mov", "pcm_s16le", "o.mov", "pcm_s16le"),
        ("d.mov", "pcm_s16le", "o.mp4", "aac"),
    ],
)
@pytest.mark.parametrize(("start", "stop", "late"), [(0.0, 0.6, 0.0), (0.2, 0.8, 0.2)])
def test_the_stretch_is_heard_and_as_long_as_the_pictures(
    tmp_path, make_driver, driver, codec, out, becomes, start, stop, late
):
    sound = Sound(path=make_driver(driver, codec, late), start=start, stop=stop)
    name, seconds, heard = listen(dub(tmp_path / out, sound, "prores" if out == "o.mov" else "h264"))
    assert name == becomes and seconds == pytest.approx(0.6, abs=1e-3)
    wanted = beeps(2)[round((start + late) * RATE) :][: round(0.6 * RATE)]
    # Matroska knows milliseconds only: half of one is a fifth of a period.
    lags = range(-48, 49, 4) if driver == "d.mkv" else [0]
    assert max(np.corrcoef(np.roll(heard[: len(wanted)], lag), wanted)[0, 1] for lag in lags) > 0.99


def test_copied_sound_is_the_same_bytes(tmp_path, make_driver):
    driver = make_driver("d.mp4", "aac")
    copied = packets(dub(tmp_path / "o.mp4", Sound(path=driver, start=0, stop=0.6)))
    assert len(copied) > 20 and copied == packets(driver)[: len(copied)]


def test_sound_that_ends_early_is_not_stretched(tmp_path, make_driver):
    _, seconds, _ = listen(dub(tmp_path / "o.mp4", Sound(path=make_driver("d.mp4", "aac"), start=0, stop=2)))
    assert seconds == pytest.approx(1, abs=0.03)


def test_a_driver_without_sound_is_named_and_nothing_is_left(tmp_path):
    silent = tmp_path / "silent.mp4"
    with VideoWriter(silent, FPS, (32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    for path in (silent, tmp_path):
        with pytest.raises(ArtifactError, match="no sound"):
            check_sound(path)
    with pytest.raises(ArtifactError, match="no sound"):
        dub(tmp_path / "o.mp4", Sound(path=silent, start=0, stop=1))
    assert list(tmp_path.iterdir()) == [silent]
