"""The plan before an animation: sizes that fit, and costs that are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from emosh_core.errors import ConfigError
from emosh_core.generate import plan as plan_module
from emosh_core.generate import speed as speed_module
from emosh_core.generate.cost import transformer_operations, vae_operations, workloads
from emosh_core.generate.generator import Workload
from emosh_core.generate.models import wan_classes
from emosh_core.generate.plan import check_window, fit_window, plan_animation
from emosh_core.generate.profiles import Profile
from emosh_core.generate.speed import Speed, speed_of
from emosh_core.settings import AnimateConfig

WAN = {"width": 5120, "ffn": 13824, "layers": 40, "context": 769}
GB = 10**9


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSH_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("tokens", "tera"), [(21_504, 910), (22_528, 972), (24_576, 1_101), (75_600, 6_540)])
def test_operations_of_the_full_size_transformer(tokens, tera):
    assert transformer_operations(tokens, **WAN) == pytest.approx(tera * 1e12, rel=0.01)


def test_operations_of_the_full_size_vae():
    kind, _ = wan_classes()
    with torch.device("meta"):
        vae = kind()
    encode, decode = vae_operations(vae, 512, 77)
    assert encode == pytest.approx(101.9e12, rel=0.01) and decode == pytest.approx(171.6e12, rel=0.01)
    assert vae_operations(vae, 512, 1)[0] == pytest.approx(1.8e12, rel=0.03)


def test_the_workload_of_a_chunk_is_that_of_its_layout(networks):
    work = workloads(networks, Profile(steps=4))
    first, later = work(9, False), work(9, True)
    assert first.tokens == 4 * (1 + 3) and later.tokens == 4 * (2 + 3)  # 2 × 2 tokens of a latent frame of 4 × 4
    assert later.transformer > first.transformer and later.vae > first.vae
    assert work(9, True).transformer == 2 * workloads(networks, Profile(steps=2))(9, True).transformer
    assert work(41, True).memory > later.memory > sum(p.nbytes for p in networks.transformer.parameters())


@pytest.mark.parametrize(
    ("count", "made_for", "window"),
    [(1, 77, 33), (33, 77, 33), (34, 77, 37), (76, 77, 77), (78, 77, 45), (149, 77, 77), (200, 77, 73), (9000, 77, 77),
     (1, 17, 9), (6, 17, 9), (17, 17, 17), (18, 17, 13), (300, 17, 17)],
)  # fmt: skip
def test_no_more_chunks_than_needed_and_those_no_longer(count, made_for, window):
    assert fit_window(count, made_for, 5, lambda size: True) == window


def test_a_small_device_gets_shorter_chunks():
    assert fit_window(1000, 77, 5, lambda size: size <= 50) == 49
    assert fit_window(1000, 77, 5, lambda size: False) == 33
    assert fit_window(100, 5, 1, lambda size: False) == 5


@pytest.mark.parametrize(("window", "near"), [(16, "17f"), (5, "9f"), (1, "9f"), (78, "77f")])
def test_what_networks_cannot_make_is_refused(window, near):
    with pytest.raises(ConfigError, match="4k \\+ 1") as caught:
        check_window(window, 5)
    assert caught.value.fix == f"--chunks {near}"
    check_window(int(near[:-1]), 5)


def generator(work=None, window=77, overlap=5):
    return SimpleNamespace(name="some", window=window, overlap=overlap, workload=work)


def work(window, later):
    return Workload(tokens=window + later, transformer=8e12, vae=2e12, memory=window * GB, half=False)


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(plan_module, "speed_of", lambda device, dtype: Speed(matmul=1e13, conv=1e12))
    monkeypatch.setattr(plan_module, "device_memory", lambda device: 60 * GB)


def test_the_plan_says_what_will_be_made_and_what_it_costs(device):
    plan = plan_animation(generator(work), 200, AnimateConfig(), "cpu")
    assert (plan.window, plan.chunks, plan.frames) == (45, 5, 200)  # 54 GB are usable: 53 frames, five chunks
    assert plan.seconds == pytest.approx(5 * (0.8 / plan_module.ATTAINED["cpu"] + 2)) and plan.memory == 45 * GB
    text = str(plan)
    for part in ("5 chunks of 45 frames, overlap 5, for 200 frames", "46 tokens", "about 15 s", "45 GB (of 60 GB)"):
        assert part in text
    part = plan_animation(generator(work), 200, AnimateConfig(chunks=2), "cpu")
    assert (part.window, part.chunks, part.frames) == (45, 2, 85)
    assert plan_animation(generator(work), 200, AnimateConfig(window=77), "cpu").window == 77  # asked for, and said


def test_a_plan_without_networks_has_any_window_and_no_costs():
    plan = plan_animation(generator(window=16, overlap=0), 30, AnimateConfig(), "cpu")
    assert str(plan) == "plan: 2 chunks of 16 frames, overlap 0, for 30 frames; no networks"
    assert plan_animation(generator(window=16, overlap=0), 30, AnimateConfig(window=30), "cpu").chunks == 1


def test_the_speed_is_measured_once_per_device_and_survives_a_damaged_file(home, monkeypatch):
    calls = []
    monkeypatch.setattr(speed_module, "measure", lambda *given: calls.append(given) or Speed(matmul=2.0, conv=1.0))
    assert [speed_of("cpu"), speed_of("cpu")] == [Speed(matmul=2.0, conv=1.0)] * 2 and len(calls) == 1
    speed_of("cpu", torch.bfloat16)
    assert len(calls) == 2
    for file in (home / "cache").iterdir():
        file.write_text("{")
    assert speed_of("cpu").matmul == 2.0 and len(calls) == 3
    monkeypatch.setenv("EMOSH_HOME", "/proc/nowhere")
    assert speed_of("cpu").conv == 1.0


def test_the_predicted_time_is_near_the_measured_one(networks, home):
    import time

    from emosh_core.generate.models import Spec, build

    net = build(Spec(resolution=128, window=9, overlap=5, prediction="velocity"), heads=6, head_width=64, layers=4,
                vae_width=32, seed=0)  # fmt: skip
    c, f, h, _ = net.latent_shape()
    inputs = torch.zeros(1, 2 * c + 5, f + 1, h, h)
    one = workloads(net, Profile(steps=1))(9, False)
    predicted = plan_module.seconds(one, speed_of("cpu"), "cpu")
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        with torch.no_grad():
            net.velocity(torch.zeros(1, c, f + 1, h, h), torch.zeros(1), inputs)
            latents = net.encode(torch.zeros(1, 3, 9, 128, 128))
            net.grey_latents()
            net.decode(latents)
        times.append(time.perf_counter() - begun)
    assert 1 / 3 < predicted / min(times) < 3, (predicted, times)
    assert json.loads(next((home / "cache").iterdir()).read_text())["matmul"] > 1e9


def test_pictures_on_disk_are_read_once_and_in_any_order():
    from emosh_core.generate.pixels import rows

    class OnDisk:
        def __init__(self):
            self.pictures, self.reads = np.arange(20).reshape(20, 1, 1, 1).repeat(3, 3), []

        def __getitem__(self, key):
            self.reads.append(key)
            return self.pictures[key]

    disk = OnDisk()
    assert rows(disk, np.array([5, 6, 7, 6, 5]))[:, 0, 0, 0].tolist() == [5, 6, 7, 6, 5]
    assert disk.reads == [slice(5, 8)]
