"""What a finished set of clips looks like: contact sheets, statistics of motion, the filter's verdicts."""

import json
from pathlib import Path

import cv2
import numpy as np

from emosh_core.artifacts import Motion
from emosh_core.durable import durable_file
from emosh_core.image_io import write_image
from emosh_core.synth.make import CLIPS, clip_name
from emosh_core.synth.motion.statistics import statistics
from emosh_core.training.selection import count, judge
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read

PEOPLE, CELL, ACROSS = 48, 192, 8
"""Faces of the sheet: how many people, the side of each picture [px], how many side by side."""
STRIPS, MOMENTS = 12, 8
STATISTICS, SHEET, FILMSTRIPS = "statistics.json", "people.jpg", "strips.jpg"


def report(folder: Path, clips: list[Path]) -> None:
    """Write `statistics.json`, `people.jpg` and `strips.jpg` about clips of a set."""
    motions = [read(clip / "motion.zarr", Motion, lazy=("keypoints2d",)) for clip in clips]
    figures = statistics(motions) | {"filter": count(judge(motion) for motion in motions)}
    with durable_file(folder / STATISTICS) as temporary:
        temporary.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    middles = [_moments(clip, 1)[0] for clip in clips[:PEOPLE]]
    write_image(folder / SHEET, _grid(middles, ACROSS))
    strips = [frame for clip in clips[:STRIPS] for frame in _moments(clip, MOMENTS)]
    write_image(folder / FILMSTRIPS, _grid(strips, MOMENTS))


def takes(folder: Path, numbers: range) -> list[Path]:
    """Return the folders of clips and of their pairs."""
    clips = [folder / CLIPS / clip_name(number) for number in numbers]
    return [place for clip in clips for place in (clip, *sorted(clip.glob("pairs/*"), key=lambda p: int(p.name)))]


def _moments(clip: Path, count: int) -> list[np.ndarray]:
    """Return evenly spaced frames of a clip's video, in a square each."""
    source = open_source(clip / "video.mp4")
    frames = [_square(frame) for _, frame in source.frames()]
    return [frames[int((k + 0.5) / count * len(frames))] for k in range(count)]


def _square(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = CELL / max(height, width)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    cell = np.full((CELL, CELL, 3), 24, np.uint8)
    y, x = (CELL - small.shape[0]) // 2, (CELL - small.shape[1]) // 2
    cell[y : y + small.shape[0], x : x + small.shape[1]] = small
    return cell


def _grid(cells: list[np.ndarray], across: int) -> np.ndarray:
    cells = [*cells, *[np.zeros_like(cells[0])] * (-len(cells) % across)]
    return np.concatenate([np.concatenate(cells[k : k + across], 1) for k in range(0, len(cells), across)])
