"""The previews in samples of a film, and what a run's data are called."""

import cv2
import numpy as np
import pytest
import torch

from emosh_core import training_line
from emosh_core.body.assets import load_body
from emosh_core.line import Line
from emosh_core.render.condition import render_condition
from emosh_core.settings import RenderConfig, SynthConfig
from emosh_core.synth.clip import Shooting, choose_scene
from emosh_core.synth.dice import Dice
from emosh_core.synth.make import open_wardrobe
from emosh_core.training.footage import write_samples
from emosh_core.training.samples import Samples
from emosh_core.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def panned():
    """A clip before a panning camera in a room: its truth, and its frames (T, 128, 128, 3)."""
    config = SynthConfig(frames=48, resolution=128, aspect="1:1", framing="half", camera="pan", background="room")
    wardrobe, body, frames = open_wardrobe("", "cpu"), load_body(), []
    dice = Dice(0, "train", 2)
    recording = Shooting(choose_scene(dice, config, wardrobe, body), 0, wardrobe, body).film(frames.append)
    return recording, torch.cat(frames).numpy()


def error_far_away(frames, drawn, cond) -> float:
    """Mean difference (0..255) away from the person and the picture's rims."""
    far = cv2.distanceTransform((cond.max((0, -1)) == 0).astype(np.uint8), cv2.DIST_L2, 3) > 25
    far[:, :20] = far[:, -20:] = False
    assert far.sum() > 300
    return float(np.abs(frames.astype(float) - drawn)[:, far].mean())


def test_the_previews_background_is_where_the_panning_camera_saw_it(panned, tmp_path):
    recording, frames = panned
    motion, body = recording.motion, load_body()
    cond = render_condition(motion, body, RenderConfig())
    masks = {frame.tobytes(): mask for frame, mask in zip(frames, recording.truth.mask, strict=True)}
    paths = write_samples(
        tmp_path, "clip", motion, cond, frames, body, side=128, window=5, stride=43, references=1, seed=0,
        person_mask=lambda picture: masks[picture.tobytes()],
    )  # fmt: skip
    samples, checked = Samples(paths), 0
    everything = (slice(0, 128),) * 2
    for sample in (samples[number] for number in range(len(samples))):
        for window in range(sample.windows):
            film, drawn, shown = (
                sample.read(what, window, slice(0, 5), everything) for what in ("frames", "preview", "cond")
            )
            still = error_far_away(film, sample.reference, shown)
            if still > 8:  # the camera has turned since
                checked += 1
                assert error_far_away(film, drawn, shown) < 0.5 * still
    assert checked


def test_samples_with_other_previews_are_other_data(tmp_path, monkeypatch):
    line = Line(Workspace.create(tmp_path / "ws"))
    before = training_line.data_of(line, [])
    monkeypatch.setattr(training_line, "PREVIEW_VERSION", "another")
    assert training_line.data_of(line, []) != before
