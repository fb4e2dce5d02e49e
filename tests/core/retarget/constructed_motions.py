"""Motions made on purpose, with contacts that are known because they were built in.

Hands are posed by gradient descent on the full skeleton, feet by planar trigonometry: neither uses the
inverse kinematics of `emosh_core.retarget`.
"""

from dataclasses import dataclass

import numpy as np
import roma
import torch

from emosh_core.artifacts import KEYPOINTS, Motion, Shape, trust_of
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HANDS
from emosh_core.body.pose import pose_from_motion, zero_pose
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics
from emosh_core.render.colors import mean_in_t_pose

FPS = 30.0
SIZE = (480, 640)
GAP = 0.008  # [m] between palm and skin
ARMS_DOWN = 1.15  # [rad]
ARM = {"left": (16, 18, 20), "right": (17, 19, 21)}  # shoulder, elbow, wrist
STEPS = 250


@dataclass(frozen=True)
class Hold:
    """One hand on one place of the mean body."""

    hand: str
    contact: str
    """Its name in artifacts.CONTACTS."""
    on: str
    """The region that is touched: head, torso or the other hand."""
    place: tuple[float, float, float]
    """The touched vertex is the nearest of the region to this, in the T-pose of the mean body [m]."""
    fingers: tuple[float, float, float]
    """Where the fingers point, in world axes."""
    start: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0.0, 0.0, -1.15), (0.0, -1.2, 0.0))
    """Shoulder and elbow of a left arm to begin the search with [rad]."""
    along: float = 0.55
    """Where on the hand it touches: 0 at the wrist, 1 at the first joint of the middle finger."""


ABOVE = ((0.0, 0.0, 0.7), (0.0, -0.3, 1.6))
ASIDE = ((0.0, 0.6, -0.8), (0.0, -1.4, 0.0))
HOLDS = {
    "clap": (Hold("left", "left_hand-right_hand", "right_hand", (0, 0, 0), (0.0, 0.7, 0.7)),),
    "hand_to_cheek": (Hold("left", "left_hand-head", "head", (0.06, 0.58, 0.11), (-0.3, 1.0, 0.2), along=1.25),),
    "hand_on_head": (Hold("right", "right_hand-head", "head", (0.0, 0.74, 0.05), (1.0, 0.0, 0.0), ABOVE),),
    "hands_on_hips": (
        Hold("left", "left_hand-torso", "torso", (0.16, 0.05, 0.04), (-0.3, -0.7, 0.6), ASIDE),
        Hold("right", "right_hand-torso", "torso", (-0.16, 0.05, 0.04), (0.3, -0.7, 0.6), ASIDE),
    ),
}


def random_shapes(count: int, seed: int, scale: float = 1.0) -> list[Shape]:
    """Draw identities β ~ N(0, scale²) for body and head."""
    rng = np.random.default_rng(seed)
    return [make_shape(scale * rng.standard_normal(32), scale * rng.standard_normal(64)) for _ in range(count)]


def make_shape(betas_body=(), betas_head=()) -> Shape:
    """Make an identity; missing coefficients are 0."""
    body, head = np.zeros(32, np.float32), np.zeros(64, np.float32)
    body[: len(betas_body)], head[: len(betas_head)] = betas_body, betas_head
    return Shape(
        betas_body=body, betas_head=head, betas_body_std=np.ones(32, np.float32),
        betas_head_std=np.ones(64, np.float32), head_scale=1.0, hand_scale=1.0, body_model="embedded",
    )  # fmt: skip


def make_motion(body: EhmModel, shape: Shape, body_pose, transl=None, global_orient=None) -> Motion:
    """Make a consistent motion, everything seen, from a body pose (T, 21, 3) [rad]."""
    frames = len(body_pose)
    zeros = lambda *dims: np.zeros((frames, *dims), np.float32)  # noqa: E731
    always = np.ones(frames, bool)
    motion = Motion(
        joints=zeros(55, 3), global_orient=zeros(3) if global_orient is None else np.float32(global_orient),
        body_pose=np.float32(body_pose),
        left_hand_pose=zeros(15, 3) + flat_hand("left"), right_hand_pose=zeros(15, 3) + flat_hand("right"),
        jaw_pose=zeros(3), eye_pose=zeros(2, 3), eyelid=zeros(2), expression=zeros(52),
        transl=np.float32([0, 0, -3.2]) + (zeros(3) if transl is None else np.float32(transl)),
        K=np.tile(default_intrinsics(*SIZE), (frames, 1, 1)), w2c=np.repeat(CAMERA_AT_ORIGIN[None], frames, 0),
        keypoints2d=zeros(sum(KEYPOINTS.values()), 2), confidence=zeros(sum(KEYPOINTS.values())) + 1,
        face_valid=always, left_hand_valid=always, right_hand_valid=always, person_valid=always,
        trust=trust_of(*[always] * 4),
        reprojection_error=zeros(), time=np.arange(frames) / FPS, shape=shape, fps=FPS, size=SIZE,
        body_model="embedded",
    )  # fmt: skip
    posed = body.for_landmarks().with_shape_of(shape).with_pose(pose_from_motion(motion))
    return Motion(**(vars(motion) | {"joints": posed.joints.numpy()}))


def standing() -> np.ndarray:
    """Return the pose (21, 3) [rad] with hanging arms."""
    pose = np.zeros((21, 3), np.float32)
    pose[15, 2], pose[16, 2] = -ARMS_DOWN, ARMS_DOWN
    return pose


def flat_hand(side: str) -> np.ndarray:
    """Return finger rotations (15, 3) [rad] with the thumb beside the palm, not under it."""
    pose = np.zeros((15, 3), np.float32)
    pose[12] = 0.65 * np.float32([-0.67, 0.0, 0.74]) * ([1, 1, 1] if side == "left" else [1, -1, -1])
    return pose


def touching(body: EhmModel, shapes: list[Shape], name: str) -> list[Motion]:
    """Make the motion of HOLDS[name] for each identity: towards the touch, touching, and away; claps come four times.

    The whole body turns and shifts a little all the while.
    """
    holds = HOLDS[name]
    keys = key_poses(body, shapes, holds)
    frames = 60
    time = np.arange(frames) / FPS
    if name == "clap":
        share = np.clip(1.25 - 1.4 * np.abs(np.sin(2 * np.pi * time)), 0, 1)
    else:
        share = np.clip(np.minimum(time / 0.6, (time[-1] - time) / 0.6) * 1.02, 0, 1)
    share = share * share * (3 - 2 * share)
    sway = np.stack([0.05 * np.sin(3 * time), 0.02 * np.sin(5 * time), 0.05 * np.cos(2 * time)], 1)
    turn = np.stack([0 * time, 0.2 * np.sin(2 * time), 0 * time], 1)
    motions = []
    for shape, key in zip(shapes, keys):
        away = standing()
        if name == "clap":  # the arms open, they do not hang
            away = key.copy()
            for side, sign in (("left", 1.0), ("right", -1.0)):
                row = ARM[side][0] - 1
                opening = roma.rotvec_to_rotmat(torch.tensor([0.0, sign * 0.6, 0.0]))
                away[row] = roma.rotmat_to_rotvec(opening @ roma.rotvec_to_rotmat(torch.tensor(key[row]))).numpy()
        motions.append(make_motion(body, shape, _between(away, key, share), sway, turn))
    return motions


def _between(away: np.ndarray, key: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Turn every joint from one pose to the other by a share (T,) of the way."""
    a, b = (torch.from_numpy(pose) for pose in (away, key))
    step = roma.rotvec_composition([-a, b])
    part = torch.from_numpy(share.astype(np.float32))[:, None, None] * step
    return roma.rotvec_composition([a.expand_as(part), part]).numpy()


def key_poses(body: EhmModel, shapes: list[Shape], holds: tuple[Hold, ...]) -> list[np.ndarray]:
    """Find for each identity the arm pose whose palms lie GAP above the touched places (21, 3) [rad]."""
    marks = [_marks(body, hold) for hold in holds]
    small = body.for_landmarks(torch.tensor([i for pair in marks for vertex in pair for i in vertex]))
    betas = [torch.from_numpy(np.stack([getattr(s, f"betas_{p}") for s in shapes])) for p in ("body", "head")]
    shaped = small.with_shape(*betas)
    count = len(shapes)
    pose = torch.from_numpy(standing()).repeat(count, 1, 1)
    sides = {hold.hand for hold in holds} | {hold.on.split("_")[0] for hold in holds if hold.on.endswith("_hand")}
    rows = [joint - 1 for side in sorted(sides) for joint in ARM[side]]
    start = pose[:, rows].clone()
    for hold in holds:
        for side in sides & {hold.hand, hold.on.split("_")[0]}:
            mirror = torch.tensor([1.0, 1.0, 1.0] if side == "left" else [1.0, -1.0, -1.0])
            for joint, angles in zip(ARM[side], hold.start):
                start[:, rows.index(joint - 1)] = torch.tensor(angles) * mirror
    free = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([free], lr=0.05)
    hands = {f"{side}_hand_pose": torch.from_numpy(flat_hand(side)).repeat(count, 1, 1) for side in ARM}
    zero = zero_pose(count)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.05 if step < STEPS * 0.6 else 0.01
        now = pose.index_copy(1, torch.tensor(rows), free)
        posed = shaped.with_pose(type(zero)(**(vars(zero) | hands | {"body_pose": now})))
        loss = 2e-4 * ((free - start) ** 2).sum() + 2e-3 * (free[:, 1::3][..., [0, 2]] ** 2).sum()
        for hold, pair in zip(holds, marks):
            loss = loss + _miss(posed, small, hold, pair)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return list(pose.index_copy(1, torch.tensor(rows), free.detach()).numpy())


def _miss(posed, small, hold: Hold, pair) -> torch.Tensor:
    palm, other = (_patch(posed, small, vertices) for vertices in pair)
    loss = 100 * ((palm[0] - other[0] - GAP * other[1]) ** 2).sum() + 0.3 * (1 + (palm[1] * other[1]).sum(-1)).sum()
    wrist, finger = (20, 28) if hold.hand == "left" else (21, 43)
    along = torch.nn.functional.normalize(posed.joints[:, finger] - posed.joints[:, wrist], dim=-1)
    wish = torch.nn.functional.normalize(torch.tensor(hold.fingers), dim=0)
    loss = loss + 0.1 * (1 - along @ wish).sum()
    if hold.on.endswith("_hand"):  # the claps are before the chest
        chest = posed.joints[:, 12] + torch.tensor([0.0, -0.12, 0.33])
        loss = loss + 10 * ((palm[0] - chest) ** 2).sum()
    return loss


def _marks(body: EhmModel, hold: Hold) -> tuple[list[int], list[int]]:
    """Return three vertices about the palm's middle and three about the touched place, each counter-clockwise."""
    palm = _palm(body, hold.hand, hold.along)
    if hold.on.endswith("_hand"):
        return palm, _palm(body, hold.on.split("_")[0], hold.along)
    verts = mean_in_t_pose(body).verts[0]
    return palm, _triangle(body, verts, region(body, hold.on), torch.tensor(hold.place))


def _palm(body: EhmModel, side: str, along: float) -> list[int]:
    mean = mean_in_t_pose(body)
    wrist, finger = (20, 28) if side == "left" else (21, 43)
    middle = mean.joints[0, wrist] + along * (mean.joints[0, finger] - mean.joints[0, wrist])
    middle = middle - torch.tensor([0, 0.03, 0])
    return _triangle(body, mean.verts[0], region(body, f"{side}_hand"), middle)


def _triangle(body: EhmModel, verts, rows: torch.Tensor, place) -> list[int]:
    """Return a triangle 6 cm across about the vertex nearest to a place, turned outwards."""
    centre = rows[(verts[rows] - place).norm(dim=-1).argmin()]
    normal = vertex_normals(verts, body.faces)[centre]
    helper = torch.nn.functional.normalize(torch.linalg.cross(normal, torch.tensor([0.31, 0.59, 0.74])), dim=0)
    other = torch.linalg.cross(normal, helper)
    corners = []
    for angle in (0.0, 2 * np.pi / 3, 4 * np.pi / 3):
        point = verts[centre] + 0.03 * (np.cos(angle) * helper + np.sin(angle) * other)
        corners.append(int(rows[(verts[rows] - point).norm(dim=-1).argmin()]))
    return corners


def _patch(posed, small, vertices: list[int]):
    """Return the middle (T, 3) and the normal (T, 3) of a triangle of the full mesh."""
    a, b, c = posed.verts[:, torch.searchsorted(small.kept_verts, torch.tensor(vertices))].unbind(1)
    return (a + b + c) / 3, torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)


def region(body: EhmModel, name: str) -> torch.Tensor:
    """Return all vertices (N,) of the outside of a hand, the head, the torso (trunk and thighs) or a foot."""
    weight = body.lbs_weights
    joints = {
        "left_hand": [20, *HANDS["left"]], "right_hand": [21, *HANDS["right"]], "head": [15, 22, 23, 24],
        "torso": [0, 1, 2, 3, 6, 9], "left_foot": [7, 10], "right_foot": [8, 11],
    }[name]  # fmt: skip
    outside = [i for i, part in enumerate(body.part_names) if not part.startswith(("eye", "mouth", "tongue"))]
    used = torch.zeros(len(weight), dtype=torch.bool)
    used[body.faces[torch.isin(body.face_part, torch.tensor(outside))].flatten()] = True
    return ((weight[:, joints].sum(1) > 0.5) & used).nonzero()[:, 0]


def vertex_normals(verts: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Return unit normals (V, 3)."""
    a, b, c = verts[faces].unbind(1)
    face = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(verts)
    for k in range(3):
        total.index_add_(0, faces[:, k], face)
    return torch.nn.functional.normalize(total, dim=-1)


def walking(body: EhmModel, shape: Shape, frames: int = 75, squat: float = 0.0) -> tuple[Motion, np.ndarray]:
    """Make a walk in which the standing foot does not move at all, across the picture; or squats on the spot.

    The legs move in the sagittal plane. Knee and hip follow from the law of cosines for an ankle that
    stays where it is for 60 % of the cycle and swings in an arc for the rest; the foot keeps level.

    Args:
        squat: depth [m]; if given, both feet stand all the time.

    Returns:
        The motion, and (T, 2) bool: left, right foot stands.
    """
    rest = body.for_landmarks().with_shape_of(shape).with_pose(zero_pose()).joints[0].double().numpy()
    time = np.arange(frames) / FPS
    stride, lift, period, duty = 0.9 * (rest[1, 1] - rest[7, 1]), 0.08, 1.0, 0.6
    if squat:
        stride, lift = 0.0, 0.0
    ahead = stride / period * (time - time.mean())
    pose, stands = np.tile(standing(), (frames, 1, 1)), np.zeros((frames, 2), bool)
    drop = 0.05 - 0.012 * np.cos(4 * np.pi * time / period) + squat * np.sin(np.pi * time / time[-1]) ** 2
    for k, (hip, knee, ankle) in enumerate(((1, 4, 7), (2, 5, 8))):
        phase = time / period + 0.5 * k + 0.2
        cycle, part = np.floor(phase), phase % 1
        swing = np.clip((part - duty) / (1 - duty), 0, 1)
        eased = swing * swing * (3 - 2 * swing)
        # Where the foot stands: where the hip will be in the middle of the stand.
        stand = stride / period * ((cycle + duty / 2 - 0.5 * k - 0.2) * period - time.mean())
        stands[:, k] = (part < duty) | (squat > 0)
        forward = stand + stride * eased - ahead
        height = lift * np.sin(np.pi * swing) ** 2 + drop
        upper, lower = rest[knee] - rest[hip], rest[ankle] - rest[knee]
        x, y = forward + rest[ankle, 2] - rest[hip, 2], height + rest[ankle, 1] - rest[hip, 1]
        long, short, reach = np.hypot(*upper[1:]), np.hypot(*lower[1:]), np.hypot(x, y)
        assert (reach < long + short).all(), "the step is too long for the leg"
        bend = np.pi - np.arccos((long**2 + short**2 - reach**2) / (2 * long * short))
        ahead_of_line = np.arctan2(short * np.sin(bend), long + short * np.cos(bend))
        down = lambda v: np.arctan2(v[..., 0], -v[..., 1])  # noqa: E731  (angle of (z, y) from straight down)
        thigh = down(np.stack([x, y], -1)) + ahead_of_line
        shin = thigh - bend
        turn_thigh, turn_shin = thigh - down(upper[[2, 1]]), shin - down(lower[[2, 1]])
        # A turn by −angle about x moves what hangs down forward.
        pose[:, hip - 1, 0], pose[:, knee - 1, 0] = -turn_thigh, turn_thigh - turn_shin
        pose[:, ankle - 1, 0] = turn_shin
        pose[:, (16 + k) - 1] = roma.rotvec_composition(
            [torch.tensor([[0.35, 0.0, 0.0]]) * torch.from_numpy(np.float32(np.sin(2 * np.pi * phase)))[:, None],
             torch.from_numpy(standing()[(16 + k) - 1]).expand(frames, 3)]).numpy()  # fmt: skip
    across = np.stack([ahead, -drop, 0 * ahead], 1)  # facing +x after a quarter turn
    return make_motion(body, shape, pose, across, np.tile([0, np.pi / 2, 0], (frames, 1))), stands
