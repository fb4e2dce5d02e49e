"""Every setting of every stage, one frozen dataclass per section of `emosh.toml`.

They stand together and apart from the stages, which import torch, because a stage whose result is
fresh must answer at once: planning and fingerprints need the settings only.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

from emosh_core.errors import ConfigError
from emosh_core.geometry.keyframes import CameraMoves, parse_camera
from emosh_core.tracker.estimators.names import parse_estimators


@dataclass(frozen=True)
class TrackConfig:
    """Settings of `track`."""

    body: Literal["embedded", "smplx"] = "embedded"
    """Which body is fitted: the embedded one, or SMPL-X with FLAME's head from the folder in EMOSH_BODY_MODELS."""
    estimator: str = "mediapipe"
    """Where the fit starts from: mediapipe, or a list of dwpose, gvhmr, hamer or wilor, teaser or smirk."""
    gvhmr_results: str = ""
    """GVHMR's result file, or a folder with one per clip; empty runs the package `gvhmr`."""
    person: str = "largest"
    """Whom to follow: largest, a number counted from the left, or x,y [px] in the first frame."""
    focal: float = 0.0
    """Focal length [px]; 0 takes the file's own, or else the image diagonal (53° diagonal field of view)."""
    height: float = 0.0
    """The person's height [m], if it is known; one camera alone cannot measure it."""
    distance: float = 0.0
    """Mean distance of the hips from the camera [m], if that is known."""
    shape_rounds: int = 10
    """Gauss–Newton rounds of the pass that estimates the body and head shape."""
    rounds: int = 8
    """Gauss–Newton rounds of each window of frames; 0 keeps the coarse initialisation."""
    lambda_kpt: float = 1.0
    """Weight of the 2-D keypoint term."""
    lambda_3d: float = 1.0
    """Weight of the 3-D alignment of hands."""
    lambda_reg: float = 1.0
    """Weight of pose, shape and expression priors."""
    lambda_smooth: float = 1.0
    """Weight of smoothness over time."""
    gating: bool = True
    """Doubt parts that cannot be read; off believes every detection (to measure what gating is worth)."""
    preview: bool = field(default=True, metadata={"affects_result": False})
    """Write an overlay video beside the artifact."""

    def __post_init__(self):
        parse_estimators(self.estimator)
        names = ("focal", "height", "distance", "rounds", "shape_rounds")
        wrong = [f"{name} = {getattr(self, name)}" for name in names if getattr(self, name) < 0]
        if wrong:
            raise ConfigError("settings of track must be ≥ 0", found=", ".join(wrong), fix="leave them out")
        if not re.fullmatch(r"largest|[1-9]\d*|\d+(\.\d+)?,\d+(\.\d+)?", self.person):
            fix = "--person largest, --person 2 (from the left), or --person 640,300 (a place in pixels)"
            raise ConfigError("there is no such choice of a person", found=self.person, fix=fix)

    @property
    def weights(self) -> dict[str, float]:
        return {"kpt": self.lambda_kpt, "3d": self.lambda_3d, "reg": self.lambda_reg, "smooth": self.lambda_smooth}


@dataclass(frozen=True)
class RetargetConfig:
    """Settings of `retarget`."""

    anchor: Literal["face", "none"] = "face"
    """What one vertical offset for the whole clip keeps in its image row; "none" adds no offset."""
    root: Literal["scaled", "driver"] = "scaled"
    """How far the body travels: as far as its legs are long, where the clip shows legs, or as far as the driver."""
    contacts: Literal["on", "off"] = "on"
    """Bend arms and legs so that hands and feet touch what they touch in the clip: hands, head, torso, floor."""

    def __post_init__(self):
        for key, known in (("anchor", ("face", "none")), ("root", ("scaled", "driver")), ("contacts", ("on", "off"))):
            if getattr(self, key) not in known:
                fix = " or ".join(f'"{value}"' for value in known)
                raise ConfigError(f"retarget.{key} is unknown", found=str(getattr(self, key)), fix=fix)


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """Settings of `emosh render-cond`."""

    size: str = "driver"
    """Size of the pictures: `driver` for that of the driving video, or WIDTHxHEIGHT in pixels."""
    layers: Literal["hybrid", "mesh", "keypoints", "skeleton2d"] = "hybrid"
    """What is drawn: the mesh with keypoints on top, one of the two, or `skeleton2d`, the detector's own
    skeleton with the driver's proportions (the baseline that the mesh is compared with)."""
    camera: str = ""
    """Key frames that move the camera: `0:1.0,76:1.6` zooms; `dolly 0:0,76:0.5` goes 0.5 m nearer;
    `orbit 0:0,76:20` turns by 20° about the person; `;` joins moves. Empty keeps the driver's camera."""
    grid: bool = False
    """Draw a grid on the floor, a cue whether the camera moved or the body turned (an experiment)."""

    def __post_init__(self):
        if self.layers not in ("hybrid", "mesh", "keypoints", "skeleton2d"):
            fix = '"hybrid", "mesh", "keypoints" or "skeleton2d"'
            raise ConfigError("render.layers is unknown", found=self.layers, fix=fix)
        if parse_camera(self.camera) != CameraMoves() and self.layers == "skeleton2d":
            found, fix = f'camera = "{self.camera}"', 'camera = "" or layers = "hybrid"'
            raise ConfigError("skeleton2d shows what was detected: no camera can move it", found=found, fix=fix)
        self.pixels((1, 1))

    def pixels(self, driver: tuple[int, int]) -> tuple[int, int]:
        """Return width and height of the pictures for a driving video of this size."""
        if self.size == "driver":
            return driver
        match = re.fullmatch(r"(\d+)x(\d+)", self.size)
        if not match or not all(16 <= int(side) <= 8192 for side in match.groups()):
            fix = '"driver" or WIDTHxHEIGHT of 16 to 8192 px each, for example "512x512"'
            raise ConfigError("render.size is not a size", found=self.size, fix=fix)
        return int(match[1]), int(match[2])


@dataclass(frozen=True, kw_only=True)
class AnimateConfig:
    """Settings of `emosh animate`."""

    generator: str = "auto"
    """`mini` (a small diffusion model that ships with the package), `preview` (textured mesh, no network), a training
    run, for example `runs/first`, or `auto` for the best that is there."""
    seed: int = 0
    """Seed of the noise; each chunk derives its own from it."""
    steps: int = 0
    """Sampling steps per chunk of a diffusion generator; 0 takes as many as it was made for."""
    shift: float = 0.0
    """How much of the sampling goes to high noise, 1 is uniform; 0 takes what the generator was made for."""
    solver: Literal["unipc", "euler"] = "unipc"
    """Integrator of a diffusion generator."""
    chunks: int = 0
    """How many chunks to make, from the start of the clip; 0 makes all."""
    window: int = 0
    """Frames per chunk, 4k + 1 for networks; 0 takes what the generator was made for, less for clips that are shorter
    or devices with less memory."""
    parallel: str = field(default="", metadata={"affects_result": False})
    """`context:N` splits each forward pass among N GPUs of one machine (torchrun; nobody ran it on two GPUs yet)."""

    def __post_init__(self):
        if self.seed < 0:
            raise ConfigError("animate.seed must not be negative", found=str(self.seed), fix="seed = 0")
        if self.chunks < 0:
            raise ConfigError("animate.chunks must not be negative", found=str(self.chunks), fix="chunks = 0")
        if self.window < 0:
            raise ConfigError("animate.window must not be negative", found=str(self.window), fix="window = 0, or 17")
        if self.parallel and not re.fullmatch(r"context:[1-9]\d*", self.parallel):
            fix = 'parallel = "" or "context:2"'
            raise ConfigError("animate.parallel is unknown", found=self.parallel, fix=fix)
        if self.steps < 0:
            raise ConfigError("animate.steps must not be negative", found=str(self.steps), fix="steps = 0, or 20")
        if self.shift < 0:
            raise ConfigError("animate.shift must not be negative", found=str(self.shift), fix="shift = 0, or 3.0")
        if self.solver not in ("unipc", "euler"):
            raise ConfigError("animate.solver is unknown", found=self.solver, fix='solver = "unipc" or "euler"')

    @property
    def gpus(self) -> int:
        """Return among how many GPUs a forward pass is split."""
        return int(self.parallel.partition(":")[2] or 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `emosh train`."""

    name: str = "first"
    """Name of the run; it lies in `runs/NAME`."""
    base: str = "auto"
    """What is trained on: `mini`, a finished run, for example `runs/first`, `scratch` for new networks, or `auto` for
    mini where the package holds its weights, else new networks."""
    method: Literal["auto", "lora", "full"] = "auto"
    """Train a small adapter beside the frozen transformer, or all of it; `auto` adapts what is trained already."""
    rank: int = 32
    """Rank of the adapter."""
    people: int = 0
    """Train on so many synthetic people instead of the tracked clips."""
    assets: str = ""
    """Folder of an asset pack that two thirds of the synthetic people are dressed from; empty paints all of them."""
    photos: str = ""
    """Folder of pictures of places that a quarter of the synthetic people stand before; empty draws all backgrounds."""
    filter: bool = True
    """Leave out tracked clips without a face, with too small a face, with hidden hands, or static ([filter])."""
    steps: int = 200
    """Steps of the transformer; 0 trains a new VAE alone."""
    vae_steps: int = 400
    """Steps of a new VAE before it; it is frozen afterwards."""
    resolution: int = 256
    """Side of the square pictures [px], a multiple of 16."""
    window: int = 17
    """Frames per chunk of new networks, 4k + 1."""
    overlap: int = 5
    """Frames that chunks of new networks share, 4k + 1."""
    stride: int = 8
    """Frames between the starts of training windows."""
    references: int = 4
    """References per tracked clip; each window gets one from another moment."""
    batch: int = 2
    """Windows per micro-batch of the transformer."""
    accumulate: int = 1
    """Micro-batches per process and step."""
    vae_batch: int = 2
    """Clips per micro-batch of the VAE."""
    lr: float = 3e-4
    """Highest learning rate of the transformer; it ends at 2 % of that."""
    vae_lr: float = 1e-3
    """The same of the VAE."""
    warmup: int = 50
    """Steps over which each phase raises its learning rate to the full one."""
    ema: float = 0.999
    """How much of the averaged weights each step keeps in the long run; the average is what animates."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes with half the bits where that is safe: twice as fast where the machine can."""
    zero: Literal[0, 1, 2, 3] = field(default=0, metadata={"affects_result": False})
    """DeepSpeed's ZeRO stage: what the processes of `torchrun` share out; 0 is for one process."""
    gradient_checkpointing: bool = field(default=False, metadata={"affects_result": False})
    """Compute activations twice instead of keeping them: less memory, a third more time."""
    shift: float = 3.0
    """How far training times lean towards noise; 1 is plain logit-normal. New networks are sampled with it too."""
    prediction: Literal["z0", "velocity", "correction"] = "correction"
    """What a new transformer predicts; the loss is in velocity space either way."""
    cond_fill: Literal["paste", "reference", "preview"] = "preview"
    """What a new transformer is shown where frames are to be made: grey, the reference, or the preview's pictures."""
    detail: bool = True
    """Frames of new networks keep the preview's detail where the two agree."""
    sampling_steps: int = 8
    """Sampling steps per chunk that new networks are made for."""
    temporal: float = 0.5
    """Share of micro-batches with the tail of the previous chunk given."""
    aligned: float = 0.1
    """Share of those that also have the spatially aligned latent."""
    warp: float = 0.5
    """Share of references that are warped."""
    heads: int = 4
    """Attention heads of a new transformer."""
    head_width: int = 64
    """Channels per head."""
    layers: int = 8
    """Blocks of a new transformer."""
    vae_width: int = 32
    """Channels of a new VAE's first stage."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    checkpoint_every: int = 100
    """Steps between checkpoints, all phases."""
    pictures: bool = True
    """Draw a sheet of what the generator makes at each checkpoint."""
    minutes: float = field(default=0.0, metadata={"affects_result": False})
    """Stop with a checkpoint after so many minutes; the same command goes on. 0 trains to the end."""

    def __post_init__(self):
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):
            raise ConfigError("train.name must be a plain folder name", found=repr(self.name), fix="--name first")
        for key in ("window", "overlap"):
            if getattr(self, key) % 4 != 1:
                raise ConfigError(f"train.{key} must be 4k + 1", found=str(getattr(self, key)), fix=f"{key} = 5 or 17")
        if self.overlap >= self.window:
            raise ConfigError("train.overlap must be below train.window", found=f"{self.overlap} and {self.window}")
        if self.resolution % 16 or self.resolution < 16:
            raise ConfigError("train.resolution must be a multiple of 16", found=str(self.resolution), fix="128 or 256")
        if self.base == "scratch" and self.method == "lora":
            found, fix = "base = scratch, method = lora", "method = full, or base = mini"
            raise ConfigError("an adapter needs trained networks to adapt", found=found, fix=fix)
        least = dict.fromkeys(("people", "minutes", "warmup"), 0) | dict.fromkeys(
            ("rank", "vae_steps", "stride", "references", "batch", "accumulate", "vae_batch",
             "sampling_steps", "checkpoint_every"), 1,
        )  # fmt: skip
        least["steps"] = 0 if self.base == "scratch" else 1
        for key, low in least.items():
            if getattr(self, key) < low:
                found, fix = str(getattr(self, key)), f"{key} = {low}"
                raise ConfigError(f"train.{key} must be at least {low}", found=found, fix=fix)
        for key, type_ in get_type_hints(TrainConfig).items():
            if get_origin(type_) is Literal and getattr(self, key) not in get_args(type_):
                fix = ", ".join(str(choice) for choice in get_args(type_))
                raise ConfigError(f"train.{key} is unknown", found=str(getattr(self, key)), fix=fix)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of `emosh eval`."""

    size: int = 512
    """Longer side that both videos are brought to before they are compared [px]."""

    def __post_init__(self):
        if self.size < 16:
            raise ConfigError("eval.size must be at least 16", found=str(self.size), fix="size = 512")


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """Settings of `emosh synth`."""

    frames: int = 77
    """Frames of a clip."""
    fps: float = 25.0
    """Frames per second."""
    resolution: int = 512
    """Shorter side of the picture [px], a multiple of 16."""
    aspect: Literal["mixed", "1:1", "16:9", "9:16"] = "mixed"
    """Width to height; mixed draws one for each clip."""
    framing: Literal["mixed", "full", "three-quarter", "half", "bust"] = "mixed"
    """How much of the person is in the picture."""
    camera: Literal["mixed", "still", "hand-held", "pan", "tilt", "zoom", "dolly", "orbit", "follow"] = "mixed"
    """How the camera moves."""
    motion: str = "mixed"
    """Kind of motion (`emosh synth --help` lists them), or a BVH or mocap text file, or a folder of such files."""
    background: str = "mixed"
    """`plain`, `gradient`, `room`, `outdoor`, or a picture or a folder of pictures to stand in front of."""
    noise: float = 0.5
    """Sensor noise, soft focus and colour cast: 0 is none, 1 is a cheap camera in the dark."""
    shutter: float = 0.0
    """Share of the time between two frames that the shutter is open: 0.5 is a film camera's motion blur, 0 is none."""
    crf: int = 18
    """H.264 quality of the video: 0 keeps everything, 18 looks the same, 32 is a bad stream."""

    def __post_init__(self):
        ranges = {"frames": (1, 10_000), "fps": (1, 240), "noise": (0, 1), "shutter": (0, 1), "crf": (0, 51)}
        for key, (low, high) in ranges.items():
            if not low <= getattr(self, key) <= high:
                raise ConfigError(f"synth.{key} is out of range", found=str(getattr(self, key)), fix=f"{low} to {high}")
        if not 64 <= self.resolution <= 4096 or self.resolution % 16:
            fix = "a multiple of 16 from 64 to 4096, for example 256 or 512"
            raise ConfigError("synth.resolution is not a size", found=str(self.resolution), fix=fix)
        for key, type_ in get_type_hints(SynthConfig).items():
            if get_origin(type_) is Literal and getattr(self, key) not in get_args(type_):
                fix = ", ".join(get_args(type_))
                raise ConfigError(f"synth.{key} is unknown", found=str(getattr(self, key)), fix=fix)


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Settings of `emosh filter`: what a clip must have to be worth training on."""

    face: float = 0.5
    """Least share of frames in which the face is seen."""
    face_size: float = 0.06
    """Least height of the face over the shorter side of the picture: 30 px of 512."""
    hands: float = 0.5
    """Least share of frames in which a hand is seen."""
    speed: float = 0.02
    """A clip is static if its joints move slower than this on average [m/s] …"""
    expression_speed: float = 0.25
    """… and its expression changes less than this, summed over the units [1/s]."""

    def __post_init__(self):
        for key in ("face", "face_size", "hands"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"filter.{key} is a share", found=str(getattr(self, key)), fix=f"{key} = 0 to 1")
        for key in ("speed", "expression_speed"):
            if getattr(self, key) < 0:
                raise ConfigError(f"filter.{key} must not be negative", found=str(getattr(self, key)), fix=f"{key} = 0")


SECTIONS = {
    "track": TrackConfig,
    "retarget": RetargetConfig,
    "render": RenderConfig,
    "animate": AnimateConfig,
    "train": TrainConfig,
    "eval": EvalConfig,
    "synth": SynthConfig,
    "filter": FilterConfig,
}
"""Name of each section of the settings file and its dataclass, in the order of the line."""
