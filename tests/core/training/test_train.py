"""Training: the loss falls, a killed run continues bit by bit, and what it wrote animates."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from emosh_core.errors import ConfigError
from emosh_core.generate.diffusion import latest_checkpoint
from emosh_core.generate.models import load
from emosh_core.image_io import read_image
from emosh_core.training.pictures import make_again
from emosh_core.training.train import train


@pytest.fixture(scope="module")
def straight(discs, tiny, tmp_path_factory):
    """Return the folder and result of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(discs, tiny, folder, data="discs")


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    checkpoint = latest_checkpoint(folder)
    return {
        f"{path.relative_to(checkpoint)}:{key}": value.numpy()
        for path in sorted(checkpoint.rglob("*.safetensors"))
        for key, value in load_file(path).items()
    }


def test_the_loss_falls(straight, tiny):
    folder, result = straight
    assert len(result.losses) == result.step == result.total == tiny.vae_steps + tiny.steps
    # Same times, noise and windows before and after, so this is not luck of the draw.
    assert result.probe_after < 0.9 * result.probe_before
    vae = [line["loss"] for line in metrics(folder) if line["phase"] == "vae"]
    assert len(vae) == tiny.vae_steps and vae[-1] < vae[0]


def test_a_run_leaves_its_settings_and_one_line_per_step(straight, tiny):
    folder, result = straight
    assert [line["step"] for line in metrics(folder)] == list(range(26))
    assert json.loads((folder / "config.json").read_text())["steps"] == tiny.steps
    assert result.checkpoint == latest_checkpoint(folder)
    assert [path.name for path in sorted(folder.glob("checkpoints/*"))] == ["step_0000024", "step_0000026"]
    lines = metrics(folder)
    assert lines[6]["lr"] == pytest.approx(tiny.lr / 3) and lines[-1]["lr"] == pytest.approx(0.02 * tiny.lr)


def test_tensorboard_gets_the_same_numbers(straight):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, _ = straight
    board = event_accumulator.EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    shown = [event.value for event in board.Scalars("transformer/loss")]
    assert shown == pytest.approx([line["loss"] for line in metrics(folder) if line["phase"] == "transformer"])


def test_latents_are_normalised_by_the_trained_vae(straight, discs):
    folder, _ = straight
    config = json.loads((latest_checkpoint(folder) / "vae" / "config.json").read_text())
    assert len(set(config["latents_mean"])) == 16
    assert all(0 < value != 1 for value in config["latents_std"])


def assert_equal_runs(folder, other):
    assert [line["loss"] for line in metrics(folder)] == [line["loss"] for line in metrics(other)]
    expected, got = weights(folder), weights(other)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[key], got[key]) for key in expected)


def test_a_killed_run_continues_bit_by_bit(straight, discs, tiny, tmp_path):
    script = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        import torch
        sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
        from conftest import TINY
        from emosh_core.training.samples import Samples
        from emosh_core.training.train import train
        torch.set_num_threads(1)
        def progress(done, total, how):
            if done == 15 and "loss" in how:
                os.kill(os.getpid(), signal.SIGKILL)
        samples = Samples([Path(name) for name in {[str(path) for path in discs.paths]!r}])
        train(samples, TINY, Path({str(tmp_path)!r}), data="discs", progress=progress)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert len(metrics(tmp_path)) == 15
    train(discs, tiny, tmp_path, data="discs")
    assert_equal_runs(straight[0], tmp_path)


@pytest.mark.parametrize("at", [3, 6, 18], ids=["in the VAE", "between the phases", "in the transformer"])
def test_an_interrupted_run_continues_bit_by_bit(straight, discs, tiny, tmp_path, at):
    def stop(done, total, how):
        if done == at and "loss" in how:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(discs, tiny, tmp_path, data="discs", progress=stop)
    train(discs, tiny, tmp_path, data="discs")
    assert_equal_runs(straight[0], tmp_path)


def test_a_run_that_time_cuts_into_slices_is_the_same_run(straight, discs, tiny, tmp_path):
    results = [train(discs, tiny, tmp_path, data="discs", until=time.monotonic() + 0.5)]
    while results[-1].step < results[-1].total:
        results.append(train(discs, tiny, tmp_path, data="discs", until=time.monotonic() + 0.5))
        assert len(results) < 40
    assert len(results) > 1
    assert_equal_runs(straight[0], tmp_path)


def test_a_finished_run_is_left_alone(straight, discs, tiny):
    folder, result = straight
    again = train(discs, tiny, folder, data="discs")
    assert again.losses == [] and again.checkpoint == result.checkpoint
    assert (again.probe_before, again.probe_after) == (result.probe_before, result.probe_after)


def test_a_run_is_not_continued_with_other_settings_or_other_samples(straight, discs, tiny):
    folder, _ = straight
    with pytest.raises(ConfigError, match="another lr"):
        train(discs, replace(tiny, lr=1e-5), folder, data="discs")
    with pytest.raises(ConfigError, match="another data"):
        train(discs, tiny, folder, data="others")


@pytest.mark.parametrize("prediction", ["velocity", "z0"])
def test_other_predictions_and_fills_train_too(discs, tiny, tmp_path, prediction):
    fill = {"velocity": "paste", "z0": "reference"}[prediction]
    config = replace(tiny, prediction=prediction, cond_fill=fill, detail=False, vae_steps=2)
    result = train(discs, config, tmp_path, data="discs")
    assert result.probe_after < result.probe_before
    assert load(result.checkpoint).spec.cond_fill == fill


def test_half_precision_trains_too(straight, discs, tiny, tmp_path):
    result = train(discs, replace(tiny, precision="bf16", steps=12), tmp_path, data="discs")
    assert result.probe_after < result.probe_before
    assert result.losses[:3] == pytest.approx(straight[1].losses[:3], rel=0.05)


def test_a_trained_generator_is_trained_on_without_touching_its_vae(straight, discs, tiny, tmp_path):
    base = load(straight[1].checkpoint)
    result = train(discs, replace(tiny, base="runs/first", steps=6), tmp_path, data="discs", base=base)
    assert result.total == result.step == 6
    assert result.probe_before == pytest.approx(straight[1].probe_after, rel=1e-5)
    before, after = (load_file(path / "vae" / "diffusion_pytorch_model.safetensors") for path in
                     (straight[1].checkpoint, result.checkpoint))  # fmt: skip
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_an_adapter_trains_and_its_checkpoint_is_a_whole_generator(straight, discs, tiny, tmp_path):
    base = load(straight[1].checkpoint)
    config = replace(tiny, base="runs/first", method="lora", rank=4, steps=12)
    result = train(discs, config, tmp_path, data="discs", base=base)
    assert result.probe_after < result.probe_before
    assert load(result.checkpoint).spec == base.spec
    names = {path.name for path in (result.checkpoint / "lora").iterdir()}
    assert {"adapter_config.json", "pytorch_lora_weights.safetensors", "motion_embedding.safetensors"} <= names


def test_an_interrupted_adapter_continues_bit_by_bit(straight, discs, tiny, tmp_path):
    config = replace(tiny, base="runs/first", method="lora", rank=4, steps=8)
    whole = train(discs, config, tmp_path / "whole", data="discs", base=load(straight[1].checkpoint))

    def stop(done, total, how):
        if done == 6 and "loss" in how:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(discs, config, tmp_path / "cut", data="discs", base=load(straight[1].checkpoint), progress=stop)
    train(discs, config, tmp_path / "cut", data="discs", base=load(straight[1].checkpoint))
    assert whole.step == 8
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_a_sheet_is_drawn_at_each_checkpoint(discs, tiny, tmp_path):
    train(discs, replace(tiny, pictures=True, steps=4, vae_steps=2), tmp_path, data="discs")
    sheets = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert sheets == ["step_0000004.png", "step_0000006.png"]
    sheet = read_image(tmp_path / "pictures" / sheets[0])
    assert sheet.shape == (4 * 32, 5 * 32, 3) and sheet[:, 32:].std() > 10


def test_what_training_wrote_makes_the_window_again(straight, discs):
    networks = load(straight[1].checkpoint)
    everything = (slice(0, 32), slice(0, 32))
    pictures = {name: discs[0].read(name, 0, slice(0, 9), everything) for name in ("cond", "preview")}
    made = make_again(networks, pictures, discs[0].reference)
    assert made.shape == (9, 32, 32, 3) and made.dtype == np.uint8
