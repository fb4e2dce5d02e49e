"""The sound of one media file, cut to a stretch of time, for another one."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from emosh_core.errors import ArtifactError

COPIED = {
    ".mp4": ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"),
    ".mov": ("aac", "mp3", "ac3", "eac3", "alac"),
}
"""What each container takes as it is and players know there; other sound becomes AAC, in .mov PCM stays PCM."""
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
PREROLL = 0.08
"""Sound that a decoder wants to have seen before what it is to play [s]; Opus asks for so much."""
FIX = "leave out --audio"


@dataclass(frozen=True, kw_only=True)
class Sound:
    """The sound of a media file between two times, counted from its first picture [s]."""

    path: Path
    start: float
    stop: float


def check_sound(path: Path) -> None:
    """Raise ArtifactError unless a file has an audio track."""
    try:
        if path.is_file():
            with av.open(str(path)) as container:
                if container.streams.audio:
                    return
    except (av.error.FFmpegError, ValueError):
        pass  # an image, for example: no sound either
    raise ArtifactError("the driver has no sound to copy", found=f"{path.name} has no audio track", fix=FIX)


class SoundTrack:
    """The audio stream of a video that is being written: copied packets where the container takes them, else AAC."""

    def __init__(self, sound: Sound):
        check_sound(sound.path)
        origin = _first_picture(sound.path)
        self._start, self._stop = origin + sound.start, origin + sound.stop
        self._source = av.open(str(sound.path))
        self._track = self._source.streams.audio[0]
        self._next: av.Packet | None = None

    def join(self, container: av.container.OutputContainer, suffix: str) -> None:
        """Add the stream to a container that nothing was written to yet."""
        self._container, context = container, self._track.codec_context
        codec = context.codec.canonical_name
        if codec in COPIED[suffix]:
            self._stream = container.add_stream_from_template(self._track)
            self._packets = self._copied()
            return
        keep = suffix == ".mov" and codec.startswith("pcm_")
        rate = context.sample_rate if keep else next((r for r in AAC_RATES if r <= context.sample_rate), AAC_RATES[-1])
        self._stream = container.add_stream(codec if keep else "aac", rate=rate, layout=context.layout.name)
        self._packets = self._encoded()

    def mux(self, until: float = float("inf")) -> None:
        """Write the packets that begin up to a time of the clip [s]."""
        while True:
            try:
                self._next = self._next or next(self._packets, None)
            except av.error.FFmpegError as error:
                raise ArtifactError("the driver's sound cannot be read", found=str(error), fix=FIX) from error
            if self._next is None or self._next.pts * self._next.time_base > until:
                return
            self._container.mux(self._next)
            self._next = None

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._source.close()

    def _copied(self) -> Iterator[av.Packet]:
        """Yield the packets that are heard and those just before them, which decoders want; the last is cut short.

        What lies before time 0 is hidden by the container's edit list.
        """
        times = (self._start - PREROLL, self._start, self._stop)
        early, start, stop = (round(Fraction(time) / self._track.time_base) for time in times)
        for packet in self._source.demux(self._track):
            if packet.pts is None or packet.pts + packet.duration <= early:
                continue
            if packet.pts >= stop:
                break
            packet.duration = min(packet.duration, stop - packet.pts)
            packet.pts -= start
            packet.dts = packet.pts  # packets of sound are in order
            packet.stream = self._stream
            yield packet

    def _encoded(self) -> Iterator[av.Packet]:
        """Yield the sound decoded, cut to the sample, and encoded again."""
        rate = self._track.codec_context.sample_rate
        start, stop = round(self._start * rate), round(self._stop * rate)
        for frame in self._source.decode(self._track):
            begin = round(frame.time * rate)
            first, last = max(0, start - begin), min(frame.samples, stop - begin)
            if first < last:
                width = 1 if frame.format.is_planar else frame.layout.nb_channels
                samples = np.ascontiguousarray(frame.to_ndarray()[:, first * width : last * width])
                piece = av.AudioFrame.from_ndarray(samples, frame.format.name, frame.layout.name)
                piece.sample_rate, piece.time_base, piece.pts = rate, Fraction(1, rate), begin + first - start
                yield from self._stream.encode(piece)
        yield from self._stream.encode(None)


def _first_picture(path: Path) -> float:
    """Return the time of the first picture [s], which the times of a clip count from."""
    with av.open(str(path)) as container:
        return next(frame.time for frame in container.decode(video=0) if not frame.is_corrupt) or 0.0
