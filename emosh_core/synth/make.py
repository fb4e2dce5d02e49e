"""Fill a folder with synthetic clips: in parallel, resumable, the same bytes from the same seed.

A folder holds one set of clips:

    synth.json                       what the set is: split, seed, settings, wardrobe
    clips/clip-00000/                video.mp4, still.png, motion.zarr, shape.zarr, truth.zarr, clip.json
    clips/clip-00000/pairs/1/        the same of another person who does the same before the same camera
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock

from emosh_core.artifacts import Motion, Shape, Truth
from emosh_core.body.assets import load_body
from emosh_core.durable import durable_directory, durable_file, sweep
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.image_io import write_image
from emosh_core.settings import SynthConfig
from emosh_core.synth.clip import Shooting, choose_scene
from emosh_core.synth.dice import PROTOCOL_CLIPS, PROTOCOL_SEED, SPLITS, Dice
from emosh_core.synth.figure import Wardrobe
from emosh_core.workspace.artifact import Provenance, write
from emosh_core.workspace.store import fingerprint

VERSION = 2
"""Rises when the same settings and seed give other clips."""
SET, CLIPS = "synth.json", "clips"
USUAL_CLIPS = 8

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Set:
    """What a folder of clips holds."""

    split: str
    seed: int
    others: int
    """People per clip besides its own, for pairs."""
    assets: str
    """Folder of the asset pack; empty for painted people."""
    config: SynthConfig
    device: str = "cpu"

    @classmethod
    def named(
        cls, split: str, *, seed: int | None, others: int, assets: Path | None, config: SynthConfig, device: str
    ) -> "Set":
        """Return the set of a split; without a seed that of its protocol.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in SPLITS:
            raise ConfigError("--split is unknown", found=split, fix=" or ".join(SPLITS))
        seed = seed if seed is not None else PROTOCOL_SEED if split in PROTOCOL_CLIPS else 0
        return cls(split=split, seed=seed, others=others, assets=str(assets or ""), config=config, device=device)

    def describe(self, wardrobe: Wardrobe) -> dict:
        """Return what decides about every byte of the clips."""
        return {
            "version": VERSION, "split": self.split, "seed": self.seed, "pairs": self.others,
            "people": wardrobe.name, "people_fingerprint": wardrobe.fingerprint, "body_model": load_body().fingerprint,
            "settings": asdict(self.config),
        }  # fmt: skip


def clip_count(split: str, asked: int | None) -> int:
    """Return how many clips a set has: as many as were asked for, or those of its protocol."""
    return asked if asked is not None else PROTOCOL_CLIPS.get(split, USUAL_CLIPS)


def usual_workers(set_: Set) -> int:
    """Return how many processes to use: one per processor, on a GPU one."""
    return 1 if set_.device.startswith("cuda") else len(os.sched_getaffinity(0))


def clip_name(number: int) -> str:
    """Return the folder name of a clip."""
    return f"clip-{number:05}"


def missing_clips(folder: Path, numbers: range) -> list[int]:
    """Return which clips a folder does not hold yet."""
    return [number for number in numbers if not (folder / CLIPS / clip_name(number)).is_dir()]


def begin(folder: Path, set_: Set) -> dict:
    """Say in the folder what set it holds, or check that it holds the same; return the description.

    Raises:
        ArtifactError: it holds another set, or its description cannot be read.
    """
    wanted, file = set_.describe(open_wardrobe(set_.assets, set_.device)), folder / SET
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"cannot read {file}", found=str(error), fix="choose another folder with -o") from error
        other = [key for key in wanted if found.get(key) != wanted[key]]
        if other:
            fix = "choose another folder with -o, or the settings that this one was made with"
            raise ArtifactError(f"{folder} holds another set of clips", found=f"another {', '.join(other)}", fix=fix)
        return wanted
    with durable_file(file) as temporary:
        temporary.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
    return wanted


def make_clips(folder: Path, set_: Set, numbers: list[int], *, workers: int) -> Iterator[tuple[int, int]]:
    """Make clips that are missing; yield (clip, frames) as each is finished.

    Args:
        numbers: which clips.
        workers: processes; one works in this process.
    """
    yield from spread(partial(make_clip, folder, set_), numbers, workers=workers)


def spread(call: Callable[[int], T], numbers: list[int], *, workers: int) -> Iterator[tuple[int, T]]:
    """Call a function, which processes can be given, for each number; yield (number, result) as each is finished."""
    if workers == 1 or len(numbers) < 2:
        for number in numbers:
            yield number, call(number)
        return
    pool = ProcessPoolExecutor(min(workers, len(numbers)), get_context("spawn"), _alone, (workers,))
    try:
        jobs = {pool.submit(call, number): number for number in numbers}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    finally:
        # On Ctrl-C or an error nobody waits for the others: what is unfinished leaves no folder.
        for process in list((pool._processes or {}).values()):
            process.terminate() if any(not job.done() for job in jobs) else None
        pool.shutdown(cancel_futures=True)


def _alone(workers: int) -> None:
    """Prepare a process that makes clips: the parent decides about Ctrl-C, and processors are shared out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone: a killed one cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def make_clip(folder: Path, set_: Set, number: int, progress: Callable[[int, int], None] | None = None) -> int:
    """Make one clip unless it is there; return its number of frames, 0 if it was.

    Two processes never make the same clip: the second waits and finds it.
    """
    final = folder / CLIPS / clip_name(number)
    (folder / ".locks").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".locks" / f"{final.name}.lock"):
        if final.is_dir():
            return 0
        sweep(final.parent, final.name)  # a killed run's: only the lock's holder writes these
        body, wardrobe = load_body(device=set_.device), open_wardrobe(set_.assets, set_.device)
        dice = Dice(set_.seed, set_.split, number)
        scene = choose_scene(dice, set_.config, wardrobe, body, others=set_.others)
        print_ = fingerprint("synth", VERSION, set_.describe(wardrobe), [str(number)], {})
        with durable_directory(final) as temporary:
            for which in range(1 + set_.others):
                place = temporary / "pairs" / str(which) if which else temporary
                place.mkdir(parents=True, exist_ok=True)
                film_clip(
                    Shooting(scene, which, wardrobe, body), place, f"{print_[:10]}{which:02}", set_.config, progress
                )
    return len(scene.shot.K) // scene.subframes * (1 + set_.others)


def film_clip(shooting: Shooting, folder: Path, print_: str, config: SynthConfig, progress=None) -> None:
    """Write everything about one person of a clip."""
    from emosh_core.video_io import VideoWriter  # not at import: filming for training needs no codecs

    scene = shooting.scene
    with VideoWriter(folder / "video.mp4", config.fps, scene.shot.size, crf=config.crf) as video:

        def encode(frames: torch.Tensor) -> None:
            for frame in frames.cpu().numpy():
                video.write(frame)

        recording = shooting.film(encode, progress)
    write_image(folder / "still.png", shooting.still().cpu().numpy())
    # No time, duration or device: the same seed gives the same bytes.
    provenance = Provenance(fingerprint=print_, config=asdict(config), emosh_version=version("emosh"))
    values: dict[str, Motion | Shape | Truth] = {
        "motion": recording.motion, "shape": recording.motion.shape, "truth": recording.truth,
    }  # fmt: skip
    for name, value in values.items():
        write(folder / f"{name}.zarr", value, provenance)
    notes = json.dumps(scene.notes(shooting.which), indent=2, ensure_ascii=False)
    (folder / "clip.json").write_text(notes, encoding="utf-8")


@lru_cache(maxsize=2)
def open_wardrobe(assets: str, device: str) -> Wardrobe:
    """Open a wardrobe once per process."""
    body = load_body(device=device)
    if assets:
        from emosh_core.synth.wardrobe import PackWardrobe

        return PackWardrobe(Path(assets), body)
    from emosh_core.synth.painted import PaintedWardrobe

    return PaintedWardrobe(body)
