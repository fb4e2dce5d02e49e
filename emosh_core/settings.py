"""Every setting of every stage, one frozen dataclass per section of `emosh.toml`.

They stand together and apart from the stages, which import torch, because a stage whose result is
fresh must answer at once: planning and fingerprints need the settings only.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

from emosh_core.errors import ConfigError
from emosh_core.generation_settings import AnimateConfig, TrainConfig
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
