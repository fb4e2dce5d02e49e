"""Training: the loss falls, a killed run continues bit by bit, and what it wrote animates."""

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.generate.animate import animate
from emosh_core.generate.diffusion import DiffusionGenerator, latest_checkpoint
from emosh_core.generate.generator import Reference
from emosh_core.settings import AnimateConfig
from emosh_core.training.train import train


@pytest.fixture(scope="module")
def straight(disc, tiny, tmp_path_factory):
    """Return the folder and result of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(*disc, tiny, folder)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    checkpoint = latest_checkpoint(folder)
    names = [f"{part}/diffusion_pytorch_model.safetensors" for part in ("transformer", "vae")]
    return {
        f"{name}:{key}": value.numpy()
        for name in [*names, "optimiser.safetensors"]
        for key, value in load_file(checkpoint / name).items()
    }


def test_the_loss_falls(straight, tiny):
    folder, result = straight
    assert len(result.losses) == tiny.steps
    # Same times, noise and windows before and after, so this is not luck of the draw.
    assert result.probe_after < 0.7 * result.probe_before
    vae = [line["loss"] for line in metrics(folder)[: tiny.vae_steps]]
    assert vae[-1] < vae[0]


def test_a_run_leaves_its_settings_and_one_line_per_step(straight, tiny):
    folder, result = straight
    assert [line["step"] for line in metrics(folder)] == list(range(26))
    assert json.loads((folder / "config.json").read_text())["steps"] == tiny.steps
    assert result.checkpoint == latest_checkpoint(folder)
    assert [path.name for path in sorted(folder.glob("checkpoints/*"))] == ["step_0000024", "step_0000026"]


def test_latents_are_normalised_by_the_trained_vae(straight):
    folder, _ = straight
    config = json.loads((latest_checkpoint(folder) / "vae" / "config.json").read_text())
    assert len(set(config["latents_mean"])) == 16
    assert all(0 < value != 1 for value in config["latents_std"])


def assert_equal_runs(folder, other):
    assert [line["loss"] for line in metrics(folder)] == [line["loss"] for line in metrics(other)]
    expected, got = weights(folder), weights(other)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[key], got[key]) for key in expected)


def test_a_killed_run_continues_bit_by_bit(straight, disc, tiny, tmp_path):
    script = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        import torch
        sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
        from conftest import TINY, make_disc
        from emosh_core.training.train import train
        torch.set_num_threads(1)
        def progress(done, total):
            if done == 15:
                os.kill(os.getpid(), signal.SIGKILL)
        train(*make_disc(), TINY, Path({str(tmp_path)!r}), progress=progress)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert len(metrics(tmp_path)) == 15
    train(*disc, tiny, tmp_path)
    assert_equal_runs(straight[0], tmp_path)


def test_a_run_interrupted_while_its_vae_trains_continues_bit_by_bit(straight, disc, tiny, tmp_path):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*disc, tiny, tmp_path, progress=stop)
    train(*disc, tiny, tmp_path)
    assert_equal_runs(straight[0], tmp_path)


def test_a_finished_run_can_be_given_more_steps(straight, disc, tiny, tmp_path):
    shorter = train(*disc, replace(tiny, steps=10), tmp_path)
    longer = train(*disc, tiny, tmp_path)
    _, whole = straight
    assert shorter.losses + longer.losses == whole.losses
    assert longer.probe_before == whole.probe_before
    assert longer.probe_after == whole.probe_after


def test_a_run_is_not_continued_with_other_settings_or_another_clip(straight, disc, tiny):
    folder, _ = straight
    with pytest.raises(ConfigError, match="another lr"):
        train(*disc, replace(tiny, lr=1e-5), folder)
    cond, frames = disc
    with pytest.raises(ConfigError, match="another data"):
        train(cond, frames[::-1], tiny, folder)


def test_a_clip_of_another_length_is_refused(disc, tiny, tmp_path):
    cond, frames = disc
    with pytest.raises(ArtifactError, match="differ in length"):
        train(cond, frames[:-1], tiny, tmp_path)


def test_velocity_prediction_trains_too(disc, tiny, tmp_path):
    result = train(*disc, replace(tiny, prediction="velocity"), tmp_path)
    assert result.probe_after < result.probe_before


def test_what_training_wrote_animates(straight, disc):
    folder, _ = straight
    cond, frames = disc
    config = AnimateConfig(steps=4)
    generator = DiffusionGenerator.from_run(folder, cond, Reference(image=frames[7], motion=None), config)
    made = []
    result = animate(generator, 30, config, write=made.append)
    assert generator.name.endswith("step_0000026")
    assert np.array(made).shape == frames.shape
    assert len(result.windows) == 7
    assert np.isfinite(result.latents).all()
