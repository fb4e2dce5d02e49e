"""Driver, condition and result as one video, or one of them, in the driver's timing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from emosh_core.artifacts import Clip, Cond
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.line import Line, Step
from emosh_core.video_io import VideoWriter, open_source, write_image
from emosh_core.workspace.artifact import read, read_header

What = Literal["side-by-side", "cond", "result"]
"""What can be exported; side by side stand driver, condition, result, and what other generators made of the same."""
DIGITS = 5


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


def newest_panels(line: Line, motion: Path | None = None) -> Panels:
    """Return what belongs to the newest clip of a workspace, of the chosen motion if one is chosen.

    Raises:
        ArtifactError: there is no clip, or something that it was made from is gone.
    """
    wanted = read_header(line.chosen(motion, "track"))["fingerprint"] if motion else None
    for artifact in reversed(line.workspace.artifacts("animate")):
        made_from = _inputs(line.take(artifact))
        target = line.workspace.find("retarget", made_from["target"])
        driver = _inputs(line.take(target))["motion"] if target else None
        if wanted not in (None, driver):
            continue
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
    found = f"none of {motion}" if motion else "nothing"
    fix = f"emosh animate {line.workspace.root} --ref STILL"
    raise ArtifactError(f"there is no clip in the workspace {line.workspace.root}", found=found, fix=fix)


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


def check_destination(out: Path, what: str) -> None:
    """Raise ConfigError unless `what` is known and `out` names an mp4, a folder, or a PNG."""
    if what not in get_args(What):
        raise ConfigError("--what is unknown", found=what, fix=" or ".join(get_args(What)))
    if out.suffix.lower() not in (".mp4", ".png", ""):
        fix = "FILE.mp4, FOLDER or NAME.png"
        raise ConfigError("the output is neither video nor pictures", found=str(out), fix=fix)


def export(panels: Panels, what: What, out: Path, progress=lambda done, total: None) -> int:
    """Write an mp4, or PNG pictures `FOLDER/00000.png` or `NAME_00000.png`; return the number of frames.

    Args:
        out: FILE.mp4, a folder, or NAME.png.
        progress: called with (frames written, frames to write).
    """
    times = panels.clip.time
    frames = panels.frames(what)
    if out.suffix.lower() != ".mp4":
        folder, prefix = (out.parent, f"{out.stem}_") if out.suffix else (out, "")
        folder.mkdir(parents=True, exist_ok=True)
        for t, frame in enumerate(frames):
            write_image(folder / f"{prefix}{t:0{DIGITS}}.png", frame)
            progress(t + 1, len(times))
        return len(times)
    out.parent.mkdir(parents=True, exist_ok=True)
    first = next(frames)
    with VideoWriter(out, panels.clip.fps, first.shape[1::-1], times=times) as writer:
        writer.write(first)
        for t, frame in enumerate(frames, 1):
            writer.write(frame)
            progress(t + 1, len(times))
    return len(times)


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
