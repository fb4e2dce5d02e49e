"""Generated checkpoints: a tiny Wan Animate with every kind of tensor, in every format that is published."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from wan_checkpoints import FACE_SIZES, SIZES, write_shards

from emosh_core.generate.wan.keys import FACE, to_original

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="session")
def animate():
    """Return a tiny Wan Animate whose face is silent: what its adapter gives is 0."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = diffusers.WanAnimateTransformer3DModel(**SIZES, **FACE_SIZES, in_channels=36).eval()
        for name, value in model.named_parameters():  # norms and biases too: a fresh one hides what is mixed up
            torch.nn.init.normal_(value, std=0.1) if value.ndim > 1 else torch.nn.init.uniform_(value, 0.5, 1.5)
            if name.startswith("face_adapter.") and ".to_out." in name:
                torch.nn.init.zeros_(value)
        torch.nn.init.normal_(model.proj_out.weight, std=0.02)  # what comes out is about 1 then
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def i2v(animate):
    """Return a tiny Wan I2V: the same without pose and face."""
    model = diffusers.WanTransformer3DModel(**SIZES, in_channels=36).eval()
    model.load_state_dict({n: v for n, v in animate.state_dict().items() if not n.startswith(("pose_", *FACE))})
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def original_state():
    """Turn diffusers' state into what the authors' code would have written."""

    def turn(state: dict) -> dict:
        turned = {}
        for name, value in state.items():
            value = value[None, :, None, None] if name.endswith(".act_fn.bias") else value
            new = to_original(name)  # the adapter's keys come before its values
            turned[new] = torch.cat([turned[new], value]) if new in turned else value.clone()
        return turned

    return turn


@pytest.fixture(scope="session")
def write(original_state):
    """Write a model as `original`, `diffusers` or `file`."""

    def write(model, style: str, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
        state = {name: value.to(dtype) for name, value in model.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        if style == "diffusers":
            model.save_pretrained(folder / "transformer", max_shard_size="2MB")
            return folder
        state = original_state(state)
        if style == "file":
            path = folder / "wan.safetensors"
            save_file({f"model.diffusion_model.{name}": value for name, value in state.items()}, path)
            return path
        write_shards(state, folder, 3)
        config = {"_class_name": "WanModel", "dim": 256, "num_heads": 2, "num_layers": 4, "ffn_dim": 64,
                  "freq_dim": 16, "out_dim": 16, "in_dim": 36, "text_len": 512, "eps": 1e-6}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


@pytest.fixture(scope="session")
def inputs():
    """Return what both transformers take, and pose latents of the frames behind the reference."""
    generator = torch.Generator().manual_seed(4)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    common = {
        "timestep": torch.tensor([400]), "encoder_hidden_states": draw(1, 512, 24),
        "encoder_hidden_states_image": draw(1, 257, 32), "return_dict": False,
    }  # fmt: skip
    return draw(1, 36, 4, 4, 4), draw(1, 16, 3, 4, 4), common


@pytest.fixture(scope="session")
def with_motion(inputs):
    """Run a loaded transformer on those inputs."""
    hidden, pose, common = inputs
    motion = torch.zeros(1, 17, 4, 4, 4)
    motion[:, :16, 1:] = pose
    motion[:, 16, 1:] = 1

    def run(model, motion=motion):
        with torch.no_grad():
            return model(torch.cat([hidden, motion], 1), **common)[0]

    return run
