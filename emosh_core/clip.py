"""Animate as the line does it: load a generator, run the chunk loop, encode the video."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from emosh_core.artifacts import Clip, Cond, Motion, Target
from emosh_core.errors import ArtifactError
from emosh_core.generate.animate import animate
from emosh_core.generate.generator import Camera, Generator, Reference
from emosh_core.generate.names import MINI, PREVIEW, WAN, find_lora, made_by, mini_folder, parse_lora
from emosh_core.generate.plan import plan_animation
from emosh_core.geometry.camera import fit_intrinsics
from emosh_core.image_io import read_image
from emosh_core.making import Making
from emosh_core.moment import moment_of
from emosh_core.segmentation import person_mask
from emosh_core.settings import AnimateConfig
from emosh_core.video_io import VideoWriter


def make_clip(
    target: Target, cond: Cond, reference: Motion, image: Path, config: AnimateConfig, *, making: Making, root: Path,
    drive: Path | None = None,
) -> Clip:  # fmt: skip
    """Make the video of a target and describe it.

    Args:
        target: T frames of motion on the reference's shape.
        cond: their condition pictures; those may lie on disk.
        reference: the still's fit, one frame.
        image: the still.
        config: generator and sampling.
        making: where scratch and media go, device and progress.
        root: the workspace.
        drive: the clip that the target was tracked from, if it is still there; the still may be a frame of it.
    """
    picture = read_image(image)
    still = Reference(image=picture, motion=reference, mask=person_mask(picture))
    generator = _generator(target, cond, still, config, making, root, drive)
    plan = plan_animation(generator, len(target.time), config, making.device)
    generator.use_window(plan.window)
    making.note(str(plan))
    if config.gpus > 1:
        generator.split(config.gpus)
    path, times = making.media("clip"), target.time[: plan.frames]
    height, width = cond.frames.shape[1:3]
    latents = _Latents(making.scratch / "latents.zarr")
    with VideoWriter(path, target.fps, (width, height), times=times, metadata=made_by(generator.name)) as writer:
        made = animate(generator, len(target.time), config, write=writer.write, write_latents=latents.append,
                       scratch=making.scratch, progress=making.progress)  # fmt: skip
    return Clip(
        time=times,
        seeds=made.seeds,
        windows=made.windows,
        latents=latents.stored,
        video=path.relative_to(root).as_posix(),
        video_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        generator=generator.name,
        fps=target.fps,
    )


def _generator(
    target: Target, cond: Cond, reference: Reference, config: AnimateConfig, making: Making, root: Path,
    drive: Path | None,
) -> Generator:  # fmt: skip
    def preview() -> Generator:
        from emosh_core.body.assets import load_body
        from emosh_core.generate.preview import Cameras, PreviewGenerator

        height, width = cond.frames.shape[1:3]
        still = replace(reference, camera=_camera_of(reference.image, target, drive, making))
        return PreviewGenerator(target, still, load_body(), (width, height), Cameras(cond.K, cond.w2c))

    if config.generator == PREVIEW:
        return preview()
    from emosh_core.generate.diffusion import DiffusionGenerator

    loras = _loras(config, root)
    if config.generator == WAN:
        from emosh_core.generate.wan.networks import load_networks

        networks = load_networks(reference, config, loras, making.device, note=making.note)
        return DiffusionGenerator.from_networks(networks, cond, reference, config, name=WAN, preview=preview)
    folder, name = _networks(config.generator, root)
    return DiffusionGenerator.from_folder(
        folder, cond, reference, config, name=name, preview=preview, loras=loras, device=making.device
    )


def _camera_of(picture: np.ndarray, target: Target, drive: Path | None, making: Making) -> Camera | None:
    """Return the driver's camera at the moment of the still, if that is a frame of the driver's clip."""
    if drive is None:
        return None
    try:
        moment = moment_of(picture, drive)
    except (ArtifactError, OSError) as error:  # nothing else of this stage needs the clip
        making.note(f"whether the still is a frame of the clip is not known: {error}")
        return None
    if moment is None:
        return None
    row = int(np.abs(target.time - moment).argmin())
    if abs(target.time[row] - moment) > 0.5 / target.fps:
        return None
    making.note(f"the still is the clip's own moment at {moment:.2f} s: its background stays where it was")
    return Camera(K=fit_intrinsics(target.K[row], target.size, picture.shape[1::-1]), w2c=target.w2c[row])


def _networks(generator: str, root: Path) -> tuple[Path, str]:
    """Return the folder of a generator's networks, and what a clip says made it."""
    from emosh_core.generate.diffusion import latest_checkpoint

    if generator == MINI:
        return mini_folder(), MINI
    folder = latest_checkpoint(root / generator)
    return folder, f"{generator.rpartition('/')[2]}/{folder.name}"


def follow_clip(config: AnimateConfig, root: Path, device: str) -> None:
    """Take part, with networks of its own, in the forward passes of the process that makes the clip."""
    from emosh_core.generate import parallel
    from emosh_core.generate.assemble import load_folder
    from emosh_core.generate.wan.networks import load_follower

    loras = _loras(config, root)
    if config.generator == WAN:
        transformer = load_follower(config, loras, device)
    else:
        transformer = load_folder(_networks(config.generator, root)[0], config, loras, device).transformer
    parallel.split(transformer, config.gpus)
    parallel.follow(transformer, device)


def _loras(config: AnimateConfig, root: Path) -> list[tuple[Path, float]]:
    return [(find_lora(place, root), weight) for place, weight in map(parse_lora, config.loras)]


class _Latents:
    """Latents of a whole clip, gathered on disk; what an earlier run left there is written over."""

    def __init__(self, path: Path):
        self._path, self.stored = path, np.zeros((0, 0, 0, 0), np.float32)

    def append(self, latents: np.ndarray) -> None:
        """Add (latent frame, channel, y, x) of the next chunk."""
        if not latents.size:
            return
        if not self.stored.shape[0]:
            import zarr

            self.stored = zarr.create_array(
                self._path, shape=(0, *latents.shape[1:]), chunks=latents.shape, dtype="float32", overwrite=True
            )
        self.stored.append(latents)
