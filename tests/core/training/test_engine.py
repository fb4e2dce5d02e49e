"""The engine in one process: its laws, and that it continues bit by bit."""

import itertools
import json
import signal
import subprocess
import sys

import engine_worker
import pytest
import torch
from engine_worker import descend, layers
from torch import nn

from emosh_core.errors import ArtifactError, ConfigError, MissingDependencyError
from emosh_core.training import engine as engine_module
from emosh_core.training.descent import Recipe, ema_decay, learning_rate
from emosh_core.training.engine import PlainEngine, Ranks, make_engine

RECIPE = {"lr": 1e-2, "steps": 8, "warmup": 2}


def started(**changes):
    module, loss_at = layers()
    return make_engine(module, Recipe(**RECIPE | changes)), loss_at


def equal(got, want):
    return got.keys() == want.keys() and all(torch.equal(got[key], want[key]) for key in want)


def test_the_learning_rate_rises_linearly_then_falls_as_a_cosine_to_two_percent():
    recipe = Recipe(lr=0.5, steps=110, warmup=10)
    rates = [learning_rate(recipe, step) for step in range(115)]
    assert rates[:10] == pytest.approx([0.05 * i for i in range(1, 11)])
    assert max(rates) == rates[9] == 0.5
    assert rates[59] == pytest.approx(0.5 * 0.51)  # half way between 1 and 0.02
    assert rates[109:] == pytest.approx([0.01] * 6)
    assert all(a > b for a, b in itertools.pairwise(rates[9:110]))
    assert [learning_rate(Recipe(lr=1.0, steps=2, warmup=0), step) for step in (0, 1)] == pytest.approx([0.51, 0.02])
    assert learning_rate(Recipe(lr=1.0, steps=5, warmup=10), 4) == 0.5  # a phase shorter than its warm-up


def test_the_average_follows_quickly_at_first():
    recipe = Recipe(lr=1.0, steps=1, ema=0.99)
    assert [ema_decay(recipe, step) for step in (0, 8)] == [0.1, 0.5]
    assert ema_decay(recipe, 889) == pytest.approx(890 / 899) and ema_decay(recipe, 891) == 0.99


def test_a_step_is_adamw_on_the_mean_clipped_and_averaged():
    engine, loss_at = started(accumulate=2, clip=0.5, ema=0.3)
    module, other_loss_at = layers()
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.95), weight_decay=0.01)
    average = [p.detach().clone() for p in parameters]
    for step in range(4):
        optimiser.param_groups[0]["lr"] = learning_rate(engine.recipe, step)
        optimiser.zero_grad()
        loss = (other_loss_at(step, 0)() + other_loss_at(step, 1)()) / 2
        loss.backward()
        assert nn.utils.clip_grad_norm_(parameters, 0.5) > 0.5, "nothing was clipped"
        optimiser.step()
        decay = min(0.3, (step + 1) / (step + 10))
        average = [decay * a + (1 - decay) * p.detach() for a, p in zip(average, parameters)]
        assert descend(engine, loss_at, step + 1)[0] == pytest.approx(loss.item(), rel=1e-6)
    for got, want in zip(engine.trained.values(), parameters):
        assert torch.allclose(got, want, atol=1e-6)
    for got, want in zip(engine.trained, average):
        assert torch.allclose(engine.ema_weights()[got], want, atol=1e-6)


def test_two_micro_batches_are_one_of_twice_the_size():
    (twice, loss_at), (once, other_loss_at) = started(accumulate=2), started()
    for step in range(5):
        mean = once.step([lambda s=step: (other_loss_at(s, 0)() + other_loss_at(s, 1)()) / 2])
        assert descend(twice, loss_at, step + 1)[0] == pytest.approx(mean, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(twice.weights().values(), once.weights().values()))


def test_frozen_parameters_stay_bit_equal_and_are_not_saved(tmp_path):
    engine, loss_at = started()
    before = engine.weights()
    descend(engine, loss_at, 3)
    engine.save(tmp_path)
    for name, now in engine.weights().items():
        assert torch.equal(now, before[name]) == name.startswith("2."), name
    assert equal({k: v for k, v in engine.ema_weights().items() if k.startswith("2.")}, {
        k: v for k, v in before.items() if k.startswith("2.")
    })  # fmt: skip
    with engine_module.safe_open(tmp_path / "engine_00001.safetensors", "pt") as file:
        assert not [key for key in file.keys() if "/2." in key] and "ema/0.weight" in file.keys()


def test_what_was_returned_does_not_change_with_the_next_step():
    engine, loss_at = started()
    weights, average = engine.weights(), engine.ema_weights()
    assert equal(weights, average)  # before the first step
    copies = {key: value.clone() for key, value in weights.items()}
    descend(engine, loss_at, 1)
    assert equal(weights, copies) and equal(average, copies) and not equal(engine.weights(), copies)


@pytest.mark.parametrize("file_bytes", [2**31, 100], ids=["one file", "many files"])
def test_a_restored_engine_continues_bit_by_bit(tmp_path, monkeypatch, file_bytes):
    monkeypatch.setattr(engine_module, "FILE_BYTES", file_bytes)
    engine, loss_at = started(accumulate=2)
    descend(engine, loss_at, 3)
    engine.save(tmp_path)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (file_bytes == 100)
    want = descend(engine, loss_at, 8)
    other, loss_at = started(accumulate=2)
    other.restore(tmp_path)
    assert other.steps == 3 and descend(other, loss_at, 8) == want
    assert equal(other.weights(), engine.weights()) and equal(other.ema_weights(), engine.ema_weights())


@pytest.mark.e2e
def test_a_killed_process_continues_bit_by_bit(tmp_path):
    command = [sys.executable, engine_worker.__file__, tmp_path, "layers", "8", json.dumps(RECIPE), "5"]
    assert subprocess.run(list(map(str, command)), timeout=60).returncode == -signal.SIGKILL
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step_002", "step_004"]
    straight, loss_at = started()
    want = descend(straight, loss_at, 8)
    other, loss_at = started()
    other.restore(tmp_path / "step_004")
    assert descend(other, loss_at, 8) == want[4:]
    assert equal(other.weights(), straight.weights()) and equal(other.ema_weights(), straight.ema_weights())


def test_a_parameter_that_a_loss_leaves_out_decays_all_the_same():
    module = nn.ModuleDict({"used": nn.Linear(2, 1), "idle": nn.Linear(2, 1)})
    engine = make_engine(module, Recipe(lr=0.1, steps=1, warmup=0))
    before = engine.weights()
    engine.step([lambda: module["used"](torch.ones(1, 2)).square().sum()])
    assert torch.allclose(engine.weights()["idle.weight"], before["idle.weight"] * (1 - 0.1 * 0.02 * 0.01), rtol=1e-6)


def test_bf16_computes_roughly_and_keeps_exactly():
    (rough, loss_at), (fine, other_loss_at) = started(precision="bf16"), started()
    losses, others = descend(rough, loss_at, 8), descend(fine, other_loss_at, 8)
    assert losses != others and losses == pytest.approx(others, rel=0.02)
    assert {value.dtype for value in [*rough.weights().values(), *rough.ema_weights().values()]} == {torch.float32}


def test_a_gradient_that_is_not_finite_changes_nothing():
    engine, loss_at = started()
    descend(engine, loss_at, 1)
    weights, average = engine.weights(), engine.ema_weights()
    with pytest.raises(ConfigError, match="diverged") as error:
        engine.step([lambda: loss_at(1, 0)() * float("nan")])
    assert "loss nan at step 1" in str(error.value)
    assert equal(engine.weights(), weights) and equal(engine.ema_weights(), average) and engine.steps == 1
    assert descend(engine, loss_at, 2)[0] > 0  # nothing of it is left in the gradient


def test_micro_batches_are_as_many_as_the_recipe_says():
    engine, loss_at = started(accumulate=2)
    with pytest.raises(ValueError, match="1 micro-batches"):
        engine.step([loss_at(0, 0)])


def test_gradient_checkpointing_is_asked_of_networks_that_know_it():
    class Knows(nn.Linear):
        _supports_gradient_checkpointing = True
        asked = False

        def enable_gradient_checkpointing(self):
            self.asked = True

    for asked in (True, False):
        module = Knows(1, 1)
        make_engine(module, Recipe(lr=1.0, steps=1, gradient_checkpointing=asked))
        assert module.asked == asked
    make_engine(nn.Linear(1, 1), Recipe(lr=1.0, steps=1, gradient_checkpointing=True))


def test_a_save_of_another_network_is_refused(tmp_path):
    make_engine(nn.Linear(2, 3), Recipe(**RECIPE)).save(tmp_path)
    with pytest.raises(ArtifactError, match="another network") as error:
        make_engine(nn.Linear(2, 4), Recipe(**RECIPE)).restore(tmp_path)
    assert "8 tensors differ, the first ema/bias: torch.Size([3]), not torch.Size([4])" in str(error.value)


@pytest.mark.parametrize("damage", ["engine.json", "engine_00001.safetensors"])
def test_a_damaged_save_is_refused(tmp_path, damage):
    make_engine(nn.Linear(2, 3), Recipe(**RECIPE)).save(tmp_path)
    (tmp_path / damage).write_bytes(b"{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        make_engine(nn.Linear(2, 3), Recipe(**RECIPE)).restore(tmp_path)
    (tmp_path / damage).unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        make_engine(nn.Linear(2, 3), Recipe(**RECIPE)).restore(tmp_path)


def test_several_ranks_need_zero():
    with pytest.raises(ConfigError, match="need ZeRO"):
        PlainEngine(nn.Linear(1, 1), Recipe(**RECIPE), Ranks(0, 2, torch.device("cpu")))


def test_zero_without_deepspeed_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    for name, value in {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MissingDependencyError) as error:
        started(zero=2)
    assert 'pip install "emosh[train]"' in error.value.fix
