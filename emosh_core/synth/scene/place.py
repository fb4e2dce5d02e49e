"""Where walls may stand: behind the person, beside person and camera, never in front of them."""

from dataclasses import dataclass

import numpy as np

from emosh_core.synth.scene.shot import Shot

REACH = 0.95
"""Of arms and legs around the pelvis [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """A room's axes and how near its walls may come; `right` is the camera's right, `back` goes away from it."""

    origin: np.ndarray
    """(3,) on the floor under the person's mean place [m]."""
    right: np.ndarray
    """(3,) unit."""
    back: np.ndarray
    """(3,) unit."""
    back_least: float
    """A wall behind the person is at least so far along `back` from the origin [m]."""
    left_least: float
    """A wall to the left is at least so far from the origin [m]."""
    right_least: float
    ceiling_least: float
    """Height of a ceiling above the floor, at least [m]."""
    near: float
    """The cameras come as far as this along −`back` from the origin [m]."""

    def at(self, right: float, up: float, back: float) -> np.ndarray:
        """Return a place (3,) in world axes from coordinates in the room [m]."""
        return self.origin + right * self.right + back * self.back + np.array([0.0, up, 0.0])


def survey(shot: Shot, pelvis: np.ndarray, turn: float) -> Place:
    """Measure where the person and the cameras are.

    Args:
        pelvis: (T, 3) of the person [m].
        turn: how far the back wall is turned away from the camera's view [rad].
    """
    pelvis, centres = np.asarray(pelvis, np.float64), shot.centres
    origin = pelvis.mean(0) * [1, 0, 1]
    ahead = (origin - centres.mean(0)) * [1, 0, 1]
    heading = np.arctan2(ahead[0], ahead[2]) + turn
    back = np.array([np.sin(heading), 0, np.cos(heading)])
    right = np.cross(back, [0, 1, 0])
    person, cameras = pelvis - origin, centres - origin
    beside = np.concatenate([[np.abs(person @ right).max() + REACH]])
    return Place(
        origin=origin, right=right, back=back, back_least=float((person @ back).max() + REACH),
        left_least=float(max(beside[0], -(cameras @ right).min() + 0.4)),
        right_least=float(max(beside[0], (cameras @ right).max() + 0.4)),
        ceiling_least=float(max(centres[:, 1].max() + 0.25, pelvis[:, 1].max() + 1.35, 2.35)),
        near=float(-(cameras @ back).min()),
    )  # fmt: skip
