"""Steps: where the feet stand, how they roll over heel and ball and how they swing to the next place.

Shares of the cycle and the order heel strike, flat, heel off, toe off are those of level walking
(Perry and Burnfield, Gait Analysis, 2010: about 60 % stance, 40 % swing).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emosh_core.synth.motion.channels import Footwork
from emosh_core.synth.motion.curves import ease

ANKLE_HEIGHT = 0.094  # [legs] over a flat sole; this and the next two of the mean embedded body
BALL = 0.185  # [legs] from the ankle forward to the ball
HEEL = 0.06  # [legs] from the ankle back to the heel
BEHIND = 0.03  # [legs] ankles stand behind the pelvis, so that the weight is over the foot
FLAT_FROM, FLAT_TO = 0.16, 0.52  # of a stand: the sole is down, the heel comes up
AFTER = 1e3  # [s] a stand that does not end
STEP = 1e-3  # [s] for the speed at the ends of a stand

Place = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Times (N,) [s] to where the body is on the ground (N, 3) [legs] and faces (N,) [rad]."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How somebody sets their feet."""

    width: float = 0.24
    """Between the ankles [legs]."""
    turnout: float = 0.12
    """Of each foot [rad]."""
    strike: float = 0.0
    """Toes up when the heel comes down [rad]."""
    push: float = 0.0
    """Heel up when the toes leave the floor [rad]."""
    lift: float = 0.08
    """Of the ankle at the middle of a swing, over the way between its ends [legs]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Foot:
    """A foot at some times: ankle (N, 3) [legs], heading, pitch and toe (N,) [rad], planted (N,) bool."""

    ankle: np.ndarray
    heading: np.ndarray
    pitch: np.ndarray
    toe: np.ndarray
    planted: np.ndarray


def stand_still(clock: np.ndarray, style: Style) -> Footwork:
    """Keep both feet where they are."""
    still = lambda times: (np.zeros((len(times), 3)), np.zeros(len(times)))  # noqa: E731
    return tread(clock, still, ([], []), style, np.zeros(len(clock)), np.zeros(len(clock)))


def tread(
    clock: np.ndarray, place: Place, swings: tuple[list, list], style: Style, phase: np.ndarray, vigour: np.ndarray,
    widths: Callable[[float], float] | None = None,
) -> Footwork:  # fmt: skip
    """Step along a path.

    Args:
        place: where the body is; a foot stands where the body is in the middle of its stand.
        swings: per foot (left, right) the times (lift, strike) [s] in order.
        phase, vigour: see `Footwork`.
        widths: the distance between the ankles of a stand whose middle is at a time; the style's by default.
    """
    root, yaw = place(clock)
    feet = [_foot(clock, place, swings[k], style, (1, -1)[k], widths) for k in range(2)]
    both = lambda name: np.stack([getattr(foot, name) for foot in feet], 1)  # noqa: E731
    return Footwork(
        root=root, yaw=yaw, ankle=both("ankle"), heading=both("heading"), pitch=both("pitch"), toe=both("toe"),
        planted=both("planted"), phase=phase, vigour=vigour,
    )  # fmt: skip


def alternate(begin: float, end: float, period: float, stance: float) -> tuple[list, list]:
    """Return the swings of left and right foot, half a period [s] apart, that end by `end` [s]."""
    starts = np.arange(begin, end, period)
    away = (1 - stance) * period
    both = [[(t + late, t + late + away) for t in starts if t + late + away <= end] for late in (0, period / 2)]
    return both[0], both[1]


def _foot(clock: np.ndarray, place: Place, swings: list, style: Style, side: int, widths) -> Foot:
    """Follow one foot through its stands and swings; `side` is 1 left, −1 right."""
    bounds = [-AFTER, *(t for swing in swings for t in swing), AFTER]
    stands = [(bounds[i], bounds[i + 1]) for i in range(0, len(bounds), 2)]
    spots = [_spot(place, stand, style, side, widths) for stand in stands]
    whole = Foot(ankle=np.zeros((len(clock), 3)), heading=np.zeros(len(clock)), pitch=np.zeros(len(clock)),
                 toe=np.zeros(len(clock)), planted=np.zeros(len(clock), bool))  # fmt: skip
    for k, stand in enumerate(stands):
        here = (clock >= stand[0]) & (clock <= stand[1])
        _fill(whole, here, _standing(clock[here], stand, spots[k], style))
        if k + 1 < len(stands):
            away = (clock > stand[1]) & (clock < stands[k + 1][0])
            _fill(whole, away, _swinging(clock[away], stands[k : k + 2], spots[k : k + 2], style))
    return whole


def _fill(whole: Foot, rows: np.ndarray, part: Foot) -> None:
    for name in ("ankle", "heading", "pitch", "toe", "planted"):
        getattr(whole, name)[rows] = getattr(part, name)


def _spot(place: Place, stand: tuple[float, float], style: Style, side: int, widths) -> tuple[np.ndarray, float]:
    """Return where a foot's ankle stands flat (3,) [legs] and where it points [rad]."""
    start, stop = stand
    middle = stop if start == -AFTER else start if stop == AFTER else (start + stop) / 2
    if start == -AFTER and stop == AFTER:
        middle = 0.0
    # A stand without an end is where the path rests.
    middle = -AFTER if start == -AFTER and stop != AFTER else AFTER if stop == AFTER and start != -AFTER else middle
    root, yaw = place(np.array([middle]))
    width = style.width if widths is None else widths(np.clip((start + stop) / 2, start + 0.2, stop - 0.2))
    aside = side * width / 2
    sine, cosine = np.sin(yaw[0]), np.cos(yaw[0])
    spot = root[0] * (1, 0, 1) + (aside * cosine - BEHIND * sine, ANKLE_HEIGHT, -aside * sine - BEHIND * cosine)
    return spot, yaw[0] + side * style.turnout


def _standing(times: np.ndarray, stand: tuple[float, float], spot: tuple[np.ndarray, float], style: Style) -> Foot:
    begin = stand[0] if stand[0] > -AFTER else min(stand[1], AFTER - 1) - 1.0
    end = stand[1] if stand[1] < AFTER else begin + 1.0
    share = (times - begin) / (end - begin)
    down = style.strike * (1 - ease(share / FLAT_FROM)) if stand[0] > -AFTER else 0.0
    up = style.push * np.clip((share - FLAT_TO) / (1 - FLAT_TO), 0, 1) ** 2.2 if stand[1] < AFTER else 0.0
    pitch = up - down + np.zeros(len(times))
    heading = np.full(len(times), spot[1])
    ankle = spot[0] + _rolled(pitch, heading)
    return Foot(ankle=ankle, heading=heading, pitch=pitch, toe=pitch.clip(0), planted=np.ones(len(times), bool))


def _rolled(pitch: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Return how far (N, 3) [legs] the ankle moves when the foot rolls over its ball (heel up) or its heel."""
    pivot = np.where(pitch > 0, BALL, -HEEL)
    sine, cosine = np.sin(pitch), np.cos(pitch)
    up = ANKLE_HEIGHT * (cosine - 1) + pivot * sine
    ahead = ANKLE_HEIGHT * sine + pivot * (1 - cosine)
    return np.stack([ahead * np.sin(heading), up, ahead * np.cos(heading)], -1)


def _swinging(times: np.ndarray, stands: list, spots: list, style: Style) -> Foot:
    """Carry a foot on with the speed at which it left the floor, to come down with that of the next stand."""
    lift, strike = stands[0][1], stands[1][0]
    share, length = (times - lift) / (strike - lift), strike - lift

    def at(time: float, k: int) -> np.ndarray:
        foot = _standing(np.array([time]), stands[k], spots[k], style)
        return np.concatenate([foot.ankle[0], foot.heading, foot.pitch])

    ends = at(lift, 0), at(strike, 1)
    ends[1][3] = ends[0][3] + (ends[1][3] - ends[0][3] + np.pi) % (2 * np.pi) - np.pi
    left = (ends[0] - at(lift - STEP, 0)) / STEP * length
    right = (at(strike + STEP, 1) - at(strike, 1)) / STEP * length
    values = _quintic(share, ends[0], left, ends[1], right)
    values[:, 1] += style.lift * 64 * (share * (1 - share)) ** 3
    toe = ends[0][4].clip(0) * (1 - ease(share * 2.2))
    return Foot(ankle=values[:, :3], heading=values[:, 3], pitch=values[:, 4], toe=toe,
                planted=np.zeros(len(times), bool))  # fmt: skip


def _quintic(share: np.ndarray, start, speed_start, stop, speed_stop) -> np.ndarray:
    """Return (N, D): the quintic with these values and speeds, and no acceleration, at both ends."""
    s = share[:, None]
    way = s**3 * (10 - 15 * s + 6 * s * s)
    first = s - s**3 * (6 - 8 * s + 3 * s * s)
    last = s**3 * (-4 + 7 * s - 3 * s * s)
    return start + way * (stop - start) + first * speed_start + last * speed_stop
