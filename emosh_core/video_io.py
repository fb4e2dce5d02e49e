"""Decode and encode moving pictures; the only place that knows PyAV.

Frames are uint8 RGB arrays (H, W, 3), upright: rotation and flip metadata are applied.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from emosh_core.errors import ArtifactError
from emosh_core.quiet import quiet_native_stderr

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
    """Write uint8 RGB (H, W, 3); the suffix chooses the format."""
    ok, data = cv2.imencode(Path(path).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not ok:
        raise ArtifactError(f"cannot encode an image as {Path(path).suffix}", fix="use .png or .jpg")
    Path(path).write_bytes(data.tobytes())


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


class VideoWriter:
    """Encode RGB frames to an H.264 mp4; the file appears under its name only when it is complete.

    Args:
        path: where the video goes.
        fps: frame rate; times that deviate from it by more than a quarter of a frame are written as given.
        size: (width, height) [px]; odd sizes are kept (4:4:4 chroma).
        times: presentation time of each frame [s]; evenly spaced by default.
        metadata: container tags such as title or comment.
        crf: H.264 quality, smaller is better.
    """

    def __init__(self, path, fps, size, *, times=None, metadata=None, crf=16):
        self._path = Path(path)
        self._part = self._path.with_name(f".{self._path.name}.part{os.getpid()}.mp4")
        self._container = av.open(str(self._part), "w", options={"movflags": "use_metadata_tags+faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        stream = self._container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == 0 and size[1] % 2 == 0 else "yuv444p"
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        self._times = None
        even = np.arange(0 if times is None else len(times)) / fps
        if len(even) and np.abs(times - times[0] - even).max() > 0.25 / fps:
            self._times = times - times[0]
            stream.codec_context.time_base = Fraction(1, 90000)
        self._container.metadata.update(metadata or {})
        self._stream, self._count = stream, 0

    def write(self, frame: np.ndarray) -> None:
        """Append one uint8 RGB frame (H, W, 3)."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._times is not None:
            picture.time_base = Fraction(1, 90000)
            picture.pts = round(float(self._times[self._count]) * 90000)
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)
