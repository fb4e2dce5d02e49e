"""Synthetic people as training samples: what was filmed, its condition pictures, and a reference from another moment.

Everything is true: the motion, the shape and the mask are those that the film was made from. Only the fit of the
reference is disturbed now and then as a tracker's is, so that a generator learns to mend what follows from it.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from emosh_core.artifacts import KEYPOINTS, Cond, Motion, keypoint_slice
from emosh_core.body.assets import load_body
from emosh_core.body.ehm import EhmModel
from emosh_core.durable import sweep
from emosh_core.generate.generator import Camera, Reference
from emosh_core.generate.preview import PreviewGenerator
from emosh_core.render.condition import render_condition
from emosh_core.settings import RenderConfig, SynthConfig, TrainConfig
from emosh_core.synth.clip import Shooting, choose_scene
from emosh_core.synth.dice import Dice
from emosh_core.synth.figure import Wardrobe
from emosh_core.synth.make import open_wardrobe, spread
from emosh_core.training.samples import Sample, save_sample

DETAILS = tuple(part for part in KEYPOINTS if part != "body")
"""What is small and looked at: face and hands."""
FRAMES, WINDOWS = 90, 2
"""Length of the clip that a sample is taken from, and windows taken."""
GAP = 12
"""Frames between a window and its reference, at the least."""
POSE_NOISE, ROOT_NOISE = 0.012, 0.004
"""Spread of what is added to the reference's joints and root [rad] where its fit is disturbed; a tracker errs so."""


def sample_of(dice: Dice, config: SynthConfig, wardrobe: Wardrobe, body: EhmModel, *, window: int, windows: int):
    """Film a sample; the same dice give the same one.

    Args:
        config: `frames` is the length of the clip that windows and reference are taken from.
        window: n, frames per window.
        windows: W.
    """
    scene = choose_scene(dice, config, wardrobe, body)
    shooting = Shooting(scene, 0, wardrobe, body)
    rng = dice.rng("still")
    moments = draw_moments(rng, config.frames, window, windows)
    film: list[torch.Tensor] = []
    recording = shooting.film(film.append, only=moments)
    frames = torch.cat(film).cpu().numpy()
    motion = recording.motion
    fit, mask = one_frame(motion, 0), recording.truth.mask[0]
    if rng.random() < 0.5:
        fit, mask = disturb(fit, rng), _redraw(mask, rng)
    cond = render_condition(motion, body, RenderConfig())
    camera = Camera(K=motion.K[0], w2c=motion.w2c[0])
    preview = PreviewGenerator(motion, Reference(image=frames[0], motion=fit, mask=mask, camera=camera), body)
    shown = preview.generate(np.arange(1, len(moments)), seed=0, state={}).frames
    shape = (windows, window, *frames.shape[1:])
    return Sample(
        frames=frames[1:].reshape(shape), cond=cond.frames[1:].reshape(shape),
        preview=np.rint(shown * 255).astype(np.uint8).reshape(shape), reference=frames[0],
        boxes=detail_boxes(cond)[1:].reshape(windows, window, len(DETAILS), 4),
    )  # fmt: skip


def draw_moments(rng: np.random.Generator, frames: int, window: int, windows: int) -> np.ndarray:
    """Draw the frame of the reference and then those of the windows (1 + windows · window,)."""
    while True:
        reference = int(rng.integers(frames))
        starts = np.arange(frames - window + 1)
        free = starts[(starts > reference + GAP) | (starts + window <= reference - GAP)]
        if len(free) >= windows:
            chosen = rng.choice(free, windows, replace=False)
            return np.concatenate([[reference], *(np.arange(start, start + window) for start in chosen)])


def one_frame(motion: Motion, index: int) -> Motion:
    """Return one frame of a motion as a motion."""
    per_frame = [field.name for field in fields(motion) if field.metadata.get("dims", ("",))[0] == "frame"]
    return replace(motion, **{name: getattr(motion, name)[index : index + 1] for name in per_frame})


def disturb(fit: Motion, rng: np.random.Generator) -> Motion:
    """Turn joints and root a little, as a tracker would have them."""
    return replace(
        fit,
        body_pose=fit.body_pose + rng.normal(0, POSE_NOISE, fit.body_pose.shape).astype(np.float32),
        global_orient=fit.global_orient + rng.normal(0, ROOT_NOISE, fit.global_orient.shape).astype(np.float32),
    )


def _redraw(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move a mask's outline in or out by a pixel or two, as a segmentation would have it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3) if rng.random() < 0.6 else (5, 5))
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return change(mask.astype(np.uint8), disc) > 0


def detail_boxes(cond: Cond) -> np.ndarray:
    """Return the boxes (T, DETAILS, 4) of face and hands, all 0 where none of their keypoints is drawn."""
    height, width = cond.frames.shape[1:3]
    boxes = np.zeros((len(cond.frames), len(DETAILS), 4), np.int16)
    for d, part in enumerate(DETAILS):
        points, drawn = cond.keypoints[:, keypoint_slice(part)], cond.keypoints_drawn[:, keypoint_slice(part)]
        for t in np.flatnonzero(drawn.any(1)):
            seen = points[t][drawn[t]]
            margin = 0.15 * np.ptp(seen, axis=0).max() + 1
            low, high = np.floor(seen.min(0) - margin), np.ceil(seen.max(0) + margin)
            boxes[t, d] = np.concatenate([low.clip(0, (width, height)), high.clip(0, (width, height))])
    return boxes


def film_people(
    folder: Path, config: TrainConfig, *, window: int, device: str, workers: int, progress: Callable[[int, int], None]
) -> list[Path]:
    """Write the samples of synthetic people that a folder does not hold yet, in parallel.

    Args:
        window: frames per window.
        progress: called with (people filmed, people).
    """
    paths = [folder / f"train-{number:05}.safetensors" for number in range(config.people)]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    call = partial(_film, folder=folder, config=config, window=window, device=device)
    for done, _ in enumerate(spread(call, missing, workers=workers), 1 + len(paths) - len(missing)):
        progress(done, len(paths))
    return paths


def _film(number: int, folder: Path, config: TrainConfig, window: int, device: str) -> None:
    dressed = config.assets and number % 3
    wardrobe, body = open_wardrobe(config.assets if dressed else "", device), load_body(device=device)
    setting = SynthConfig(frames=FRAMES, resolution=config.resolution, aspect="1:1")
    if config.photos and number % 4 == 1:
        setting = replace(setting, background=config.photos)
    sample = sample_of(Dice(config.seed, "train", number), setting, wardrobe, body, window=window, windows=WINDOWS)
    save_sample(folder / f"train-{number:05}.safetensors", sample)
