"""The full-size generator: conditioning as Wan-Animate has it, every option of the layout, solvers, memory, resume."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from wan_checkpoints import write_clip, write_vae

from emosh_core import models
from emosh_core.errors import ConfigError, DeviceError
from emosh_core.generate import memory, sampling
from emosh_core.generate.animate import animate
from emosh_core.generate.assemble import prepare, with_size
from emosh_core.generate.diffusion import DiffusionGenerator
from emosh_core.generate.flow_matching import shift_time
from emosh_core.generate.generator import Reference
from emosh_core.generate.layout import pin_positions
from emosh_core.generate.memory import needs
from emosh_core.generate.models import Spec
from emosh_core.generate.profiles import PROFILES, profile_of
from emosh_core.generate.wan.encoders import picture_encoder
from emosh_core.generate.wan.networks import WAN_SPEC, load_networks
from emosh_core.settings import AnimateConfig
from emosh_core.training import adapter

SMALL = {"resolution": 32, "window": 13, "precision": "fp32", "steps": 2}
IMAGE = np.random.default_rng(1).integers(0, 256, (30, 18, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def home(animate_model, write, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSH_HOME", str(folder / "home"))
        write(animate_model, "diffusers", folder / "checkpoint")
        write_vae(folder / "checkpoint" / "vae")
        write_clip(folder / "checkpoint" / "image_encoder")
        models.add("wan", folder / "checkpoint")
        yield folder


@pytest.fixture(scope="module")
def animate_model(request):
    return request.getfixturevalue("animate")


@pytest.fixture
def make(home, make_cond):
    """Make a generator; `spec` replaces fields of the spec that a LoRA would bring."""

    def make(frames=21, spec=None, **settings):
        config = AnimateConfig(**SMALL | settings)
        networks = load_networks(Reference(image=IMAGE, motion=None), config, [], "cpu", note=lambda line: None)
        networks = replace(networks, spec=replace(networks.spec, **spec or {}))
        if networks.spec.rope == "pinned":
            pin_positions(networks.transformer, 4)
        reference = Reference(image=IMAGE, motion=None)
        return DiffusionGenerator(networks, make_cond(frames), reference, config, name="wan"), config

    return make


@pytest.fixture
def seen(monkeypatch):
    """Record what the transformer is given: one entry per pass."""
    calls = []
    velocity = sampling.Networks.velocity

    def record(self, zt, t, channels, context=None):
        calls.append((zt, t, channels, context))
        return velocity(self, zt, t, channels, context)

    monkeypatch.setattr(sampling.Networks, "velocity", record)
    return calls


def two_chunks(generator):
    first = generator.generate(np.arange(13), seed=1, state={})
    return first, generator.generate(np.arange(8, 21), seed=2, state=first.state)


def test_a_later_chunk_is_conditioned_as_in_wan_animate(make, seen):
    generator, _ = make()
    networks = generator._networks
    first, second = two_chunks(generator)
    assert first.frames.shape == (13, 20, 14, 3) and second.latents.shape == (4, 16, 4, 4)
    (_, _, channels, _), (zt, _, later, _) = seen[0], seen[2]
    assert channels.shape == later.shape == (1, 37, 5, 4, 4)  # no aligned latent without a LoRA of ours
    mask, condition, motion, flag = later.split([4, 16, 16, 1], 1)
    assert mask[0, :, :, 0, 0].T.tolist() == [[1] * 4] * 3 + [[0] * 4] * 2
    assert flag[0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 1] and not motion[:, :, 0].any()
    tail = torch.from_numpy(first.state["tail"])[None]
    grey = torch.cat([tail, torch.zeros(1, 3, 8, 32, 32)], 2)
    torch.testing.assert_close(condition[:, :, 1:], networks.encode(grey))  # one pass over tail and grey
    torch.testing.assert_close(channels[:, 4:20, 1:], networks.grey_latents())
    # What is given begins as noise, follows its own path, and comes out exactly.
    noise = torch.randn(zt.shape, generator=torch.Generator().manual_seed(2))
    assert torch.equal(zt, noise)
    torch.testing.assert_close(torch.from_numpy(second.latents[:2]), networks.encode(tail)[0].movedim(0, 1))
    (middle, t, _, _) = seen[3]
    torch.testing.assert_close(middle[:, :, 0], torch.lerp(condition[:, :, 0], noise[:, :, 0], t), atol=1e-4, rtol=0)


def test_an_adapter_of_ours_brings_how_it_is_used(home, make_cond, tmp_path, seen):
    said = []
    reference, config = Reference(image=IMAGE, motion=None), AnimateConfig(**SMALL)
    transformer = load_networks(reference, config, [], "cpu", note=said.append).transformer
    assert len(said) == 1 and "skeletons" in said.pop()
    adapter.attach(transformer, rank=2, image_keys=True)
    spec = replace(WAN_SPEC, anchor="prev", window=17, shift=3.0, cond_fill="paste")
    adapter.export(tmp_path, transformer.state_dict(), transformer, spec=asdict(spec), rank=2)
    networks = load_networks(reference, config, [(tmp_path, 1.0)], "cpu", note=said.append)
    assert not said and networks.spec == replace(spec, resolution=32, window=13, precision="fp32")
    two_chunks(DiffusionGenerator(networks, make_cond(21), reference, config, name="wan"))
    assert [call[2].shape[2] for call in seen] == [5, 5, 6, 6]


@pytest.mark.parametrize(
    "spec",
    [{"cond_fill": "paste"}, {"cond_fill": "reference"}, {"given": "clean"}, {"given": "free"}, {"anchor": "prev"}],
    ids=lambda spec: "-".join(map(str, spec.items())),
)
def test_every_option_of_the_layout_has_an_effect(make, spec):
    usual, other = two_chunks(make()[0]), two_chunks(make(spec=spec)[0])
    assert not np.array_equal(usual[1].latents, other[1].latents)


def test_anchors_their_motion_and_their_position(make, seen):
    chunks = {}
    options = [{}, {"anchor": "prev-new"}, {"anchor": "first"}, {"aligned_motion": "own"}, {"rope": "pinned"}]
    for option in options:
        generator, _ = make(29, {"anchor": "prev"} | option)
        first, second = two_chunks(generator)
        third = generator.generate(np.arange(16, 29), seed=3, state=second.state)
        chunks[str(option)] = (first, second, third)
        assert seen[-1][2].shape[2] == 6
        sac = seen[-1][2][0, :, 1]
        assert sac[36].all() == ("aligned_motion" in option) and sac[20:36].any() == ("aligned_motion" in option)
    latents = [third.latents for _, _, third in chunks.values()]
    assert not any(np.array_equal(a, b) for i, a in enumerate(latents) for b in latents[:i])
    for (first, second, _), option in zip(chunks.values(), options):
        anchor = second.state["aligned_latent"][:, 0]
        assert np.array_equal(anchor, second.latents[0]) == (option.get("anchor") not in ("first", "prev-new"))
        assert np.array_equal(anchor, first.latents[0]) == (option.get("anchor") == "first")


def test_the_pinned_position_moves_the_aligned_latent_alone(make):
    rope = make(spec={"rope": "pinned"})[0]._networks.transformer.rope
    plain = make()[0]._networks.transformer.rope
    with_s, without = torch.zeros(1, 53, 6, 4, 4), torch.zeros(1, 53, 5, 4, 4)
    assert torch.equal(rope(without)[0], plain(without)[0])
    pinned, contiguous = (each(with_s)[0].unflatten(1, (6, -1)) for each in (rope, plain))
    assert torch.equal(pinned[:, [0, 2, 3, 4, 5]], contiguous[:, :5]) and torch.equal(pinned[:, 1], contiguous[:, 5])


def test_euler_with_sigmas_is_what_one_integrates_by_hand(make, seen):
    generator, _ = make(steps=0, sigmas=(1.0, 0.75, 0.5, 0.25), shift=5.0)
    chunk = generator.generate(np.arange(13), seed=4, state={})
    times = [call[1].item() for call in seen]
    np.testing.assert_allclose(times, [1, 0.9375, 5 / 6, 0.625], rtol=0, atol=1e-7)
    networks, channels = generator._networks, seen[0][2]
    zt = noise = torch.randn(1, 16, 5, 4, 4, generator=torch.Generator().manual_seed(4))
    for t, after in zip(times, [*times[1:], 0.0]):
        with torch.no_grad():
            v = networks.velocity(zt, torch.tensor([t]), channels)
        v[:, :, 0] = noise[:, :, 0] - channels[:, 4:20, 0]
        zt = zt + (after - t) * v
    torch.testing.assert_close(torch.from_numpy(chunk.latents), zt[0, :, 1:].movedim(0, 1), rtol=0, atol=1e-5)


def test_unipc_takes_twenty_steps_and_the_shift_goes_with_the_tokens(make, seen):
    generator, _ = make(steps=0)
    generator.generate(np.arange(13), seed=1, state={})
    assert len(seen) == 20
    networks = generator._networks
    assert networks.shift == pytest.approx(5 * (5 * 4 / 21_504) ** 0.5)
    assert seen[1][1].item() == pytest.approx(shift_time(torch.tensor(0.95), networks.shift).item(), abs=2e-3)
    assert replace(networks, spec=WAN_SPEC).shift == pytest.approx(5.0)  # 21 latent frames of 1024 tokens
    assert replace(networks, spec=replace(WAN_SPEC, resolution=256)).shift == pytest.approx(2.5)


def test_guidance_takes_a_second_pass_and_1_takes_none(make, seen):
    plain = make()[0].generate(np.arange(13), seed=1, state={})
    assert len(seen) == 2
    same = make(guidance=3.0)[0].generate(np.arange(13), seed=1, state={})
    assert len(seen) == 6 and seen[3][3] is not None
    np.testing.assert_allclose(same.latents, plain.latents, atol=1e-4)  # both prompts are empty
    generator, _ = make(guidance=3.0)
    wanted = {"encoder_hidden_states": torch.randn(1, 512, 24, generator=torch.Generator().manual_seed(0))}
    generator._networks = replace(generator._networks, context=generator._networks.context | wanted)
    assert not np.allclose(generator.generate(np.arange(13), seed=1, state={}).latents, plain.latents, atol=1e-3)


def test_picture_tokens_are_the_last_layer_but_one_of_the_reference(home):
    from transformers import CLIPVisionModel

    folder = home / "checkpoint" / "image_encoder"
    square = np.random.default_rng(2).integers(0, 256, (28, 28, 3)).astype(np.uint8)
    tokens = picture_encoder(folder, "cpu", width=32)(square[None])
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = torch.from_numpy((square / 255 - mean) / std).float().movedim(-1, 0)[None]
    with torch.no_grad():
        states = CLIPVisionModel.from_pretrained(folder)(pixels, output_hidden_states=True).hidden_states
    assert len(states) == 4
    torch.testing.assert_close(tokens, states[2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"cache": "first_block", "steps": 6}, {"precision": "fp8"}])
def test_an_interrupted_clip_continues_bit_by_bit(make, tmp_path, settings):
    straight, resumed, wanted, latents = [], [], [], []
    generator, config = make(21, {"anchor": "prev"}, **settings)
    animate(generator, 21, config, write=straight.append, write_latents=wanted.append)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate(generator, 21, config, write=lambda frame: None, scratch=tmp_path, progress=stop)
    again, _ = make(21, {"anchor": "prev"}, **settings)
    animate(again, 21, config, write=resumed.append, write_latents=latents.append, scratch=tmp_path)
    assert np.array_equal(straight, resumed)
    assert np.array_equal(np.concatenate(latents), np.concatenate(wanted))


def test_the_cache_skips_blocks_and_nothing_of_it_stays(make, monkeypatch):
    generator, _ = make(cache="first_block", steps=12)
    block, ran = generator._networks.transformer.blocks[-1], []
    monkeypatch.setattr(sampling, "FIRST_BLOCK_CHANGE", 10.0)  # everything is alike then
    handle = block.attn1.register_forward_hook(lambda *_: ran.append(1))
    generator.generate(np.arange(13), seed=1, state={})
    assert 0 < len(ran) < 12
    handle.remove()
    assert not generator._networks.transformer.is_cache_enabled


def test_running_out_of_memory_names_the_memory_and_the_profile_that_fits(make, monkeypatch):
    generator, _ = make()
    transformer, spec = generator._networks.transformer, generator._networks.spec

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(transformer, "forward", full)
    low = needs(transformer, spec, PROFILES["lowvram"])
    monkeypatch.setattr(memory, "available", lambda device: int(low.total) + 1)
    with pytest.raises(DeviceError, match="memory is too small") as caught:
        generator.generate(np.arange(13), seed=1, state={})
    assert "on cpu; this needs about" in caught.value.found and "--profile lowvram" in caught.value.fix
    monkeypatch.setattr(memory, "available", lambda device: 1)
    with pytest.raises(DeviceError) as caught:
        generator.generate(np.arange(13), seed=1, state={})
    assert "window=33" in caught.value.fix
    monkeypatch.setattr(transformer, "forward", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generator.generate(np.arange(13), seed=1, state={})


def test_a_profile_is_applied_in_the_order_that_diffusers_wants():
    class Stub:
        """Records what is asked of a transformer."""

        def __init__(self, weights):
            self.patch_embedding = torch.nn.Conv3d(1, 1, 1, dtype=torch.bfloat16)
            self.asked, self.parameters = [], lambda: [torch.empty(weights, device="meta")]

        def __getattr__(self, name):
            return lambda *args, **options: self.asked.append((name, *args, options))

    def asked(device, weights=14 * 10**9, **changes):
        stub = Stub(weights)
        prepare(stub, WAN_SPEC, replace(PROFILES["quality"], **changes), device)
        return [(call[0], call[-1]) for call in stub.asked]

    low = asked("cuda:0", precision="fp8", offload="blocks", compile="off")
    assert [name for name, _ in low] == ["enable_layerwise_casting", "enable_group_offload"]
    assert low[0][1] == {"storage_dtype": torch.float8_e4m3fn, "compute_dtype": torch.bfloat16}
    assert low[1][1]["onload_device"] == torch.device("cuda:0") and low[1][1]["offload_type"] == "block_level"
    assert [name for name, _ in asked("cpu", offload="blocks")] == ["to"]
    assert asked("cuda:0", compile="auto")[1:] == [("compile_repeated_blocks", {"fullgraph": True})]
    assert asked("cuda:0", compile="auto", cache="first_block")[1][1] == {"fullgraph": False}
    assert len(asked("cuda:0", weights=10**7, compile="auto")) == 1  # a small one is done before it is compiled
    assert asked("cpu", compile="on")[1][0] == "compile_repeated_blocks" and len(asked("cpu", compile="auto")) == 1


def test_the_memory_of_the_published_size_is_near_what_is_known():
    import diffusers

    with torch.device("meta"):
        model = diffusers.WanTransformer3DModel(image_dim=1280, added_kv_proj_dim=5120, in_channels=53)
    gigabytes = {name: needs(model, WAN_SPEC, profile).total / 1e9 for name, profile in PROFILES.items()}
    assert 35 < gigabytes["quality"] == gigabytes["fast"] < 44
    assert 4 < gigabytes["lowvram"] < 10


def test_profiles_are_plain_tables_that_settings_override():
    assert profile_of(AnimateConfig()) == PROFILES["quality"]
    fast = profile_of(AnimateConfig(profile="fast"))
    assert (fast.solver, fast.steps, fast.shift) == ("euler", 4, 5.0)
    assert profile_of(AnimateConfig(profile="fast", steps=8)).sigmas == ()
    assert profile_of(AnimateConfig(profile="fast", solver="unipc")).sigmas == ()
    assert profile_of(AnimateConfig(profile="lowvram", precision="bf16", offload="none")).precision == "bf16"
    with pytest.raises(ConfigError, match="Euler's method"):
        profile_of(AnimateConfig(sigmas=(1.0, 0.5), steps=3))
    assert with_size(WAN_SPEC, AnimateConfig(window=33, resolution=256)).window == 33
    with pytest.raises(ConfigError, match="longer than its overlap"):
        with_size(Spec(resolution=32, window=17, overlap=9, prediction="z0"), AnimateConfig(window=9))
