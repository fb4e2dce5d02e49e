"""Decode and encode moving pictures; with `sound`, the only place that knows PyAV.

Frames are uint8 RGB arrays (H, W, 3), upright: rotation and flip metadata are applied.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from emosh_core.errors import ArtifactError, ConfigError, MissingDependencyError
from emosh_core.image_io import read_image
from emosh_core.sound import Sound, SoundTrack

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass
class Source:
    """A video, a single image or a folder of images, read front to back.

    Attributes:
        width, height: size of the upright frames [px].
        fps: mean frame rate; 30 for images.
        count: number of frames the container announces; 0 where it does not say.
        problems: what could not be read, filled while frames are read.
    """

    path: Path
    width: int
    height: int
    fps: float
    count: int
    is_video: bool
    problems: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (time [s], frame); frames that cannot be decoded are counted in `problems`."""
        self.problems.clear()
        return _video_frames(self) if self.is_video else _image_frames(self)


def open_source(path: str | Path) -> Source:
    """Open a video file, an image file or a folder of images.

    Raises:
        ArtifactError: there is no such file, or nothing in it can be decoded.
    """
    path = Path(path)
    if not path.exists():
        raise ArtifactError(f"no such file: {path}", fix="check the path; it is taken relative to the current folder")
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        first = read_image(_image_paths(path)[0])
        height, width = first.shape[:2]
        return Source(path, width, height, 30.0, len(_image_paths(path)), is_video=False)
    return _open_video(path)


def _image_paths(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise ArtifactError(f"no images in the folder {path}", fix="put PNG or JPEG files there, sorted by name")
    return found


def _image_frames(source: Source) -> Iterator[tuple[float, np.ndarray]]:
    for i, path in enumerate(_image_paths(source.path)):
        image = read_image(path)
        if image.shape[:2] != (source.height, source.width):
            raise ArtifactError(
                f"images of different sizes in {source.path}",
                found=f"{path.name} is {image.shape[1]}×{image.shape[0]}, the first {source.width}×{source.height}",
                fix="resize them to one size",
            )
        yield i / source.fps, image


def _open_video(path: Path) -> Source:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ArtifactError(f"no video in {path}", found="a media file without a video stream")
            stream = container.streams.video[0]
            first = next(iter(container.decode(stream)), None)
            fps = float(stream.average_rate or stream.guessed_rate or 30)
            count = stream.frames or int((container.duration or 0) / 1e6 * fps)
    except (av.error.FFmpegError, ValueError) as error:
        fix = "use mp4, mov, webm or mkv"
        raise ArtifactError(f"not a video that can be read: {path}", found=str(error), fix=fix) from error
    if first is None:
        raise ArtifactError(f"the video has zero frames: {path}", fix="check that the file was written completely")
    height, width = _upright(first).shape[:2]
    return Source(path, width, height, fps, count, is_video=True)


def _video_frames(source: Source) -> Iterator[tuple[float, np.ndarray]]:
    bad, produced, start = 0, 0, None
    with av.open(str(source.path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                decoded = packet.decode()
            except StopIteration:
                break
            except av.error.FFmpegError as error:
                bad += 1
                log.debug("packet of %s not decodable: %s", source.path, error)
                if packets.gi_frame is None:  # the demuxer itself gave up: nothing follows
                    break
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    bad += 1
                    continue
                start = frame.time if start is None else start
                time = (frame.time - start) if frame.time is not None else produced / source.fps
                produced += 1
                yield time, _upright(frame)
    missing = source.count - produced
    if bad or (source.count and missing > max(2, 0.02 * source.count)):
        source.problems.append(
            f"{source.path.name}: {produced} good frames were kept; {max(bad, missing)} damaged or missing left out"
        )


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """Return the frame as RGB with the display matrix applied (multiples of 90° and flips)."""
    image = frame.to_ndarray(format="rgb24")
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
    # Display position = (a x + c y, b x + d y); the offset is whatever brings it back to the first quadrant.
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


Codec = Literal["h264", "h265", "prores"]
"""How a video is encoded; the first two go into .mp4 and .mov, ProRes into .mov."""
SUFFIXES = {"h264": (".mp4", ".mov"), "h265": (".mp4", ".mov"), "prores": (".mov",)}
ENCODERS = {"h264": "libx264", "h265": "libx265", "prores": "prores_ks"}
CLOCK = 90000
"""Ticks per second in which uneven times are written."""
EVEN = 1e-3
"""Times that are off an even rate by less are written as even [s]: some containers round to milliseconds."""


def check_codec(codec: str, suffix: str) -> None:
    """Raise ConfigError unless a file of this suffix takes the codec, MissingDependencyError without its encoder."""
    if codec not in SUFFIXES:
        raise ConfigError("the codec is unknown", found=codec, fix=" or ".join(SUFFIXES))
    if suffix.lower() not in SUFFIXES[codec]:
        fix = f"name it FILE{SUFFIXES[codec][-1]}, or choose another codec"
        raise ConfigError(f"{codec} does not go into such a file", found=suffix or "no suffix", fix=fix)
    if ENCODERS[codec] not in av.codecs_available:
        fix = "pip install --force-reinstall --only-binary av av, whose FFmpeg has it; or choose another codec"
        raise MissingDependencyError(f"{codec} cannot be written here", found=f"no encoder {ENCODERS[codec]}", fix=fix)


class VideoWriter:
    """Encode RGB frames as BT.709, limited range; the file appears under its name only when it is complete.

    Args:
        path: where the video goes, .mp4 or .mov.
        fps: frame rate; times that deviate from it by a millisecond or more are written as given.
        size: (width, height) [px]; odd sizes are kept (4:4:4 chroma).
        times: presentation time of each frame [s]; evenly spaced by default.
        metadata: container tags such as title or comment.
        crf: quality of H.264 and H.265, smaller is better.
        codec: how the frames are encoded.
        alpha: frames come with opacity as a fourth channel, straight; for ProRes.
        sound: what is heard.
    """

    def __init__(
        self, path, fps, size, *, times=None, metadata=None, crf=16, codec: Codec = "h264", alpha=False,
        sound: Sound | None = None,
    ):  # fmt: skip
        self._path = Path(path)
        check_codec(codec, self._path.suffix)
        self._sound = None if sound is None else SoundTrack(sound)
        self._part = self._path.with_name(f".{self._path.name}.part{os.getpid()}{self._path.suffix.lower()}")
        self._container = av.open(str(self._part), "w", options={"movflags": "use_metadata_tags+faststart"})
        self._container.metadata.update(metadata or {})
        rate = Fraction(fps).limit_denominator(1001)
        self._stream, self._count, self._tick = self._container.add_stream(ENCODERS[codec], rate=rate), 0, 1 / rate
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt, self._stream.options = _encoding(codec, size, crf, alpha)
        context = self._stream.codec_context
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        if codec == "h265":
            context.codec_tag = "hvc1"  # Apple's players open no other kind
        self._times = None if times is None else np.asarray(times) - times[0]
        if times is not None and np.abs(self._times - np.arange(len(times)) / fps).max() > EVEN:
            self._tick = context.time_base = Fraction(1, CLOCK)
            context.max_b_frames = 0  # reordered frames make the container's length wrong at uneven times
        else:
            self._times = None
        if self._sound is not None:
            self._sound.join(self._container, self._path.suffix.lower())

    def write(self, frame: np.ndarray) -> None:
        """Append one uint8 frame (H, W, 3), or (H, W, 4) with `alpha`."""
        picture = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(frame), format="rgba" if frame.shape[2] == 4 else "rgb24"
        )
        # With more than one thread swscale spoils a block of 10-bit pictures now and then.
        picture = picture.reformat(
            format=self._stream.pix_fmt, src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709, dst_color_trc=ColorTrc.BT709, dst_color_primaries=ColorPrimaries.BT709,
            threads=1,
        )  # fmt: skip
        picture.time_base = self._tick
        picture.pts = self._count if self._times is None else round(float(self._times[self._count]) * CLOCK)
        if self._sound is not None:
            self._sound.mux(until=float(picture.pts * self._tick))
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        whole = False
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
                if self._sound is not None:
                    self._sound.mux()
                whole = True
        finally:
            if self._sound is not None:
                self._sound.close()
            self._container.close()
            if whole:
                os.replace(self._part, self._path)
            else:
                self._part.unlink(missing_ok=True)


def _encoding(codec: Codec, size: tuple[int, int], crf: int, alpha: bool) -> tuple[str, dict[str, str]]:
    """Return the pixel format and the encoder's options."""
    even = size[0] % 2 == 0 and size[1] % 2 == 0
    if codec == "prores":
        if alpha:
            return "yuva444p10le", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
        return ("yuv422p10le", {"profile": "hq", "vendor": "apl0"}) if even else (
            "yuv444p10le", {"profile": "4444", "vendor": "apl0"})  # fmt: skip
    assert not alpha, "only ProRes has an alpha channel"
    options = {"crf": str(crf), "preset": "veryfast"}
    return "yuv420p" if even else "yuv444p", options | ({"x265-params": "log-level=error"} if codec == "h265" else {})
