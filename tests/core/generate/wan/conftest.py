"""Generated checkpoints: a tiny Wan Animate with every kind of tensor, in every format that is published."""

import pytest
import torch
import wan_checkpoints

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="session")
def animate():
    return wan_checkpoints.tiny_animate()


@pytest.fixture(scope="session")
def i2v(animate):
    return wan_checkpoints.tiny_i2v(animate)


@pytest.fixture(scope="session")
def original_state():
    return wan_checkpoints.original_state


@pytest.fixture(scope="session")
def write():
    return wan_checkpoints.write_transformer


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
