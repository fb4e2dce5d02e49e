"""From a choreographer's terms to joint rotations, on a body of mean proportions.

Arms and legs are two bones each: the middle joint opens by the law of cosines, the plane in which they
bend comes from the elbow's swivel and from where the foot points.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from emosh_core.body.assets import load_body
from emosh_core.body.joints import HANDS, PARENTS
from emosh_core.synth.motion.channels import Footwork, Posture
from emosh_core.synth.motion.curves import smoothed
from emosh_core.synth.motion.limits import limited

SPINE = (0.36, 0.30, 0.34)  # shares of spine1, spine2, spine3 in a bend of the trunk
NECK = 0.45  # of a turn of the head
STRAIGHT = 0.996  # of a stretched limb; no limb of a living body is straighter
FOREARM = 0.6  # of a turn of the palm is made at the elbow, the rest at the wrist
MIRROR = np.array([1.0, -1.0, -1.0])  # axis-angle of the left side to the right side's
ACROSS = np.array([-1.0, 1.0, 1.0])  # a vector of the left side to the right side's
ELBOW = np.array([0.45, -1.0, -0.45])  # where an elbow points that nobody turns
TURNING = 0.07  # [s] standard deviation of the blur of a forearm's turn
SETTLE = 0.05  # [s] over which the pelvis gives way to legs that are too short


@dataclass(frozen=True, kw_only=True, eq=False)
class Proportions:
    """Joints in the T-pose away from the pelvis (55, 3) and what they are measured in [m]."""

    joints: np.ndarray
    leg: float
    arm: float
    standing: float
    """Height of the pelvis over the floor [legs]."""


@cache
def proportions() -> Proportions:
    """Return those of the embedded body's mean."""
    body = load_body()
    shaped = body.with_shape(torch.zeros(body.body_dirs.shape[-1]), torch.zeros(body.head_dirs.shape[-1]))
    joints = shaped.place_joints(torch.eye(3).expand(1, 55, 3, 3), torch.zeros(1, 3))[1][0].double().numpy()
    length = lambda *chain: sum(np.linalg.norm(joints[a] - joints[b]) for a, b in pairwise(chain))  # noqa: E731
    leg = length(1, 4, 7)
    return Proportions(
        joints=(joints - joints[0]) / leg, leg=leg, arm=length(16, 18, 20),
        standing=(joints[0, 1] - joints[7, 1]) / leg + 0.094,
    )  # fmt: skip


def perform(clock: np.ndarray, feet: Footwork, posture: Posture) -> tuple[np.ndarray, np.ndarray]:
    """Turn channels into rotations.

    Args:
        clock: (T,) [s].

    Returns:
        Axis-angle (T, 55, 3) relative to the parents [rad], face and eyes zero, and the pelvis away from
        its standing place (T, 3) [legs].
    """
    turns = np.zeros((len(clock), 55, 3))
    rate = 1 / (clock[1] - clock[0]) if len(clock) > 1 else 30.0
    heading = _about("y", feet.yaw)
    pelvis = heading * _euler(posture.tilt)
    turns[:, 0] = pelvis.as_rotvec()
    chest = pelvis
    for joint, share in zip((3, 6, 9), SPINE):
        bend = _euler(share * posture.spine)
        turns[:, joint], chest = bend.as_rotvec(), chest * bend
    for joint, share in ((12, NECK), (15, 1 - NECK)):
        turns[:, joint] = _euler(share * posture.head).as_rotvec()
    for k in range(2):
        _arm(turns, k, chest, heading, posture, TURNING * rate)
        turns[:, list(HANDS[("left", "right")[k]])] = posture.fingers[:, k] * (1, MIRROR)[k]
    place = feet.root * (1, 0, 1) + heading.apply(posture.sway)
    place[:, 1] += feet.root[:, 1]
    body = proportions()
    place[:, 1] -= reach_down(place, pelvis, feet.ankle, body, SETTLE * rate)
    for k in range(2):
        foot = _about("y", feet.heading[:, k]) * _about("x", feet.pitch[:, k])
        ahead = _about("y", feet.heading[:, k]).apply([0.0, 0.0, 1.0]) + 0.5 * pelvis.apply([0.0, 0.0, 1.0])
        bend_leg(turns, k, place, pelvis, feet.ankle[:, k], foot, ahead, body)
        turns[:, 10 + k] = _about("x", -feet.toe[:, k]).as_rotvec()
    return limited(turns), place


def walk_chain(turns: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chain rotations (T, 55, 3) [rad]: joints (T, 55, 3) away from the pelvis and rotations (T, 55, 3, 3).

    Args:
        joints: (55, 3) of the T-pose, in the unit of the result.
    """
    local = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(*turns.shape, 3)
    placed, turned = np.zeros(turns.shape), local.copy()
    for joint, parent in enumerate(PARENTS[1:], 1):
        turned[:, joint] = turned[:, parent] @ local[:, joint]
        placed[:, joint] = placed[:, parent] + turned[:, parent] @ (joints[joint] - joints[parent])
    return placed, turned


def _about(axis: str, angle: np.ndarray) -> Rotation:
    return Rotation.from_rotvec(np.multiply.outer(angle, np.eye(3)["xyz".index(axis)]))


def _euler(angles: np.ndarray) -> Rotation:
    """Turn round (y), then bend forward (x) and to the side (z) in the turned axes."""
    return Rotation.from_euler("YXZ", angles[:, [1, 0, 2]])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _columns(*axes: np.ndarray) -> Rotation:
    return Rotation.from_matrix(np.stack(axes, -1))


def _opened(
    line: np.ndarray, aside: np.ndarray, upper: float, lower: float, frames: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit directions of a limb's two bones.

    Args:
        line: (T, 3) from root to end, within reach.
        aside: (T, 3) roughly where the middle joint goes.
        frames: standard deviation over which that is blurred: along the line it has no direction, and would flip.
    """
    length = np.linalg.norm(line, axis=-1, keepdims=True)
    along = line / length
    across = lambda v: v - (v * along).sum(-1, keepdims=True) * along  # noqa: E731
    aside = _unit(across(smoothed(across(aside), frames)))
    cosine = np.clip((upper**2 + length**2 - lower**2) / (2 * upper * length), -1, 1)
    first = cosine * along + np.sqrt(1 - cosine**2) * aside
    return first, _unit(line - upper * first)


def _reach(line: np.ndarray, upper: float, lower: float) -> np.ndarray:
    """Shorten or lengthen (T, 3) softly to what two bones can span."""
    longest, shortest = STRAIGHT * (upper + lower), abs(upper - lower) + 0.25 * min(upper, lower)
    length = np.linalg.norm(line, axis=-1, keepdims=True)
    soft = 0.06 * longest
    over = (length - (longest - soft)).clip(0)
    wanted = np.where(over > 0, longest - soft + soft * np.tanh(over / soft), length)
    return line / np.maximum(length, 1e-6) * np.maximum(wanted, shortest)


def _arm(
    turns: np.ndarray, k: int, chest: Rotation, heading: Rotation, posture: Posture, frames: float
) -> None:
    """Set collar, shoulder, elbow and wrist of an arm; computed as a left arm and mirrored."""
    body = proportions()
    flip = (np.ones(3), ACROSS)[k]
    collar, shoulder, elbow, wrist = (j + k for j in (13, 16, 18, 20))
    ends = ((collar, shoulder), (shoulder, elbow), (elbow, wrist))
    bones = [(body.joints[b] - body.joints[a]) * flip for a, b in ends]
    upright = (chest.inv() * heading).apply(posture.wrist[:, k] * flip) * flip
    share = posture.hang[:, k, None]
    target = (share * upright + (1 - share) * posture.wrist[:, k]) * body.arm / body.leg
    raised = _unit(target)
    # The shoulder blade turns with the arm: about a third of the lift beyond 30° (Inman et al. 1944), some reach.
    lift, reach = np.arcsin(raised[:, 1].clip(-1, 1)), raised[:, 2]
    blade = Rotation.from_rotvec(np.stack([0 * lift, -0.22 * reach, 0.12 * (lift + 1.05).clip(0) ** 1.5], -1))
    moved = blade.apply(bones[0]) - bones[0]
    upper, lower = np.linalg.norm(bones[1]), np.linalg.norm(bones[2])
    line = _reach(target - moved, upper, lower)
    swivel = Rotation.from_rotvec(_unit(line) * posture.swivel[:, k, None])
    first, second = _opened(line, swivel.apply(ELBOW), upper, lower, frames)
    hinge = _unit(np.cross(first, second))
    arm = _columns(first, -hinge, np.cross(first, -hinge))
    bend = np.arccos((first * second).sum(-1).clip(-1, 1))
    forearm = arm * _about("y", -bend)
    turn = _pronation(forearm, posture.palm[:, k], frames)
    hand = Rotation.from_rotvec(np.stack([(1 - FOREARM) * turn, -posture.bend[:, k, 1], -posture.bend[:, k, 0]], -1))
    parts = (blade, blade.inv() * arm, _about("y", -bend) * _about("x", FOREARM * turn), hand)
    for joint, part in zip((collar, shoulder, elbow, wrist), parts):
        turns[:, joint] = part.as_rotvec() * (1, MIRROR)[k]


def _pronation(forearm: Rotation, palm: np.ndarray, frames: float) -> np.ndarray:
    """Return by how much (T,) [rad] the forearm turns about itself for the palm to face a direction (T, 3)."""
    # A palm that is to face along the forearm would flip: what is wanted is blurred over time.
    local = smoothed(forearm.inv().apply(palm), frames)
    # The palm faces −y at 0; a turn by φ about x takes it to (0, −cos φ, −sin φ).
    angle = np.unwrap(np.arctan2(-local[:, 2], -local[:, 1]))
    angle -= 2 * np.pi * np.round(np.median(angle) / (2 * np.pi))
    return smoothed(1.45 * np.tanh(angle / 1.45), frames)


def reach_down(
    place: np.ndarray, pelvis: Rotation, ankles: np.ndarray, body: Proportions, frames: float = 1.5
) -> np.ndarray:
    """Return how far (T,) [legs] the pelvis must come down for both legs to reach the ankles.

    Args:
        place: (T, 3) the pelvis away from its standing place [legs].
        ankles: (T, 2, 3) [legs], y over the floor.
        frames: standard deviation over which the pelvis settles.
    """
    need = np.zeros(len(place))
    for k in range(2):
        hip = place + pelvis.apply(body.joints[1 + k])
        across = np.linalg.norm((hip - ankles[:, k])[:, [0, 2]], axis=-1)
        highest = ankles[:, k, 1] + np.sqrt((STRAIGHT**2 - across**2).clip(0.1))
        need = np.maximum(need, hip[:, 1] + body.standing - highest)
    return np.maximum(smoothed(need, frames), need)


def bend_leg(
    turns: np.ndarray, k: int, place: np.ndarray, pelvis: Rotation, ankle_at: np.ndarray, foot: Rotation,
    ahead: np.ndarray, body: Proportions,
) -> None:  # fmt: skip
    """Set hip, knee and ankle of a leg in `turns`, in place.

    Args:
        ankle_at: (T, 3) where the ankle is to be [legs], y over the floor.
        foot: (T) how the foot is turned in the world.
        ahead: (T, 3) roughly where the knee points.
    """
    hip, knee, ankle = (j + k for j in (1, 4, 7))
    upper, lower = (np.linalg.norm(body.joints[b] - body.joints[a]) for a, b in ((hip, knee), (knee, ankle)))
    root = place + pelvis.apply(body.joints[hip]) + (0, body.standing, 0)
    line = ankle_at - root
    length = np.linalg.norm(line, axis=-1)
    line = line * (length.clip(0.3 * (upper + lower), STRAIGHT * (upper + lower)) / length)[:, None]
    first, second = _opened(line, ahead, upper, lower)
    hinge = _unit(np.cross(ahead, line))  # x of a leg that hangs, positive to the left
    hinge = _unit(hinge - (hinge * first).sum(-1, keepdims=True) * first)
    thigh = _columns(hinge, -first, np.cross(hinge, -first))
    bend = np.arccos((first * second).sum(-1).clip(-1, 1))
    shank = thigh * _about("x", bend)
    for joint, part in zip((hip, knee, ankle), (pelvis.inv() * thigh, _about("x", bend), shank.inv() * foot)):
        turns[:, joint] = part.as_rotvec()
