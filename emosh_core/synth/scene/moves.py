"""How a camera moves during a clip: curves over the frames, before it is known where the camera stands."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

SHAKE = (0.35, 1.6)
"""Standard deviation of a hand-held camera in each direction, for a shorter side of 256 [px]."""
SHAKE_BAND = (0.3, 3.5)
"""Frequencies of a hand-held camera [Hz]; shake above is blur rather than movement."""
PAN, PAN_PACE = (0.08, 0.26), 0.1
"""How far the picture pans or tilts over its shorter side, and at most per second."""
ZOOM, ZOOM_PACE = (1.12, 1.5), 1.2
"""Ratio of the focal lengths at the ends, and at most per second."""
DOLLY, DOLLY_PACE = (1.1, 1.35), 1.12
"""Ratio of the distances at the ends, and at most per second."""
ORBIT, ORBIT_PACE = (6.0, 24.0), 9.0
"""Angle around the person [deg], and at most per second."""
LAG = 0.45
"""A camera that follows sees the path smoothed by a Gaussian of this standard deviation [s]."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """What a camera does beside standing where it stands; all (T,)."""

    yaw: np.ndarray
    """Turns to the left of the picture [rad]."""
    pitch: np.ndarray
    """Turns down [rad]."""
    roll: np.ndarray
    """Turns clockwise [rad]."""
    zoom: np.ndarray
    """Logarithm of the factor on the focal length; its middle is 0."""
    dolly: np.ndarray
    """Logarithm of the factor on the distance."""
    orbit: np.ndarray
    """Goes around the person, from the world's +z towards +x [rad]."""


def draw_move(
    rng: np.random.Generator, moves: str, count: int, fps: float, size: tuple[int, int], focal: float
) -> Move:
    """Draw what a camera does in `count` frames.

    Args:
        moves: one of `shot.Moves`; "still" and "follow" do nothing here.
        size: width and height of the picture [px].
        focal: focal length [px].
    """
    curves = {name: np.zeros(count) for name in ("yaw", "pitch", "roll", "zoom", "dolly", "orbit")}
    seconds = count / fps
    ramp = _ramp(rng, count) * rng.choice([-1, 1])

    def ratio(bounds: tuple[float, float], pace: float) -> float:
        return min(np.log(rng.uniform(*bounds)), np.log(pace) * seconds)

    if moves in ("pan", "tilt"):
        share = min(rng.uniform(*PAN), PAN_PACE * seconds)
        curves["yaw" if moves == "pan" else "pitch"] = ramp * share * min(size) / focal
    elif moves == "zoom":
        curves["zoom"] = ramp * ratio(ZOOM, ZOOM_PACE)
    elif moves == "dolly":
        curves["dolly"] = ramp * ratio(DOLLY, DOLLY_PACE)
    elif moves == "orbit":
        curves["orbit"] = ramp * np.radians(min(rng.uniform(*ORBIT), ORBIT_PACE * seconds))
    elif moves == "hand-held":
        angle = np.exp(rng.uniform(*np.log(SHAKE))) * min(size) / 256 / focal
        curves["yaw"], curves["pitch"] = angle * sway(rng, count, fps), angle * sway(rng, count, fps)
        # A wrist turns the picture less than it shifts it: at the rim the roll is about as large as the shift.
        curves["roll"] = 0.5 * angle * 2 * focal / max(size) * sway(rng, count, fps)
    return Move(**curves)


def sway(rng: np.random.Generator, count: int, fps: float) -> np.ndarray:
    """Return band-limited noise (T,) of about unit variance that is stronger at low frequencies."""
    frequency = np.exp(np.linspace(*np.log(SHAKE_BAND), 12)) * rng.uniform(0.93, 1.07, 12)
    frequency = frequency[frequency < fps / 2]
    strength = frequency**-0.6
    strength *= np.sqrt(2 / (strength**2).sum())
    phase = 2 * np.pi * (frequency[:, None] * np.arange(count) / fps + rng.random((len(frequency), 1)))
    return strength @ np.sin(phase)


def follow_path(places: np.ndarray, fps: float) -> np.ndarray:
    """Return where a camera that follows looks (T, 3), for somebody who is at `places` (T, 3) [m]."""
    return gaussian_filter1d(places, LAG * fps, axis=0, mode="nearest")


def _ramp(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return a curve from −½ to ½ that starts and stops softly somewhere in the clip."""
    start, stop = rng.uniform(0, 0.25), rng.uniform(0.75, 1)
    at = np.clip((np.arange(count) / max(count - 1, 1) - start) / (stop - start), 0, 1)
    return at * at * (3 - 2 * at) - 0.5
