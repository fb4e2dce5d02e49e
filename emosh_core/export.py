"""Driver, condition and result as one video, or one of them, in the driver's timing, in the form that is wanted."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from emosh_core.artifacts import Clip, Cond
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.generate.names import made_by
from emosh_core.image_io import write_image
from emosh_core.line import Line, Step
from emosh_core.matte import Background, cut_out
from emosh_core.sound import Sound, check_sound
from emosh_core.video_io import Codec, VideoWriter, check_codec, open_source
from emosh_core.workspace.artifact import read, read_header
from emosh_core.workspace.store import copy_file

What = Literal["side-by-side", "cond", "result"]
"""What can be exported; side by side stand driver, condition, result, and what other generators made of the same."""
DIGITS = 5
CODECS: dict[str, Codec] = {".mp4": "h264", ".mov": "prores"}
"""What a suffix means where no codec is named."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """In which form something is handed out, and where.

    Raises:
        ConfigError: the wishes do not go together.
    """

    out: Path
    """FILE.mp4, FILE.mov, a folder, or NAME.png."""
    what: What = "result"
    codec: Codec | Literal["auto"] = "auto"
    audio: bool = False
    """With the driver's sound."""
    background: Background = "keep"

    def __post_init__(self):
        for name, known in (("what", What), ("background", Background)):
            if getattr(self, name) not in get_args(known):
                fix = " or ".join(get_args(known))
                raise ConfigError(f"--{name} is unknown", found=getattr(self, name), fix=fix)
        if self.suffix not in (*CODECS, ".png", ""):
            fix = "FILE.mp4, FILE.mov, FOLDER or NAME.png"
            raise ConfigError("the output is neither video nor pictures", found=str(self.out), fix=fix)
        if self.encoding is not None:
            check_codec(self.encoding, self.suffix)
        elif self.audio or self.codec != "auto":
            wish = "--audio" if self.audio else "--codec"
            raise ConfigError(f"{wish} is for a video", found=str(self.out), fix="-o FILE.mp4 or -o FILE.mov")
        if self.background != "keep" and self.what == "side-by-side":
            found = f"--background {self.background} --what side-by-side"
            raise ConfigError("only one picture can be cut out", found=found, fix="--what result")
        if self.background == "alpha" and self.encoding in ("h264", "h265"):
            fix = "-o FILE.mov with ProRes, -o NAME.png, or --background green"
            raise ConfigError(f"{self.encoding} has no transparency", found=str(self.out), fix=fix)

    @property
    def suffix(self) -> str:
        return self.out.suffix.lower()

    @property
    def encoding(self) -> Codec | None:
        """The codec; None for pictures."""
        if self.suffix not in CODECS:
            return None
        return CODECS[self.suffix] if self.codec == "auto" else self.codec

    @property
    def plain(self) -> bool:
        """The clip's own video is what is asked for."""
        return (self.what, self.suffix, self.encoding, self.audio, self.background) == (
            "result", ".mp4", "h264", False, "keep")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Panels:
    """What belongs to one finished clip."""

    clip: Clip
    cond: Cond
    driver: Path
    """The driving video."""
    video: Path
    """The clip's own."""
    others: dict[str, Path]
    """Generator to its video of the same target, condition and still, of as many frames."""

    def frames(self, what: What) -> Iterator[np.ndarray]:
        """Yield the frames (H, W, 3) uint8, one for each time of the clip.

        Raises:
            ArtifactError: the driver or the clip has fewer frames than the artifact says.
        """
        count = len(self.clip.time)
        sources = {
            "driver": (frame for _, frame in open_source(self.driver).frames()),
            "cond": (np.asarray(self.cond.frames[t]) for t in range(count)),
            "result": (frame for _, frame in open_source(self.video).frames()),
        }
        sources |= {name: (frame for _, frame in open_source(path).frames()) for name, path in self.others.items()}
        names = tuple(sources) if what == "side-by-side" else (what,)
        for t in range(count):
            row = [next(sources[name], None) for name in names]
            missing = [name for name, frame in zip(names, row, strict=True) if frame is None]
            if missing:
                raise ArtifactError(
                    f"the {missing[0]}'s video is too short", found=f"{t} of {count} frames",
                    fix="run `emosh animate` again",
                )  # fmt: skip
            yield _beside(row)


def newest_clip(line: Line, motion: Path | None = None) -> Path | None:
    """Return the newest clip of a workspace, of the chosen motion if one is chosen; None where there is none."""
    wanted = read_header(line.chosen(motion, "track"))["fingerprint"] if motion else None
    clips = reversed(line.workspace.artifacts("animate"))
    return next((clip for clip in clips if wanted in (None, _driver(line, clip))), None)


def newest_panels(line: Line, motion: Path | None = None) -> Panels:
    """Return what belongs to that clip.

    Raises:
        ArtifactError: there is no clip, or something that it was made from is gone.
    """
    artifact = newest_clip(line, motion)
    if artifact is None:
        found = f"none of {motion}" if motion else "nothing"
        fix = f"emosh animate {line.workspace.root} --ref STILL"
        raise ArtifactError(f"there is no clip in the workspace {line.workspace.root}", found=found, fix=fix)
    return panels_of(line, artifact)


def panels_of(line: Line, artifact: Path) -> Panels:
    """Return what belongs to a clip.

    Raises:
        ArtifactError: something that it was made from is gone.
    """
    made_from, driver = _inputs(line.take(artifact)), _driver(line, artifact)
    paths = {"cond": line.workspace.find("render-cond", made_from["cond"]),
             "driver": line.workspace.find("track", driver) if driver else None}  # fmt: skip
    gone = [name for name, path in paths.items() if path is None]
    if gone:
        fix = "run `emosh animate` again"
        raise ArtifactError(f"the {gone[0]} of the newest clip is gone", found=artifact.name, fix=fix)
    clip = read(artifact, Clip)
    video = line.workspace.root / clip.video
    if not video.is_file():
        raise ArtifactError("the newest clip's video is gone", found=clip.video, fix="run `emosh animate` again")
    cond = read(paths["cond"], Cond, lazy=("frames", "mask"))
    return Panels(clip=clip, cond=cond, driver=line.source(line.take(paths["driver"])), video=video,
                  others=_others(line, artifact, clip, made_from))  # fmt: skip


def _driver(line: Line, artifact: Path) -> str | None:
    """Return the fingerprint of the motion that a clip shows; None where its target is gone."""
    target = line.workspace.find("retarget", _inputs(line.take(artifact))["target"])
    return _inputs(line.take(target))["motion"] if target else None


def _others(line: Line, newest: Path, clip: Clip, made_from: dict[str, str]) -> dict[str, Path]:
    """Return the newest video of each other generator that was made from the same."""
    found = {}
    for artifact in line.workspace.artifacts("animate"):
        header = read_header(artifact)["values"]
        video = line.workspace.root / header["video"]
        if artifact == newest or header["generator"] == clip.generator or not video.is_file():
            continue
        if _inputs(line.take(artifact)) == made_from and len(read(artifact, Clip).time) == len(clip.time):
            found[header["generator"]] = video
    return found


def _inputs(step: Step) -> dict[str, str]:
    """Return the fingerprints of the artifacts that a step was made from, by role."""
    return {entry["role"]: entry["fingerprint"] for entry in step.inputs if "fingerprint" in entry}


def export(panels: Panels, delivery: Delivery, progress=lambda done, total: None) -> int:
    """Write a video, or PNG pictures `FOLDER/00000.png` or `NAME_00000.png`; return the number of frames.

    Args:
        progress: called with (frames written, frames to write).

    Raises:
        ArtifactError: the driver has no sound, or a video is too short.
    """
    out, count = delivery.out, len(panels.clip.time)
    if delivery.plain:
        copy_file(panels.video, out)
        return count
    if delivery.audio:
        check_sound(panels.driver)
    frames = _cut_frames(panels, delivery)
    if delivery.encoding is None:
        folder, prefix = (out.parent, f"{out.stem}_") if out.suffix else (out, "")
        folder.mkdir(parents=True, exist_ok=True)
        for t, frame in enumerate(frames):
            write_image(folder / f"{prefix}{t:0{DIGITS}}.png", frame)
            progress(t + 1, count)
        return count
    out.parent.mkdir(parents=True, exist_ok=True)
    first = next(frames)
    with _video(panels, delivery, first.shape[1::-1]) as writer:
        for t, frame in enumerate(chain([first], frames)):
            writer.write(frame)
            progress(t + 1, count)
    return count


def _cut_frames(panels: Panels, delivery: Delivery) -> Iterator[np.ndarray]:
    """Yield the frames (H, W, 3), or (H, W, 4) with alpha."""
    for t, frame in enumerate(panels.frames(delivery.what)):
        yield frame if delivery.background == "keep" else cut_out(frame, panels.cond.mask[t], delivery.background)


def _video(panels: Panels, delivery: Delivery, size: tuple[int, int]) -> VideoWriter:
    """Open the video that is to be delivered: as long as the clip, the last frame included."""
    clip = panels.clip
    start, stop = float(clip.time[0]), float(clip.time[-1]) + 1 / clip.fps
    sound = Sound(path=panels.driver, start=start, stop=stop) if delivery.audio else None
    note = {} if delivery.what == "cond" else made_by(clip.generator)
    return VideoWriter(
        delivery.out, clip.fps, size, times=clip.time, metadata=note, codec=delivery.encoding,
        alpha=delivery.background == "alpha", sound=sound,
    )  # fmt: skip


def _beside(row: list[np.ndarray]) -> np.ndarray:
    """Put frames beside each other, all as high as the last one, in even width and height for every player."""
    height = row[-1].shape[0] // 2 * 2 if len(row) > 1 else row[-1].shape[0]
    scaled = []
    for frame in row:
        if frame.shape[0] != height:
            size = (max(1, round(frame.shape[1] * height / frame.shape[0])), height)
            smaller = height < frame.shape[0]
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        scaled.append(frame)
    joined = np.concatenate(scaled, 1)
    return joined[:, : joined.shape[1] // 2 * 2] if len(row) > 1 else joined
