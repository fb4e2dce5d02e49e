"""How fast the tracker is, stage by stage, beside the detector alone; and how much memory a long clip takes.

`python tests/benchmarks/bench_track.py` runs the tracker's tests first, then tracks a real clip at 720p and writes
benchmarks/results/track.json. `--minutes 10` also tracks a clip of that length, with the detections of the short one
repeated (the detector's memory does not depend on the length), and reports the peak of the process.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import device_name

from emosh_core.body.assets import load_body
from emosh_core.quiet import quiet_native_stderr
from emosh_core.settings import TrackConfig
from emosh_core.tracker import track as pipeline
from emosh_core.tracker.detectors import Detections, MediaPipeDetector
from emosh_core.video_io import VideoWriter, open_source

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "workspace_template" / "inputs" / "driving" / "demo_fullbody_jumping_jack.mp4"
SIZE, FPS, REPEATED = (1280, 720), 30.0, 3
STAGES = {"survey": "_survey", "detect": "detect", "shape": "_fit_shape", "fit": "_fit_windows"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="also track a clip of this length")
    parser.add_argument("--untested", action="store_true")
    options = parser.parse_args()
    if not options.untested:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "tests/core/tracker"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        clip, frames = film(Path(folder) / "clip.mp4", REPEATED)
        warm = film(Path(folder) / "warm.mp4", 1, most=20)[0]
        timed(warm)  # imports and first-use compilation
        seconds = timed(clip)
        alone = detector_alone(clip)
        report = {
            "benchmark": "track", "size": SIZE, "frames": frames,
            "frames_per_s": {"end_to_end": round(frames / seconds.pop("all"), 1)}
            | {name: round(frames / value, 1) for name, value in seconds.items()},
            "mediapipe_holistic_alone_frames_per_s": round(frames / alone, 1),
            "device": device_name("cpu"), "threads": torch.get_num_threads(), "load_average": os.getloadavg()[0],
            "date": datetime.date.today().isoformat(),
        }  # fmt: skip
        report["end_to_end_over_detector_alone"] = round(
            report["frames_per_s"]["end_to_end"] / report["mediapipe_holistic_alone_frames_per_s"], 2
        )
        if options.minutes:
            report["long_clip"] = long_clip(Path(folder), clip, options.minutes)
    print(json.dumps(report, indent=2))
    (ROOT / "benchmarks" / "results" / "track.json").write_text(json.dumps(report, indent=2) + "\n")


def film(path: Path, times: int, most: int = 10**9) -> tuple[Path, int]:
    """Write the clip, to and fro, at 720p."""
    source = [frame for _, frame in open_source(CLIP).frames()]
    order = [frame for turn in range(times) for frame in (source if turn % 2 == 0 else source[::-1])][:most]
    with VideoWriter(path, FPS, SIZE) as video:
        for frame in order:
            zoom = SIZE[1] / frame.shape[0]
            wide = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
            large = cv2.resize(frame, None, fx=zoom, fy=zoom)[: SIZE[1], : SIZE[0]]
            left = (SIZE[0] - large.shape[1]) // 2
            wide[: large.shape[0], left : left + large.shape[1]] = large
            video.write(wide)
    return path, len(order)


def timed(clip: Path, detector=None) -> dict[str, float]:
    """Track a clip and return the seconds of each stage and of all."""
    seconds: dict[str, float] = defaultdict(float)
    plain = {name: getattr(pipeline, function) for name, function in STAGES.items()}

    def watched(name, function):
        def run(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[name] += time.perf_counter() - start

        return run

    for name, function in STAGES.items():
        setattr(pipeline, function, watched(name, plain[name]))
    start = time.perf_counter()
    try:
        pipeline.track(clip, load_body(), TrackConfig(), detector=detector)
    finally:
        for name, function in STAGES.items():
            setattr(pipeline, function, plain[name])
    return dict(seconds) | {"all": time.perf_counter() - start}


def detector_alone(clip: Path) -> float:
    """Return the seconds that one MediaPipe Holistic takes for the same clip, decoding included."""
    start = time.perf_counter()
    with quiet_native_stderr():
        MediaPipeDetector().detect(frame for _, frame in open_source(clip).frames())
    return time.perf_counter() - start


class Replayed:
    """Detections of a short clip, again and again."""

    name = "replayed"

    def __init__(self, seen: Detections):
        self._seen = seen

    def detect(self, frames):
        """Return as many rows as there are frames."""
        rows = np.arange(sum(1 for _ in frames)) % len(self._seen.silhouette)
        return Detections(*(value[rows] for value in vars(self._seen).values()))


def long_clip(folder: Path, clip: Path, minutes: float) -> dict:
    """Track a clip of many minutes and return its speed without detection and the process's peak memory."""
    with quiet_native_stderr():
        seen = MediaPipeDetector().detect(frame for _, frame in open_source(clip).frames())
    frames = len(seen.silhouette)
    count = round(minutes * 60 * FPS / frames)
    path = folder / "long.mp4"
    _concatenate(clip, path, count)
    seconds = timed(path, Replayed(seen))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"minutes": minutes, "frames": frames * count, "peak_rss_GiB": round(peak, 2),
            "seconds_without_detector": round(seconds["all"], 1)}  # fmt: skip


def _concatenate(clip: Path, path: Path, count: int) -> None:
    """Repeat a clip without encoding it again."""
    import av

    with av.open(str(path), "w") as out:
        target = None
        for turn in range(count):
            with av.open(str(clip)) as source:
                stream = source.streams.video[0]
                target = target or out.add_stream_from_template(stream)
                length = stream.duration
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts += turn * length
                    packet.dts += turn * length
                    packet.stream = target
                    out.mux(packet)


if __name__ == "__main__":
    main()
