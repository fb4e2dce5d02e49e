"""What a face does: speech, expressions, blinks and gaze.

Gaze is in `eye_pose` alone, as in the tracker: the eyeLook units stay 0, and the lids follow the eyes
by the blink and wide units. The jaw is in the unit jawOpen alone; `jaw_pose` stays 0.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from emosh_core.body.assets import load_body
from emosh_core.synth.motion.curves import ease, events, hump, moves, smoothed, wander

# Mouth shapes of speech, as weights of expression units; both sides where a unit has two.
VISEMES = {
    "aa": {"jawOpen": 0.55, "mouthLowerDown": 0.25, "mouthUpperUp": 0.10},
    "eh": {"jawOpen": 0.30, "mouthStretch": 0.25, "mouthLowerDown": 0.22, "mouthSmile": 0.08},
    "ih": {"jawOpen": 0.16, "mouthStretch": 0.32, "mouthLowerDown": 0.20, "mouthSmile": 0.14},
    "oh": {"jawOpen": 0.38, "mouthFunnel": 0.45, "mouthPucker": 0.10},
    "oo": {"jawOpen": 0.14, "mouthPucker": 0.65, "mouthFunnel": 0.22},
    "mbp": {"mouthPress": 0.30, "mouthRollLower": 0.28, "mouthRollUpper": 0.22, "jawOpen": 0.0},
    "fv": {"jawOpen": 0.06, "mouthRollLower": 0.42, "mouthUpperUp": 0.22},
    "tdn": {"jawOpen": 0.12, "mouthLowerDown": 0.18, "mouthUpperUp": 0.10},
    "sz": {"jawOpen": 0.05, "mouthStretch": 0.22, "mouthLowerDown": 0.28, "mouthUpperUp": 0.12},
    "rest": {},
}  # fmt: skip
VOWELS, CONSONANTS = ("aa", "eh", "ih", "oh", "oo"), ("mbp", "fv", "tdn", "sz", "tdn", "rest")
MOODS = {
    "neutral": {}, "smile": {"mouthSmile": 0.55, "cheekSquint": 0.35, "eyeSquint": 0.18, "mouthDimple": 0.15},
    "grin": {"mouthSmile": 0.75, "cheekSquint": 0.5, "eyeSquint": 0.25, "mouthUpperUp": 0.3, "jawOpen": 0.08},
    "surprise": {"browInnerUp": 0.7, "browOuterUp": 0.6, "eyeWide": 0.5, "jawOpen": 0.22},
    "frown": {"browDown": 0.6, "mouthFrown": 0.35, "eyeSquint": 0.2, "mouthPress": 0.2},
    "doubt": {"browInnerUp": 0.4, "mouthFrown": 0.25, "mouthShrugLower": 0.35, "mouthShrugUpper": 0.15},
    "sneer": {"noseSneer": 0.45, "mouthUpperUp": 0.2, "browDown": 0.25, "eyeSquint": 0.2},
    "pout": {"mouthPucker": 0.4, "mouthShrugLower": 0.25}, "puff": {"cheekPuff": 0.6, "mouthPress": 0.25},
    "tongue": {"tongueOut": 0.8, "jawOpen": 0.35},
}  # fmt: skip
MOOD_ODDS = (0.26, 0.28, 0.10, 0.08, 0.08, 0.07, 0.04, 0.04, 0.03, 0.02)
SYLLABLES = (3.2, 6.5)  # [1/s]; speech has most of its energy at 3 to 7 (Chandrasekaran et al. 2009)
BLINKS = (1.2, 6.0)  # [s] between blinks; 10 to 20 a minute at rest, more in talk (Bentivoglio et al. 1997)
SACCADE = 0.05  # [s]
EYE_MOST = np.radians([22, 30])  # up and down, to the sides
LID_SHARE = 0.55  # of a blink, by which the lid follows an eye that looks straight down


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """Expression (T, 52), eyes (T, 2, 3) [rad], how far the lids of both eyes are shut (T, 2), nods (T, 3) [rad]."""

    expression: np.ndarray
    eyes: np.ndarray
    blink: np.ndarray
    nods: np.ndarray


@cache
def _rows() -> dict[str, list[int]]:
    """Return the units' rows, by name with and without the side."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(load_body().expression_names):
        rows.setdefault(name, []).append(row)
        if name.endswith(("Left", "Right")):
            rows.setdefault(name.removesuffix("Left").removesuffix("Right"), []).append(row)
    return rows


def weights(shape: dict[str, float]) -> np.ndarray:
    """Return a mouth shape or mood as expression weights (52,)."""
    values = np.zeros(sum(1 for name in load_body().expression_names))
    for name, weight in shape.items():
        values[_rows()[name]] = weight
    return values


def live(rng: np.random.Generator, clock: np.ndarray, head: np.ndarray, talking: bool, fps: float) -> Face:
    """Make a face for a clip.

    Args:
        head: (T, 3) how far the head is turned from what the eyes look at (pitch, yaw, roll) [rad].
    """
    expression, nods = _moods(rng, clock), np.zeros((len(clock), 3))
    if talking:
        speech, loud = _speech(rng, clock)
        expression = expression * (1 - 0.45 * loud[:, None] * _mouth_rows()) + speech
        nods = _nods(rng, clock, loud)
        expression += _brows(rng, clock)
    eyes, shifts = _gaze(rng, clock, head)
    blink = _blinks(rng, clock, shifts)
    _lids(expression, eyes, blink)
    expression = expression.clip(0, 1)
    mouth = expression * _mouth_rows()
    return Face(expression=np.where(_mouth_rows(), smoothed(mouth, 0.01 * fps), expression), eyes=eyes, blink=blink,
                nods=nods)  # fmt: skip


def _mouth_rows() -> np.ndarray:
    return np.array([name.startswith(("mouth", "jaw")) for name in load_body().expression_names])


def _moods(rng: np.random.Generator, clock: np.ndarray) -> np.ndarray:
    """Drift from one mood to the next, never the same on both sides."""
    draw = lambda: weights(MOODS[rng.choice(list(MOODS), p=MOOD_ODDS)]) * rng.uniform(0.4, 1.0) * rng.uniform(0.8, 1, 52)  # noqa: E731, E501
    strokes = [(t, t + rng.uniform(0.35, 0.9), draw()) for t in events(rng, clock, 1.2, 3.5)]
    flutter = np.abs(wander(rng, clock, 0.8, np.full(52, 0.02)))
    quiet = np.array([name.startswith(("eyeLook", "eyeBlink", "tongue")) for name in load_body().expression_names])
    return moves(clock, draw(), strokes) + np.where(quiet, 0, flutter)


def _speech(rng: np.random.Generator, clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mouth shapes (T, 52) and how loud the voice is (T,), in phrases with pauses between them."""
    loud, strokes = np.zeros(len(clock)), []
    now = clock[0] - rng.uniform(0, 1.0)
    while now < clock[-1]:
        stop = now + rng.uniform(0.9, 3.2)
        loud += hump(clock, now - 0.08, 0.16, stop - now - 0.16, 0.2)
        rate, effort = rng.uniform(*SYLLABLES), rng.uniform(0.65, 1.1)
        while now < stop:
            length = rng.uniform(0.75, 1.3) / rate
            sound = weights(VISEMES[rng.choice(CONSONANTS)]) * rng.uniform(0.7, 1.0)
            strokes.append((now, now + 0.45 * length, sound))
            vowel = weights(VISEMES[rng.choice(VOWELS)]) * effort * rng.uniform(0.6, 1.15)
            strokes.append((now + 0.4 * length, now + 0.95 * length, vowel))
            now += length
        strokes.append((stop, stop + 0.22, weights({})))
        now = stop + rng.uniform(0.2, 0.9)
    return moves(clock, weights({}), strokes), loud


def _nods(rng: np.random.Generator, clock: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """Move the head (T, 3) [rad] with the stress of what is said."""
    beats = np.zeros(len(clock))
    for time in events(rng, clock, 0.45, 1.6):
        rise = rng.uniform(0.14, 0.24)
        beats += hump(clock, time, rise, 0, 1.5 * rise) * rng.uniform(0.03, 0.11)
    sway = wander(rng, clock, 0.7, (0.025, 0.05, 0.03))
    sway[:, 0] += beats * loud
    return sway


def _brows(rng: np.random.Generator, clock: np.ndarray) -> np.ndarray:
    flash = weights({"browInnerUp": 0.5, "browOuterUp": 0.45, "eyeWide": 0.12})
    times = events(rng, clock, 1.0, 4.0)
    return sum((np.outer(hump(clock, t, 0.15, rng.uniform(0.1, 0.5), 0.3) * rng.uniform(0.4, 1), flash) for t in times),
               np.zeros((len(clock), 52)))  # fmt: skip


def _gaze(rng: np.random.Generator, clock: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eyes (T, 2, 3) [rad] and the times of large saccades.

    The eyes hold what they look at while the head turns, as far as they can; mostly it is straight ahead.
    """
    times = events(rng, clock, 0.25, 1.6)
    near = rng.normal(0, np.radians([2.5, 3.5]), (len(times), 2))
    away = rng.normal(0, np.radians([7, 14]), (len(times), 2)) * (rng.random(len(times)) < 0.3)[:, None]
    spots = near + away
    start = rng.normal(0, np.radians([3, 5]))
    target = moves(clock, start, [(t, t + SACCADE, spot) for t, spot in zip(times, spots)])
    sizes = np.linalg.norm(np.diff(np.vstack([start, spots]), axis=0), axis=1)
    held = EYE_MOST * np.tanh((target - head[:, :2]) / EYE_MOST)
    eyes = np.zeros((len(clock), 2, 3))
    eyes[:, :, :2] = held[:, None]
    eyes[:, :, 1] += np.radians([-1.2, 1.2])  # they meet a few metres ahead at the viewer
    return eyes, times[sizes > np.radians(10)] if len(times) else times


def _blinks(rng: np.random.Generator, clock: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return how far each eye is shut (T, 2); large saccades often come with a blink."""
    own = events(rng, clock, *BLINKS)
    times = np.sort(np.concatenate([own, shifts[rng.random(len(shifts)) < 0.4]]))
    times = times[np.append(True, np.diff(times) > 0.5)] if len(times) else times
    shut = np.zeros((len(clock), 2))
    for time in times:
        down, hold, up = rng.uniform(0.06, 0.1), rng.uniform(0.0, 0.05), rng.uniform(0.1, 0.2)
        full = 1.0 if rng.random() < 0.85 else rng.uniform(0.5, 0.9)
        shut += np.stack([hump(clock, time + late, down, hold, up) for late in (0, rng.uniform(0, 0.01))], -1) * full
    return shut.clip(0, 1)


def _lids(expression: np.ndarray, eyes: np.ndarray, blink: np.ndarray) -> None:
    """Write blinks, and lids that follow the eyes, into the expression."""
    low = ease((eyes[..., 0] / np.radians(30)).clip(0, 1)) * LID_SHARE
    high = (-eyes[..., 0] / np.radians(30)).clip(0, 1) * 0.4
    for k, side in enumerate(("Left", "Right")):
        row, wide = _rows()[f"eyeBlink{side}"][0], _rows()[f"eyeWide{side}"][0]
        expression[:, row] = 1 - (1 - blink[:, k]) * (1 - low[:, k])
        expression[:, wide] = (expression[:, wide] + high[:, k]) * (1 - blink[:, k])
        for name in ("eyeSquint",):
            expression[:, _rows()[f"{name}{side}"][0]] *= 1 - 0.7 * blink[:, k]
