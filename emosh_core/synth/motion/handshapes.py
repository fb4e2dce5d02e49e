"""Shapes of the hand, in the left hand's axes: palm down, fingers along x, thumb forward."""

import numpy as np

from emosh_core.synth.motion.curves import wander

# Curl of index, middle, ring, pinky (0 straight, 1 closed), spread (1 splayed), and the thumb:
# out (1 away from the palm's edge), across (1 in front of the palm, −1 in its plane), bent (1 tip bent in).
SHAPES = {
    "relaxed": ((0.22, 0.30, 0.36, 0.40), 0.25, (0.35, 0.25, 0.25)),
    "soft": ((0.12, 0.18, 0.22, 0.24), 0.35, (0.45, 0.20, 0.20)),
    "flat": ((0.02, 0.02, 0.03, 0.04), 0.10, (0.30, -0.90, 0.00)),
    "splayed": ((-0.05, -0.04, -0.03, 0.00), 1.00, (0.95, 0.00, 0.00)),
    "fist": ((0.97, 1.00, 1.00, 1.00), 0.00, (0.15, 0.95, 0.60)),
    "point": ((0.03, 0.92, 1.00, 1.00), 0.00, (0.20, 0.85, 0.55)),
    "pinch": ((0.52, 0.40, 0.34, 0.28), 0.40, (0.35, 0.80, 0.35)),
    "thumb_up": ((0.97, 1.00, 1.00, 1.00), 0.00, (1.00, -0.25, -0.10)),
    "one": ((0.00, 0.95, 1.00, 1.00), 0.10, (0.15, 0.90, 0.60)),
    "two": ((0.00, 0.00, 0.95, 1.00), 0.80, (0.15, 0.95, 0.65)),
    "three": ((0.00, 0.00, 0.00, 0.95), 0.60, (0.15, 0.95, 0.70)),
    "four": ((0.00, 0.00, 0.00, 0.02), 0.60, (0.10, 1.00, 0.70)),
    "cup": ((0.35, 0.38, 0.40, 0.42), 0.30, (0.45, 0.60, 0.25)),
    "claw": ((0.42, 0.42, 0.42, 0.42), 0.80, (0.80, 0.35, 0.45)),
}  # fmt: skip
ROWS = {"index": 0, "middle": 3, "pinky": 6, "ring": 9, "thumb": 12}  # of the 15 joints
CLOSED = np.radians([72, 98, 62])  # of knuckle, middle and end joint of a curled finger
SPREAD = {"index": 0.20, "middle": 0.02, "ring": -0.14, "pinky": -0.30}  # [rad] towards the thumb
LIVE = 0.035  # [rad] fingers are never quite still


def shape(name: str) -> np.ndarray:
    """Return a hand shape as axis-angle (15, 3) [rad]."""
    curls, spread, thumb = SHAPES[name]
    turns = np.zeros((15, 3))
    for finger, curl in zip(("index", "middle", "ring", "pinky"), curls):
        first = ROWS[finger]
        turns[first : first + 3, 2] = -curl * CLOSED
        # Curled fingers cannot be spread: their knuckles' side ligaments are tight.
        turns[first, 1] = -spread * SPREAD[finger] * (1 - 0.8 * max(curl, 0))
    out, across, bent = thumb
    # The saddle joint: out turns the thumb forward off the hand's edge, across swings it under the palm.
    turns[12] = (0.35 * across, -0.35 * out + 0.30 * across, -0.45 * across)
    turns[13] = THUMB_BEND * 0.55 * (0.35 * across + bent)
    turns[14] = THUMB_BEND * 0.95 * bent
    return turns


THUMB_BEND = np.array([0.45, 0.75, -0.30])  # axis that takes the thumb's tip to the palm


def livened(rng: np.random.Generator, clock: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Let the fingers of a hand (T, 15, 3) play a little around what they do."""
    finger = np.repeat(wander(rng, clock, 0.9, np.full(5, LIVE)), 3, axis=1)
    alive = turns.copy()
    alive[..., 2] -= finger * np.tile([0.6, 1.0, 0.7], 5) * np.repeat([1, 1, 1, 1, 0.3], 3)
    return alive
