"""How good the generator `mini` is on people and motions it never saw, beside `preview`: `make bench-mini`.

Runs the tests of generating and training first. A frame of each clip is the reference, later frames of the same clip
drive it, and what is made is compared with them. The drive is the truth, or (on fewer clips) what the tracker makes
of the pictures. Bars are judged on the first generator that is driven by the truth.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import scipy
import torch
from driven_clips import CHOSEN, FRAMES, PARTS, Take, film, open_take, other_looks, resized, rows_of, tracked
from machine import device_name
from retracked import Asked, asked_of, follow, look

from emosh_core.artifacts import Cond, Motion
from emosh_core.body.assets import load_body
from emosh_core.generate.animate import animate
from emosh_core.generate.chunks import plan_chunks
from emosh_core.generate.diffusion import DiffusionGenerator
from emosh_core.generate.generator import Generator, Reference
from emosh_core.generate.names import MINI, PREVIEW, mini_folder
from emosh_core.generate.preview import Cameras, PreviewGenerator
from emosh_core.image_io import write_image
from emosh_core.metrics.evaluate import PSNR_CAP
from emosh_core.metrics.following import drift
from emosh_core.metrics.identity import look_distance, look_of
from emosh_core.metrics.image import psnr, ssim
from emosh_core.metrics.perceptual import gmsd, ms_ssim, sharpness
from emosh_core.render.condition import render_condition
from emosh_core.settings import AnimateConfig, RenderConfig

ROOT = Path(__file__).parents[2]
FILM = "film"
"""The true frames: what detector and colours say of them is the best that one can hope for."""
COMPARED = (128, 256)
"""Sides at which pictures are compared [px], as far as they are made that large."""
CHUNK, OVERLAP = 17, 5
"""Drift is between these chunks for every generator, so one without memory shows how much is the clip's own doing."""
CLIP_SIDE = 256
LOOK_EVERY = 4
"""Frames between two that are looked at for identity."""
TIMED_FRAMES, TIMED_THREADS = 77, 2
STEPS = 8
"""Sampling steps that the bar on seconds is held with."""
CELL, MOMENTS = 192, 5
BARS = {
    "psnr_128": {"least": 24.0}, "ssim_128": {"least": 0.85}, "joint_error": {"most": 0.06}, "is_own": {"least": 0.95},
    "drift_db": {"most": 1.0}, "blink": {"least": 0.7}, "mouth": {"least": 0.7},
}  # fmt: skip
"""Means over clips driven by the truth; `joint_error` is held to the stricter height, see `retracked.follow`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generators", nargs="+", choices=(MINI, PREVIEW), default=[MINI, PREVIEW])
    parser.add_argument("--clips", type=int, default=12, help=f"driven by the truth, 1 to {len(CHOSEN)}")
    parser.add_argument("--tracked", type=int, default=3, help="clips of these that are tracked as well")
    parser.add_argument("--others", type=int, default=50, help="people that an output must not be closer to")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures that are made [px]")
    parser.add_argument("--unknown-camera", action="store_true",
                        help="do not say which camera took the reference, as if it showed another place")  # fmt: skip
    parser.add_argument("--assets", type=Path, help="asset pack; painted people without it")
    parser.add_argument("--mini", type=Path, default=mini_folder(), help="a folder of a generator, or a checkpoint")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "emosh-bench-mini",
                        help="where filmed clips are kept for the next run")  # fmt: skip
    parser.add_argument("--sheets", type=Path, default=ROOT / "build" / "bench_mini")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mini.json")
    parser.add_argument("--no-tests", action="store_true")
    options = parser.parse_args()
    if not 1 <= options.clips <= len(CHOSEN) or options.others < 1 or options.size < COMPARED[0] or options.size % 16:
        parser.error(f"1 to {len(CHOSEN)} clips, at least one other person, a size from {COMPARED[0]} in steps of 16")
    if not options.no_tests:
        tests = [sys.executable, "-m", "pytest", "-q", "tests/core/generate", "tests/core/training"]
        subprocess.run(tests, cwd=ROOT, check=True, stdout=sys.stderr)
    started = time.perf_counter()
    report = run(options) | {
        "device": device_name(), "threads": torch.get_num_threads(), "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
                     "scipy": scipy.__version__, "opencv": cv2.__version__},
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    report["seconds_without_tests"] = round(time.perf_counter() - started, 1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = plain(report)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


def open_generator(
    name: str, target: Motion, cond: Cond, reference: Reference, mini: Path, steps: int = 0
) -> Generator:
    """Return the generator of this name for a target, its condition pictures and a reference; `mini` is its folder."""

    def preview() -> Generator:
        size = cond.frames.shape[2], cond.frames.shape[1]
        return PreviewGenerator(target, reference, load_body(), size, Cameras(cond.K, cond.w2c))

    if name == PREVIEW:
        return preview()
    return DiffusionGenerator.from_folder(mini, cond, reference, AnimateConfig(steps=steps), name=name, preview=preview)


def run(options) -> dict:
    """Film, make and measure; return the report."""
    chosen, side = list(CHOSEN[: options.clips]), max(CLIP_SIDE, options.size)
    say(f"filming {len(chosen)} clips and {options.others} other people, unless {options.kept} holds them")
    clips = film(options.kept, chosen, frames=FRAMES, side=side, assets=options.assets)
    others = list(other_looks(options.kept, options.others, side=side, assets=options.assets))
    options.sheets.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict]] = {"truth": [], "tracked": []}
    for number, clip in enumerate(clips):
        take = open_take(clip)
        if options.unknown_camera:
            take = replace(take, reference=replace(take.reference, camera=None))
        scored = Scored.of(take, options, others)
        for drive in ("truth", "tracked") if number < options.tracked else ("truth",):
            target, reference = tracked(take) if drive == "tracked" else (take.motion, take.reference)
            rows[drive].append(scored.drive(target, reference, options, f"{drive}-{take.name}"))
        if number == 0:
            speed = {name: timed(name, take, options) for name in options.generators}
            judged = options.generators[0]
            many = {judged: timed(judged, take, options, steps=STEPS)} if judged == MINI else {}
    result = {drive: summary(per_clip) for drive, per_clip in rows.items() if per_clip}
    return {
        "benchmark": "mini", "judged": options.generators[0], "size": options.size, "clips": len(clips),
        "others": len(others), "assets": bool(options.assets),
        "camera": "unknown" if options.unknown_camera else "known", "bars": bars(rows["truth"], many or speed, options),
        "seconds_77_frames": speed, f"seconds_77_frames_{STEPS}_steps": many, **result, "per_clip": rows,
    }  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """A clip with all that outputs are held against."""

    take: Take
    side: int
    """Of the pictures that are made [px]."""
    true: dict[int, list[np.ndarray]]
    """The driven frames at each side that is compared [px]."""
    own: np.ndarray
    """(P, 6) look of the reference."""
    others: list[np.ndarray]
    asked: Asked
    film: dict
    """What the true frames score where they are not the measure themselves."""

    @classmethod
    def of(cls, take: Take, options, others: list[np.ndarray]) -> "Scored":
        """Look at the true frames."""
        true = {side: [resized(f, side) for f in take.frames] for side in COMPARED if side <= options.size}
        own, seen = look_of([take.reference.image], [take.reference_parts], len(PARTS)), look(take.frames)
        asked = asked_of(take, seen, options.size)
        best = follow(take, seen, asked) | whose(take.frames, take.parts, own, others)
        return cls(take, options.size, true, own, others, asked, best)

    def drive(self, target: Motion, reference: Reference, options, title: str) -> dict:
        """Make the clip with each generator, measure it, draw the sheet; return name to figures."""
        cond = render_condition(target, load_body(), RenderConfig(size=f"{self.side}x{self.side}"))
        made, row = {}, {"clip": self.take.name, "notes": self.take.notes, FILM: self.film}
        for name in options.generators:
            started = time.perf_counter()
            made[name] = make(open_generator(name, target, cond, reference, options.mini), len(target.time))
            seconds = time.perf_counter() - started
            row[name] = self.measure(made[name]) | {"seconds": seconds}
            say(title, name, " ".join(f"{key} {value:.4g}" for key, value in row[name].items()))
        sheet = {FILM: self.take.frames, "condition": list(cond.frames), **made}
        write_image(options.sheets / f"{title}.png", draw_sheet(reference.image, sheet))
        return row

    def measure(self, made: list[np.ndarray]) -> dict[str, float]:
        """Return every figure of an output."""
        figures = {}
        for side, true in self.true.items():
            pairs = [(resized(frame, side), frame_) for frame, frame_ in zip(made, true, strict=True)]
            quality = np.array([min(psnr(*pair), PSNR_CAP) for pair in pairs])
            figures |= {f"psnr_{side}": float(quality.mean())}
            for name, metric in (("ssim", ssim), ("ms_ssim", ms_ssim), ("gmsd", gmsd)):
                figures[f"{name}_{side}"] = float(np.mean([metric(*pair) for pair in pairs]))
            sharp = np.array([sharpness(*pair) for pair in pairs])
            figures[f"sharpness_{side}"] = float(sharp.mean())
            if side == COMPARED[0]:
                figures["drift_db"] = drift(quality, chunks(len(made)))
                figures["sharpness_drift"] = drift(sharp, chunks(len(made)))
        large = [resized(frame, self.take.motion.size[0]) for frame in made]
        pairs = zip(large, self.take.frames, self.take.truth.mask, strict=True)
        on_person = [min(psnr(a[mask], b[mask]), PSNR_CAP) for a, b, mask in pairs if mask.any()]
        figures["psnr_person"] = float(np.mean(on_person))
        figures |= follow(self.take, look(large), self.asked)
        return figures | whose(large, self.take.parts, self.own, self.others)


def make(generator: Generator, count: int) -> list[np.ndarray]:
    """Return the frames of a clip as the line writes them."""
    frames: list[np.ndarray] = []
    animate(generator, count, AnimateConfig(), write=frames.append)
    return frames


def chunks(count: int) -> list[slice]:
    """Return which frames each chunk delivers."""
    plan = plan_chunks(count, window=CHUNK, overlap=OVERLAP)
    return [slice(chunk.start + chunk.keep.start, chunk.start + chunk.keep.stop) for chunk in plan]


def whose(frames: list[np.ndarray], parts: np.ndarray, own: np.ndarray, others: list[np.ndarray]) -> dict[str, float]:
    """Say how far a clip's look is from its reference's and from the nearest other person's, over the same parts."""
    found = look_of(frames[::LOOK_EVERY], list(parts[::LOOK_EVERY]), len(PARTS))
    found = np.where(np.isfinite(own), found, np.nan)
    to_own, to_others = look_distance(found, own), np.array([look_distance(found, other) for other in others])
    if not np.isfinite(to_own) or not np.isfinite(to_others).any():
        return {}  # nobody to be seen
    nearest = float(to_others[np.isfinite(to_others)].min())
    return {"own_distance": to_own, "other_distance": nearest, "is_own": float(to_own < nearest)}


def timed(name: str, take: Take, options, steps: int = 0) -> dict[str, float]:
    """Return the seconds that opening a generator and making a clip of 77 frames take; 0 steps are its own."""
    target = rows_of(take.long, np.arange(TIMED_FRAMES))
    cond = render_condition(target, load_body(), RenderConfig(size=f"{options.size}x{options.size}"))
    before = torch.get_num_threads()
    torch.set_num_threads(TIMED_THREADS)
    started = time.perf_counter()
    generator = open_generator(name, target, cond, take.reference, options.mini, steps)
    opened, used = time.perf_counter(), time.process_time()
    make(generator, TIMED_FRAMES)
    figures = {"open_s": opened - started, "make_s": time.perf_counter() - opened,
               "make_processor_s": time.process_time() - used, "threads": TIMED_THREADS}  # fmt: skip
    torch.set_num_threads(before)
    return {key: round(value, 2) for key, value in figures.items()}


def summary(rows: list[dict]) -> dict:
    """Return each figure of each generator: its mean over clips, how many clips it was measured in, its worst."""
    result = {}
    for name in (key for key in rows[0] if key not in ("clip", "notes")):
        result[name] = {}
        for key in dict.fromkeys(key for row in rows for key in row[name]):
            values = np.array([row[name][key] for row in rows if np.isfinite(row[name].get(key, np.nan))])
            spread = {"mean": values.mean(), "low": values.min(), "high": values.max()} if len(values) else {}
            result[name][key] = {k: round(float(v), 4) for k, v in spread.items()} | {"clips": len(values)}
    return result


def bars(rows: list[dict], speed: dict, options) -> dict:
    """Return each bar with what was measured and whether it is reached; null where nothing could be measured."""
    judged, side = options.generators[0], COMPARED[0]
    figures, result = summary(rows), {}

    def hold(name: str, value: float | None, *, least: float | None = None, most: float | None = None, **more) -> None:
        bar = {"at_least": least} if least is not None else {"at_most": most}
        reached = None if value is None else bool(value >= least if least is not None else value <= most)
        result[name] = {"value": value, **bar, "reached": reached, **more}

    for name, bar in BARS.items():
        figure = figures[judged].get(name, {"clips": 0})
        beside = {other: figures[other].get(name, {}).get("mean") for other in (PREVIEW, FILM) if other in figures}
        hold(name, figure.get("mean"), **bar, clips=figure["clips"], beside=beside)
    if PREVIEW in options.generators and judged != PREVIEW:
        for name, sign in ((f"ssim_{side}", 1), (f"ms_ssim_{side}", 1), (f"gmsd_{side}", -1)):
            better = sign * np.array([row[judged][name] - row[PREVIEW][name] for row in rows])
            hold(f"{name}_better_than_{PREVIEW}", float(better.mean()), least=0.0, clips_better=int((better > 0).sum()))
    hold("seconds_77_frames_256", speed[judged]["make_s"] if options.size == CLIP_SIDE else None, most=120.0)
    return result


def draw_sheet(still: np.ndarray, videos: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Draw the reference, and beside it a row per video that shows a few moments of each."""
    count = len(next(iter(videos.values())))
    moments = np.linspace(0, count - 1, MOMENTS).round().astype(int)
    lines = []
    for k, (name, frames) in enumerate(videos.items()):
        first = resized(still, CELL) if k == 0 else np.zeros((CELL, CELL, 3), np.uint8)
        line = np.concatenate([first, *(resized(frames[t], CELL) for t in moments)], 1)
        corner = (CELL + 4, 14) if k == 0 else (4, 14)
        for width, colour in ((3, (0, 0, 0)), (1, (255, 255, 255))):
            cv2.putText(line, name, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA)
        lines.append(line)
    return np.concatenate(lines)


def plain(value):
    """Return the same for JSON: figures rounded, null for what is not a number."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
