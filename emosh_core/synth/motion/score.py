"""What is performed, before it is known by whom: rotations, steps, a face, and what hands are to touch."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emosh_core.body.joints import EYES
from emosh_core.errors import ConfigError
from emosh_core.synth.motion.actions import MOVING, STANDING, Action, Touch
from emosh_core.synth.motion.channels import mix
from emosh_core.synth.motion.curves import ease
from emosh_core.synth.motion.face import live
from emosh_core.synth.motion.mannequin import perform

KINDS = (*STANDING, *MOVING)
OFTEN = {"talk": 2.0, "gesture": 3.0, "walk": 2.5, "dance": 2.0, "wave": 1.5, "idle": 0.6}
"""How often a kind is drawn against the others."""
TWO = 0.45
"""Share of clips on the spot in which a second action follows."""
FADE = 0.8
"""Length of the change from one action to the next [s]."""
TEMPO = (0.75, 1.3)
TEMPO_BINS, HELD_OUT = 11, {"val": (2, 7), "test": (4, 9)}
"""Tempos fall into bins; those of val and test occur in no clip of another split."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """A performance of T frames that any body can follow."""

    kind: str
    fps: float
    turns: np.ndarray
    """(T, 55, 3) axis-angle relative to the parents [rad]; the root's is away from facing +z."""
    place: np.ndarray
    """(T, 3) the pelvis away from where it stands upright [legs]."""
    ankles: np.ndarray
    """(T, 2, 3) left and right ankle [legs]; y over the floor."""
    planted: np.ndarray
    """(T, 2) bool: the foot is to stay where it is on the floor."""
    expression: np.ndarray
    """(T, 52)."""
    blink: np.ndarray
    """(T, 2) how far each eye is shut."""
    touches: tuple[Touch, ...] = ()

    def __len__(self) -> int:
        return len(self.turns)


def compose(rng: np.random.Generator, *, frames: int, fps: float, motion: str = "mixed", split: str = "train") -> Score:
    """Draw a performance.

    Args:
        motion: `mixed`, one of KINDS, or a BVH or mocap text file, or a folder of such files.
        split: whose tempos are used.

    Raises:
        ConfigError: the kind is unknown and there is no such file.
    """
    clock, tempo = np.arange(frames) / fps, _tempo(rng, split)
    if motion not in KINDS and motion != "mixed":
        from emosh_core.synth.motion.recorded import perform_recording

        if not Path(motion).exists():
            fix = f"{', '.join(KINDS)}, or a .bvh or mocap .txt file"
            raise ConfigError("synth.motion is neither a kind of motion nor a file", found=motion, fix=fix)
        recorded = perform_recording(rng, Path(motion), clock)
        return _with_face(rng, clock, fps, recorded, talks=rng.random() < 0.4)
    kind, action = _draw(rng, clock, tempo, motion)
    turns, place = perform(clock, action.feet, action.posture)
    score = Score(kind=kind, fps=fps, turns=turns, place=place, ankles=action.feet.ankle, planted=action.feet.planted,
                  expression=np.zeros((frames, 52)), blink=np.zeros((frames, 2)), touches=action.touches)  # fmt: skip
    return _with_face(rng, clock, fps, score, talks=action.talks)


def _tempo(rng: np.random.Generator, split: str) -> float:
    """Draw a tempo of a split: bins that belong to other splits are left out."""
    taken = {number for numbers in HELD_OUT.values() for number in numbers}
    bins = HELD_OUT.get(split, tuple(number for number in range(TEMPO_BINS) if number not in taken))
    place = (rng.choice(bins) + rng.random()) / TEMPO_BINS
    return float(TEMPO[0] * (TEMPO[1] / TEMPO[0]) ** place)


def _draw(rng: np.random.Generator, clock: np.ndarray, tempo: float, motion: str) -> tuple[str, Action]:
    weights = np.array([OFTEN.get(kind, 1.0) for kind in KINDS])
    kind = motion if motion != "mixed" else str(rng.choice(KINDS, p=weights / weights.sum()))
    action = (STANDING | MOVING)[kind](rng, clock, tempo)
    second = str(rng.choice(list(STANDING)))
    if motion != "mixed" or kind in MOVING or rng.random() > TWO or clock[-1] < 2.5 * FADE:
        return kind, action
    other = STANDING[second](rng, clock, tempo)
    change = ease((clock - rng.uniform(0.35, 0.6) * clock[-1]) / FADE)
    posture = mix([action.posture, other.posture], np.stack([1 - change, change], 1))
    touches = [replace(touch, weight=touch.weight * share) for part, share in ((action, 1 - change), (other, change))
               for touch in part.touches]  # fmt: skip
    both = replace(action, posture=posture, touches=tuple(touches), talks=action.talks or other.talks)
    return f"{kind}, then {second}", both


def _with_face(rng: np.random.Generator, clock: np.ndarray, fps: float, score: Score, *, talks: bool) -> Score:
    """Add expression, blinks, gaze and, in speech, nods."""
    head = score.turns[:, 12] + score.turns[:, 15]
    face = live(rng, clock, head * np.array([1, 1, 0]), talks, fps)
    turns = score.turns.copy()
    turns[:, 15] += face.nods
    for k, eye in enumerate(EYES):
        turns[:, eye] = face.eyes[:, k]
    return replace(score, turns=turns, expression=face.expression, blink=face.blink)
