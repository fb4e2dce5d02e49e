"""What a behaviour says, in terms a choreographer would use; `emosh_core.synth.motion.mannequin` makes rotations of it.

Lengths are in legs (hip to ankle) or arms (shoulder to wrist), so that any body can follow. Both sides
use the left side's axes: outward, up, forward; the right side is its mirror image.
"""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Footwork:
    """Where the body stands and steps. Ground axes: x to the left, z forward at the beginning."""

    root: np.ndarray
    """(T, 3) where the body is on the ground; y is how far it has jumped [legs]."""
    yaw: np.ndarray
    """(T,) where the body faces, 0 is +z, positive to its left [rad]."""
    ankle: np.ndarray
    """(T, 2, 3) left and right ankle [legs]; y over the floor."""
    heading: np.ndarray
    """(T, 2) where each foot points [rad]."""
    pitch: np.ndarray
    """(T, 2) of the foot, positive with the heel up [rad]."""
    toe: np.ndarray
    """(T, 2) toes bent up against the foot [rad]."""
    planted: np.ndarray
    """(T, 2) bool: heel or ball is to stay where it is on the floor."""
    phase: np.ndarray
    """(T,) of the cycle of steps [rad], 0 where the left foot is in the middle of its stand; constant when standing."""
    vigour: np.ndarray
    """(T,) 0 standing, 1 stepping: how much of arm swing and sway belongs to steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Posture:
    """What the body does above its feet."""

    sway: np.ndarray
    """(T, 3) pelvis away from its standing place, in the body's heading [legs]."""
    tilt: np.ndarray
    """(T, 3) pelvis turned about x (forward bend), y (to the left), z (to its right, left side up) [rad]."""
    spine: np.ndarray
    """(T, 3) chest against pelvis, likewise [rad]."""
    head: np.ndarray
    """(T, 3) head against chest, likewise [rad]."""
    wrist: np.ndarray
    """(T, 2, 3) from the shoulder: outward, up, forward [arms]."""
    hang: np.ndarray
    """(T, 2) 1 where "up" of the wrist means away from the floor, 0 where it means along the chest."""
    swivel: np.ndarray
    """(T, 2) elbow turned about the line from shoulder to wrist, positive outward and up [rad]."""
    palm: np.ndarray
    """(T, 2, 3) direction in which the palm faces, as far as the forearm can turn."""
    bend: np.ndarray
    """(T, 2, 2) wrist: flexion towards the palm, deviation towards the thumb [rad]."""
    fingers: np.ndarray
    """(T, 2, 15, 3) axis-angle in the left hand's axes [rad]."""


def mix(parts: list[Posture], shares: np.ndarray) -> Posture:
    """Mix postures (N) by shares (T, N) whose rows add up to 1."""
    weighted = lambda name: sum(  # noqa: E731
        (value := getattr(part, name)) * shares[:, k].reshape((-1,) + (1,) * (value.ndim - 1))
        for k, part in enumerate(parts)
    )
    return Posture(**{field.name: weighted(field.name) for field in fields(Posture)})
