"""Animate as the line does it: load a generator, run the chunk loop, encode the video."""

import hashlib
from pathlib import Path

from emosh_core.artifacts import Clip, Cond, Motion, Target
from emosh_core.generate.animate import animate
from emosh_core.generate.chunks import plan_chunks
from emosh_core.generate.generator import Generator, Reference
from emosh_core.generate.names import MINI, PREVIEW, WAN, find_lora, made_by, mini_folder, parse_lora
from emosh_core.image_io import read_image
from emosh_core.making import Making
from emosh_core.segmentation import person_mask
from emosh_core.settings import AnimateConfig
from emosh_core.video_io import VideoWriter


def make_clip(
    target: Target, cond: Cond, reference: Motion, image: Path, config: AnimateConfig, *, making: Making, root: Path
) -> Clip:
    """Make the video of a target and describe it.

    Args:
        target: T frames of motion on the reference's shape.
        cond: their condition pictures.
        reference: the still's fit, one frame.
        image: the still.
        config: generator and sampling.
        making: where scratch and media go, device and progress.
        root: the workspace.
    """
    picture = read_image(image)
    still = Reference(image=picture, motion=reference, mask=person_mask(picture))
    generator = _generator(target, cond, still, config, making, root)
    count = _frame_count(len(target.time), generator, config.chunks)
    path, times = making.media("clip"), target.time[:count]
    height, width = cond.frames.shape[1:3]
    with VideoWriter(path, target.fps, (width, height), times=times, metadata=made_by(generator.name)) as writer:
        made = animate(generator, count, config, write=writer.write, scratch=making.scratch, progress=making.progress)
    return Clip(
        time=times,
        seeds=made.seeds,
        windows=made.windows,
        latents=made.latents,
        video=path.relative_to(root).as_posix(),
        video_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        generator=generator.name,
        fps=target.fps,
    )


def _generator(
    target: Target, cond: Cond, reference: Reference, config: AnimateConfig, making: Making, root: Path
) -> Generator:
    def preview() -> Generator:
        from emosh_core.body.assets import load_body
        from emosh_core.generate.preview import Cameras, PreviewGenerator

        height, width = cond.frames.shape[1:3]
        return PreviewGenerator(target, reference, load_body(), (width, height), Cameras(cond.K, cond.w2c))

    if config.generator == PREVIEW:
        return preview()
    from emosh_core.generate.diffusion import DiffusionGenerator, latest_checkpoint

    loras = [(find_lora(place, root), weight) for place, weight in map(parse_lora, config.loras)]
    if config.generator == WAN:
        from emosh_core.generate.wan.networks import load_networks

        networks = load_networks(reference, config, loras, making.device, note=making.note)
        return DiffusionGenerator.from_networks(networks, cond, reference, config, name=WAN, preview=preview)
    folder, name = mini_folder(), MINI
    if config.generator != MINI:
        folder = latest_checkpoint(root / config.generator)
        name = f"{config.generator.rpartition('/')[2]}/{folder.name}"
    return DiffusionGenerator.from_folder(
        folder, cond, reference, config, name=name, preview=preview, loras=loras, device=making.device
    )


def _frame_count(frames: int, generator: Generator, chunks: int) -> int:
    """Return how many frames the first `chunks` chunks deliver; 0 chunks means all."""
    plan = plan_chunks(frames, window=generator.window, overlap=generator.overlap)
    return min(frames, plan[:chunks][-1].stop) if chunks else frames
