"""How far human joints turn, and a soft stop before they turn farther.

A joint's rotation is a twist about its bone followed by a swing; each of the three components has its
range. Ranges are the normal values of the American Academy of Orthopaedic Surgeons (Joint Motion:
Method of Measuring and Recording, 1965; repeated in Norkin and White, Measurement of Joint Motion),
turned into the T-pose's axes, where arms lie along x, palms down, and everything else along y.
A range that is quoted for several joints together is shared out: spine1 to spine3, neck and head,
collar and shoulder, and the forearm's turn between elbow and wrist. Only the ankle bends farther up,
as it does under the body's weight (38°: Konor et al. 2012, Int. J. Sports Phys. Ther. 7:279).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from emosh_core.body.joints import JOINT_NAMES

MARGIN = 0.12  # of a range: the part of it in which motion is slowed down
HARD = 1e-6  # the same where a joint only must not turn too far
FREE = (-180, 180)
ALL = range(len(JOINT_NAMES))

# Degrees about x, y, z on the left side. Arms twist about x, the rest about y.
DEGREES = {
    "pelvis": (FREE, FREE, FREE),
    "spine1": ((-10, 30), (-15, 15), (-14, 14)), "spine2": ((-8, 26), (-15, 15), (-12, 12)),
    "spine3": ((-8, 26), (-16, 16), (-12, 12)), "neck": ((-24, 24), (-35, 35), (-22, 22)),
    "head": ((-24, 24), (-42, 42), (-22, 22)),
    "hip": ((-122, 30), (-45, 45), (-25, 47)), "knee": ((0, 142), (-12, 12), (-6, 6)),
    "ankle": ((-38, 50), (-18, 18), (-25, 25)), "foot": ((-68, 40), (-5, 5), (-5, 5)),
    "collar": ((-8, 8), (-22, 18), (-8, 32)),
    "shoulder": ((-95, 95), (-135, 45), (-100, 98)), "elbow": ((-85, 85), (-146, 2), (-6, 6)),
    "wrist": ((-25, 25), (-25, 32), (-75, 68)),
    "finger1": ((-12, 12), (-25, 25), (-92, 32)), "finger2": ((-6, 6), (-6, 6), (-105, 6)),
    "finger3": ((-6, 6), (-6, 6), (-82, 10)),
    "thumb1": ((-55, 55), (-55, 55), (-55, 55)), "thumb2": ((-50, 50), (-60, 60), (-50, 50)),
    "thumb3": ((-50, 50), (-80, 80), (-60, 60)), "jaw": ((0, 30), (-8, 8), (-8, 8)),
    "eye": ((-30, 30), (-38, 38), (-3, 3)),
}  # fmt: skip


def kind_of(joint: str) -> str:
    """Return a joint's key in DEGREES."""
    name = joint.removeprefix("left_").removeprefix("right_").removesuffix("_smplhf")
    if name[:-1] in ("index", "middle", "ring", "pinky"):
        return f"finger{name[-1]}"
    return name


@cache
def ranges() -> tuple[np.ndarray, np.ndarray]:
    """Return lowest and highest twist-and-swing components (55, 3) [rad]; right sides are mirrored."""
    rows = np.radians([DEGREES[kind_of(name)] for name in JOINT_NAMES])
    low, high = rows[..., 0].copy(), rows[..., 1].copy()
    right = [j for j, name in enumerate(JOINT_NAMES) if name.startswith("right")]
    low[right, 1:], high[right, 1:] = -high[right, 1:], -low[right, 1:]
    return low, high


@cache
def twist_axes() -> np.ndarray:
    """Return (55,) the axis along each joint's bone: 0 for arms and fingers, 1 for trunk, head and legs."""
    arms = ("collar", "shoulder", "elbow", "wrist", "finger", "thumb")
    return np.array([0 if kind_of(name).startswith(arms) else 1 for name in JOINT_NAMES])


def components(turns: np.ndarray, joints: Sequence[int] = ALL) -> np.ndarray:
    """Split rotations into twist and swing.

    Args:
        turns: (*, J, 3) axis-angle of these joints [rad].

    Returns:
        (*, J, 3): the twist at the place of its axis, and the two components of the swing's axis-angle [rad].
    """
    axes = np.broadcast_to(twist_axes()[list(joints), None], (*turns.shape[:-1], 1))
    swing, twist = _split(turns, axes)
    parts = swing.as_rotvec().reshape(turns.shape)
    np.put_along_axis(parts, axes, twist[..., None], -1)
    return parts


def limited(turns: np.ndarray, joints: Sequence[int] = ALL, margin: float = MARGIN) -> np.ndarray:
    """Return the rotations (*, J, 3) [rad] with every component inside its range.

    Up to a margin before a stop nothing changes; from there a component nears the stop and never reaches it.

    Args:
        joints: which these are.
        margin: as a share of the range, more than 0.
    """
    parts, rows = components(turns, joints), list(joints)
    low, high = (bound[rows] for bound in ranges())
    margin = margin * (high - low)
    over, under = (parts - (high - margin)).clip(0), ((low + margin) - parts).clip(0)
    held = parts - (over - margin * np.tanh(over / margin)) + (under - margin * np.tanh(under / margin))
    held = np.where((over == 0) & (under == 0), parts, held)
    axes = np.broadcast_to(twist_axes()[rows, None], (*turns.shape[:-1], 1))
    twist, swing = np.zeros_like(held), held.copy()
    np.put_along_axis(twist, axes, np.take_along_axis(held, axes, -1), -1)
    np.put_along_axis(swing, axes, 0.0, -1)
    both = Rotation.from_rotvec(swing.reshape(-1, 3)) * Rotation.from_rotvec(twist.reshape(-1, 3))
    result = both.as_rotvec().reshape(turns.shape)
    pelvis = np.asarray(rows) == 0  # the body as a whole may face anywhere
    result[..., pelvis, :] = turns[..., pelvis, :]
    return result


def _split(turns: np.ndarray, axes: np.ndarray) -> tuple[Rotation, np.ndarray]:
    """Return swings (N) and twists (*, J) [rad] with rotation = swing · twist."""
    whole = Rotation.from_rotvec(turns.reshape(-1, 3))
    quat = whole.as_quat(canonical=True)
    axes = axes.reshape(-1, 1)
    along = np.take_along_axis(quat, axes, -1)[:, 0]
    twist = 2 * np.arctan2(along, quat[:, 3])
    axis = np.zeros((len(quat), 3))
    np.put_along_axis(axis, axes, twist[:, None], -1)
    return whole * Rotation.from_rotvec(axis).inv(), twist.reshape(turns.shape[:-1])
