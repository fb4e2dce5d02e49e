"""What the stages hand to each other: frozen dataclasses of numpy arrays.

Each field carries its axis names and unit; `emosh_core.workspace.artifact` writes any of these
classes to a Zarr group and reads it back, so this page is the whole file format.

World axes: x to the subject's left at rest, y up, z towards a viewer in front; metres.
Cameras: OpenCV axes (x right, y down, z forward), `w2c` maps world to camera. Pixels: the centre
of the top-left pixel is (0.5, 0.5). Rotations are axis-angle in radians.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

KEYPOINTS = {"body": 33, "left_hand": 21, "right_hand": 21, "face": 478}
"""Parts of `keypoints2d` in order, with their number of points (MediaPipe's layouts and orders)."""

CONTACTS = (
    "left_hand-right_hand", "left_hand-head", "left_hand-torso", "right_hand-head", "right_hand-torso",
    "left_foot-floor", "right_foot-floor",
)  # fmt: skip
"""Order of `Target.contacts`; the torso is trunk and thighs."""

TRUST_PARTS = ("person", "face", "left_hand", "right_hand", "left_arm", "right_arm", "left_leg", "right_leg")
"""Order of `Motion.trust`."""


def keypoint_slice(part: str) -> slice:
    """Return where the points of a part ("body", "left_hand", ...) lie on the keypoint axis."""
    start = 0
    for name, count in KEYPOINTS.items():
        if name == part:
            return slice(start, start + count)
        start += count
    raise KeyError(part)


def trust_of(person: np.ndarray, face: np.ndarray, left_hand: np.ndarray, right_hand: np.ndarray) -> np.ndarray:
    """Return `Motion.trust` (T, 8) that says no more than masks (T,) do; limbs are trusted where the person is."""
    return np.stack([person, face, left_hand, right_hand, person, person, person, person], -1).astype(np.float32)


def array(*dims: str, unit: str = "", dtype: str = "float32"):
    """Declare an array field: axis names, unit and the dtype that is stored."""
    return field(metadata={"dims": dims, "unit": unit, "dtype": dtype})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Who somebody is: body shape β_b and head shape β_f, without pose.

    The `*_std` fields are posterior standard deviations: 1 means "nothing learnt beyond the prior".
    """

    KIND: ClassVar[str] = "shape"
    SCHEMA: ClassVar[int] = 1

    betas_body: np.ndarray = array("beta_body")
    betas_head: np.ndarray = array("beta_head")
    betas_body_std: np.ndarray = array("beta_body")
    betas_head_std: np.ndarray = array("beta_head")
    head_scale: float
    hand_scale: float
    body_model: str


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How somebody moves, frame by frame, with the camera that saw it and how far to trust it."""

    KIND: ClassVar[str] = "motion"
    SCHEMA: ClassVar[int] = 3  # 1 had one K for all frames, 2 no `trust`

    joints: np.ndarray = array("frame", "joint", "xyz", unit="m")
    """Posed joints in world axes, SMPL-X order."""
    global_orient: np.ndarray = array("frame", "axis_angle", unit="rad")
    body_pose: np.ndarray = array("frame", "body_joint", "axis_angle", unit="rad")
    left_hand_pose: np.ndarray = array("frame", "hand_joint", "axis_angle", unit="rad")
    right_hand_pose: np.ndarray = array("frame", "hand_joint", "axis_angle", unit="rad")
    jaw_pose: np.ndarray = array("frame", "axis_angle", unit="rad")
    eye_pose: np.ndarray = array("frame", "eye", "axis_angle", unit="rad")
    eyelid: np.ndarray = array("frame", "eye")
    """How far each eyelid (left, right) is closed, 0..1; on the embedded body a copy of the blink units."""
    expression: np.ndarray = array("frame", "expression")
    transl: np.ndarray = array("frame", "xyz", unit="m")
    K: np.ndarray = array("frame", "row", "column", unit="px")
    """A zoom changes it from frame to frame."""
    w2c: np.ndarray = array("frame", "row4", "column4")
    keypoints2d: np.ndarray = array("frame", "keypoint", "xy", unit="px")
    """Detections, see KEYPOINTS; where nothing was detected the value is 0 and the confidence 0."""
    confidence: np.ndarray = array("frame", "keypoint")
    face_valid: np.ndarray = array("frame", dtype="bool")
    left_hand_valid: np.ndarray = array("frame", dtype="bool")
    right_hand_valid: np.ndarray = array("frame", dtype="bool")
    person_valid: np.ndarray = array("frame", dtype="bool")
    trust: np.ndarray = array("frame", "trust_part")
    """How far each of TRUST_PARTS was believed, 0..1; what was not follows priors and its neighbours in time."""
    reprojection_error: np.ndarray = array("frame", unit="px")
    """Mean distance between detected and projected keypoints that were trusted; NaN where none was."""
    time: np.ndarray = array("frame", unit="s", dtype="float64")
    """Presentation time of each frame (variable frame rates keep theirs)."""
    shape: Shape
    fps: float
    size: tuple[int, int]
    """Width and height of the frames [px]."""
    body_model: str


@dataclass(frozen=True, kw_only=True)
class Target(Motion):
    """The driver's motion and camera on the reference's shape: what the generator must show."""

    KIND: ClassVar[str] = "target"
    SCHEMA: ClassVar[int] = 4  # 1 had no `contacts`, 2 one K for all frames, 3 no `trust`

    contacts: np.ndarray = array("frame", "contact")
    """How strongly each of CONTACTS was held by correcting a limb: 1 while the driver touches, less just around it."""
    vertical_offset: float
    """Added to every transl y [m] so that the face keeps its image row."""


@dataclass(frozen=True, kw_only=True)
class Cond:
    """Condition pictures: the mesh in canonical colours with face and hand keypoints on top."""

    KIND: ClassVar[str] = "cond"
    SCHEMA: ClassVar[int] = 2

    frames: np.ndarray = array("frame", "y", "x", "rgb", dtype="uint8")
    mask: np.ndarray = array("frame", "y", "x", dtype="bool")
    """Pixels that the mesh covers."""
    keypoints: np.ndarray = array("frame", "keypoint", "xy", unit="px")
    keypoints_drawn: np.ndarray = array("frame", "keypoint", dtype="bool")
    valid: np.ndarray = array("frame", dtype="bool")
    """Frames in which a person was tracked; others are drawn from the temporal prior."""
    K: np.ndarray = array("frame", "row", "column", unit="px")
    w2c: np.ndarray = array("frame", "row4", "column4")
    """The cameras that were used: the driver's, unless key frames moved them."""
    time: np.ndarray = array("frame", unit="s", dtype="float64")
    fps: float


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A generated video and what made it; the encoded file lies under the workspace's `media/`."""

    KIND: ClassVar[str] = "clip"
    SCHEMA: ClassVar[int] = 1

    time: np.ndarray = array("frame", unit="s", dtype="float64")
    seeds: np.ndarray = array("chunk", dtype="int64")
    windows: np.ndarray = array("chunk", "start_stop", dtype="int64")
    latents: np.ndarray = array("latent_frame", "channel", "y", "x")
    """Final latents chunk after chunk, as decoded; shape (0, 0, 0, 0) for generators without latents."""
    video: str
    """Path of the encoded video, relative to the workspace."""
    video_sha256: str
    generator: str
    fps: float


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a synthetic clip's motion does not say and only its maker knows."""

    KIND: ClassVar[str] = "truth"
    SCHEMA: ClassVar[int] = 1

    joint_visible: np.ndarray = array("frame", "joint", dtype="bool")
    """Inside the picture and not behind anything; a joint inside the body counts by the surface over it."""
    keypoint_visible: np.ndarray = array("frame", "keypoint", dtype="bool")
    contacts: np.ndarray = array("frame", "contact", dtype="bool")
    """Which of CONTACTS there are: hands by the gap between the bare body's surfaces (begun below 6 mm, ended above 9),
    feet while they are planted on the floor."""
    blink: np.ndarray = array("frame", "eye")
    """How far each eye (left, right) is closed, 0..1."""
    mouth_open: np.ndarray = array("frame")
    """Distance of the lips' inner middles over the width of the mouth."""
    mask: np.ndarray = array("frame", "y", "x", dtype="bool")
    """Pixels that the person covers, clothes and hair included."""
    time: np.ndarray = array("frame", unit="s", dtype="float64")
    fps: float
