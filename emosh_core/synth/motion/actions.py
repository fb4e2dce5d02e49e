"""What people do: every action draws its own tempo, size, sides and habits, and never freezes face or fingers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emosh_core.synth.motion.channels import Footwork, Posture
from emosh_core.synth.motion.curves import ease, events, hump, moves, wander
from emosh_core.synth.motion.footwork import Style, alternate, stand_still, tread
from emosh_core.synth.motion.handshapes import SHAPES, livened, shape

LEFT, RIGHT = 0, 1
INWARD, DOWN, FORWARD, UP, BACK = (-1.0, 0, 0.15), (0, -1.0, 0.1), (0, 0.2, 1.0), (0, 1.0, 0.2), (0.1, 0, -1.0)
"""Where palms face, in the left side's axes: outward, up, forward."""
HANGING = np.array([0.16, -0.96, 0.06])


@dataclass(frozen=True, kw_only=True, eq=False)
class Touch:
    """A hand that is to meet something."""

    hand: int
    target: str
    """`hand` (the other one), `cheek`, `chin`, `head` or `hip`."""
    weight: np.ndarray
    """(T,) 0..1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Action:
    """What somebody does in a clip."""

    feet: Footwork
    posture: Posture
    talks: bool = False
    touches: tuple[Touch, ...] = ()


def _calm(rng: np.random.Generator, clock: np.ndarray) -> Posture:
    """Stand, breathe, shift the weight, let the arms hang."""
    count = len(clock)
    breath = 0.012 * np.sin(2 * np.pi * rng.uniform(0.2, 0.35) * clock + rng.uniform(0, 6))
    spine = wander(rng, clock, 0.25, np.radians([1.2, 2.0, 1.2])) + np.radians(rng.normal([3, 0, 0], [3, 3, 1.5]))
    spine[:, 0] -= breath
    wrist = np.tile(HANGING, (count, 2, 1)) + wander(rng, clock, 0.4, np.full((2, 3), 0.012))
    wrist += rng.normal(0, [0.03, 0.01, 0.04], (2, 3))
    hands = [rng.choice(["relaxed", "soft", "cup"]) for _ in range(2)]
    fingers = np.stack([livened(rng, clock, np.tile(shape(name), (count, 1, 1))) for name in hands], 1)
    sway = wander(rng, clock, 0.3, (0.018, 0.002, 0.010))
    sway[:, 1] -= 0.012
    return Posture(
        sway=sway, tilt=wander(rng, clock, 0.3, np.radians([0.8, 1.5, 0.8])), spine=spine,
        head=wander(rng, clock, 0.35, np.radians([2.5, 5, 1.8])) + np.radians(rng.normal(0, [3, 4, 2])),
        wrist=wrist, hang=np.ones((count, 2)), swivel=wander(rng, clock, 0.3, np.full(2, 0.05)),
        palm=np.tile(np.array(INWARD), (count, 2, 1)), bend=wander(rng, clock, 0.5, np.full((2, 2), 0.05)),
        fingers=fingers,
    )  # fmt: skip


def _style(rng: np.random.Generator, **change: float) -> Style:
    return replace(Style(width=rng.uniform(0.18, 0.34), turnout=rng.uniform(0.02, 0.25)), **change)


def _still(rng: np.random.Generator, clock: np.ndarray) -> Footwork:
    return stand_still(clock, _style(rng))


def _arms(rng: np.random.Generator, clock: np.ndarray, base: Posture, side: int, strokes: list) -> Posture:
    """Move one arm through strokes (begin, end, wrist (3,), palm (3,), hand shape, swivel); it starts hanging."""
    wrist, palm, swivel, fingers = base.wrist.copy(), base.palm.copy(), base.swivel.copy(), base.fingers.copy()
    zero = np.zeros(3)
    at = lambda k: [(b, e, s[k]) for b, e, *s in strokes]  # noqa: E731
    away = lambda spot: float(np.linalg.norm(np.subtract(spot, HANGING)) > 0.2)  # noqa: E731
    raised = moves(clock, 0.0, [(b, e, away(w)) for b, e, w in at(0)])
    wrist[:, side] += moves(clock, zero, [(b, e, np.subtract(w, HANGING)) for b, e, w in at(0)])
    palm[:, side] = moves(clock, np.array(INWARD), at(1))
    swivel[:, side] += moves(clock, 0.0, at(3))
    held = moves(clock, shape("relaxed"), [(b, e, shape(name)) for b, e, name in at(2)])
    fingers[:, side] += (livened(rng, clock, held) - fingers[:, side]) * raised.clip(0, 1)[:, None, None]
    hang = base.hang.copy()
    hang[:, side] = 1 - 0.6 * raised.clip(0, 1)
    return replace(base, wrist=wrist, palm=palm, swivel=swivel, fingers=fingers, hang=hang)


def idle(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Wait and look around."""
    return Action(feet=_still(rng, clock), posture=_looking(rng, clock, _calm(rng, clock), tempo))


def _looking(rng: np.random.Generator, clock: np.ndarray, base: Posture, tempo: float) -> Posture:
    times = events(rng, clock, 0.9 / tempo, 2.6 / tempo)
    spots = [np.radians(rng.normal(0, [7, 20, 4])) for _ in times]
    turns = moves(clock, np.zeros(3), [(t, t + rng.uniform(0.35, 0.7) / tempo, s) for t, s in zip(times, spots)])
    return replace(base, head=base.head + turns, spine=base.spine + 0.25 * turns)


def talk(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Talk, with small gestures before the body."""
    base = _calm(rng, clock)
    for side in (LEFT, RIGHT):
        if rng.random() < 0.8:
            base = _arms(rng, clock, base, side, _beats(rng, clock, tempo, small=True))
    return Action(feet=_still(rng, clock), posture=base, talks=True)


def _beats(rng: np.random.Generator, clock: np.ndarray, tempo: float, *, small: bool) -> list:
    """Return strokes of a hand that accompanies speech: prepare, beat, hold, come back (McNeill 1992)."""
    strokes, now = [], clock[0] + rng.uniform(-0.2, 0.6)
    names = ["soft", "relaxed", "flat", "splayed", "pinch", "cup"] if small else list(SHAPES)
    while now < clock[-1]:
        low, high = ([0.0, -0.62, 0.32], [0.28, -0.3, 0.6]) if small else ([-0.1, -0.5, 0.3], [0.6, 0.45, 0.75])
        spot, name = rng.uniform(low, high), rng.choice(names)
        palm = [INWARD, UP, DOWN, FORWARD][rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])]
        swivel = rng.normal(0.1, 0.2)
        length = rng.uniform(0.32, 0.6) / tempo
        strokes.append((now, now + length, spot, palm, name, swivel))
        now += length * rng.uniform(0.9, 1.5)
        for _ in range(rng.integers(0, 4)):
            beat = rng.uniform(0.18, 0.32) / tempo
            down = spot + rng.normal(0, 0.05, 3) - [0, 0.09, 0]
            rest = (palm, name, swivel)
            strokes += [(now, now + beat, down, *rest), (now + beat, now + 2 * beat, spot, *rest)]
            now += 2 * beat + rng.uniform(0, 0.2)
        if rng.random() < 0.35:
            strokes.append((now, now + 0.7 / tempo, HANGING, INWARD, "relaxed", 0.0))
            now += rng.uniform(0.8, 1.6) / tempo
    return strokes


def gesture(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Explain with large gestures: count, point, show a size, thumbs up."""
    base, sides = _looking(rng, clock, _calm(rng, clock), tempo), rng.permutation(2)[: rng.integers(1, 3)]
    together = rng.random() < 0.4
    strokes = _beats(rng, clock, tempo, small=False)
    for side in sides:
        base = _arms(rng, clock, base, side, strokes if together else _beats(rng, clock, tempo, small=False))
    return Action(feet=_still(rng, clock), posture=base, talks=rng.random() < 0.7)


def wave(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Wave at the viewer."""
    side, begin = rng.integers(2), clock[0] + rng.uniform(0, 0.3)
    high = rng.uniform([0.3, 0.35, 0.25], [0.6, 0.8, 0.5])
    base = _arms(rng, clock, _calm(rng, clock), side, [(begin, begin + 0.7 / tempo, high, FORWARD, "splayed", 0.2)])
    swing = hump(clock, begin + 0.4, 0.4, 60, 1) * np.sin(2 * np.pi * rng.uniform(1.6, 2.6) * tempo * (clock - begin))
    wrist, bend = base.wrist.copy(), base.bend.copy()
    wrist[:, side, 0] += rng.uniform(0.06, 0.2) * swing
    bend[:, side, 1] += rng.uniform(0.1, 0.3) * swing
    return Action(feet=_still(rng, clock), posture=replace(base, wrist=wrist, bend=bend), talks=rng.random() < 0.3)


def reach(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Reach overhead, to the sides or forward, the trunk following."""
    base, strokes = _calm(rng, clock), {LEFT: [], RIGHT: []}
    lean = []
    for time in events(rng, clock, 1.1 / tempo, 2.0 / tempo):
        both, first = rng.random() < 0.4, rng.integers(2)
        spot = rng.uniform([-0.05, 0.1, 0.05], [0.85, 0.98, 0.7])
        for side in (LEFT, RIGHT) if both else (first,):
            target = spot + rng.normal(0, 0.05, 3)
            palm, name = [FORWARD, INWARD, UP][rng.integers(3)], rng.choice(["flat", "splayed", "soft", "cup"])
            strokes[side] += [(time, time + 0.75 / tempo, target, palm, name, 0.1),
                              (time + 0.95 / tempo, time + 1.7 / tempo, HANGING, INWARD, "relaxed", 0.0)]  # fmt: skip
        aside = 0.0 if both else (0.16, -0.16)[first] * spot[0]
        lean += [(time, time + 0.8 / tempo, (-0.12 * spot[1], 0, aside)),
                 (time + 0.95 / tempo, time + 1.7 / tempo, (0, 0, 0))]  # fmt: skip
    for side, own in strokes.items():
        base = _arms(rng, clock, base, side, own) if own else base
    return Action(feet=_still(rng, clock), posture=replace(base, spine=base.spine + moves(clock, np.zeros(3), lean)))


def squat(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Go down on bent knees and up again, arms forward."""
    return _lowered(rng, clock, tempo, depth=(0.28, 0.55), lean=(0.25, 0.6), hold=(0.0, 0.3))


def crouch(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Sit down on nothing for a while."""
    return _lowered(rng, clock, tempo, depth=(0.36, 0.5), lean=(0.15, 0.45), hold=(0.8, 2.0))


def _lowered(rng: np.random.Generator, clock: np.ndarray, tempo: float, *, depth, lean, hold) -> Action:
    base, down = _calm(rng, clock), np.zeros(len(clock))
    most, bow = rng.uniform(*depth), rng.uniform(*lean)
    now = clock[0] + rng.uniform(0, 0.4)
    while now < clock[-1]:
        fall, stay = rng.uniform(0.7, 1.1) / tempo, rng.uniform(*hold)
        down += hump(clock, now, fall, stay, fall) * rng.uniform(0.8, 1)
        now += 2 * fall + stay + rng.uniform(0.2, 0.6)
    sway, wrist, spine, tilt, head = (getattr(base, name).copy() for name in ("sway", "wrist", "spine", "tilt", "head"))
    sway += down[:, None] * [0, -most, -0.35 * most]
    tilt[:, 0] += 0.6 * bow * down
    spine[:, 0] += 0.7 * bow * down
    head[:, 0] -= 0.8 * bow * down
    forward = rng.uniform([0.0, -0.35, 0.6], [0.2, 0.1, 0.85])
    wrist += down[:, None, None] * (forward - HANGING)
    feet = stand_still(clock, _style(rng, width=rng.uniform(0.32, 0.55), turnout=rng.uniform(0.15, 0.4)))
    return Action(feet=feet, posture=replace(base, sway=sway, wrist=wrist, spine=spine, tilt=tilt, head=head))


def bow(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Bend forward or to the side, and come up."""
    base, bend = _calm(rng, clock), np.zeros((len(clock), 3))
    for time in events(rng, clock, 2.0 / tempo, 3.4 / tempo):
        to = np.radians(rng.uniform([5, -25, -25], [70, 25, 25]))
        bend += np.outer(hump(clock, time, 0.9 / tempo, rng.uniform(0.1, 0.6), 0.9 / tempo), to)
    sway = base.sway - np.outer(bend[:, 0], [0, 0.04, 0.16])
    return Action(feet=_still(rng, clock), posture=replace(
        base, tilt=base.tilt + 0.55 * bend * [1, 0.2, 0.4], spine=base.spine + 0.6 * bend, sway=sway,
        head=base.head - 0.25 * bend,
    ))  # fmt: skip


def clap(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Clap the hands."""
    rate = rng.uniform(1.3, 2.2) * tempo
    begin = clock[0] + rng.uniform(0, 0.3)
    spot = np.append(-0.27, rng.uniform([-0.45, 0.55], [0.05, 0.75]))
    base = _calm(rng, clock)
    for side in (LEFT, RIGHT):
        base = _arms(rng, clock, base, side, [(begin, begin + 0.6 / tempo, spot, INWARD, "flat", 0.25)])
    # Hands part quickly and meet quickly; they touch for a sixth of the beat.
    apart = ease(1.35 * np.abs(np.sin(np.pi * rate * (clock - begin))) - 0.2)
    wrist = base.wrist.copy()
    wrist[:, :, 0] += rng.uniform(0.12, 0.24) * apart[:, None]
    met = hump(clock, begin, 0.7 / tempo, 60, 1) * (1 - ease(apart * 2.5))
    touches = tuple(Touch(hand=side, target="hand", weight=met) for side in (LEFT, RIGHT))
    return Action(feet=_still(rng, clock), posture=replace(base, wrist=wrist), touches=touches,
                  talks=rng.random() < 0.2)  # fmt: skip


def hips(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Put hands on the hips, sometimes one only."""
    base, touches = _looking(rng, clock, _calm(rng, clock), tempo), []
    for side in (LEFT, RIGHT) if rng.random() < 0.75 else (rng.integers(2),):
        begin, stay = clock[0] + rng.uniform(-0.3, 0.5), rng.uniform(2, 5)
        spot = np.array([0.06, -0.72, 0.05])
        strokes = [(begin, begin + 0.7 / tempo, spot, (-0.7, -0.5, -0.4), "soft", 0.95),
                   (begin + stay, begin + stay + 0.7 / tempo, HANGING, INWARD, "relaxed", 0.0)]  # fmt: skip
        base = _arms(rng, clock, base, side, strokes)
        touches.append(Touch(hand=side, target="hip", weight=hump(clock, begin, 0.7 / tempo, stay - 0.7, 0.7 / tempo)))
    return Action(feet=_still(rng, clock), posture=base, touches=tuple(touches), talks=rng.random() < 0.6)


def face_touch(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Bring a hand to cheek, chin or head."""
    base, side = _looking(rng, clock, _calm(rng, clock), tempo), rng.integers(2)
    target = ("cheek", "chin", "head")[rng.choice(3)]
    spot = {"cheek": (-0.12, 0.18, 0.42), "chin": (-0.2, 0.1, 0.45), "head": (0.0, 0.42, 0.22)}[target]
    begin, stay = clock[0] + rng.uniform(0, 0.4), rng.uniform(0.9, 2.5)
    strokes = [(begin, begin + 0.75 / tempo, np.array(spot), (-0.5, 0.1, -0.8), "soft", 0.25),
               (begin + stay, begin + stay + 0.7 / tempo, HANGING, INWARD, "relaxed", 0.0)]  # fmt: skip
    weight = hump(clock, begin + 0.1, 0.65 / tempo, stay - 0.75, 0.6 / tempo)
    return Action(feet=_still(rng, clock), posture=_arms(rng, clock, base, side, strokes),
                  touches=(Touch(hand=int(side), target=target, weight=weight),), talks=rng.random() < 0.4)  # fmt: skip


def walk(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Walk: on the spot, towards the viewer, away, across or along a curve."""
    speed = rng.uniform(0.85, 1.5) * tempo  # legs per second; comfortable walking is about 1.6 (Bohannon 1997)
    way = rng.choice(["spot", "towards", "away", "across", "curve"], p=[0.25, 0.25, 0.1, 0.25, 0.15])
    start = {"towards": rng.normal(0, 0.25), "away": np.pi + rng.normal(0, 0.25), "spot": rng.normal(0, 0.5),
             "across": rng.choice([-1, 1]) * (np.pi / 2 + rng.normal(0, 0.3)),
             "curve": rng.uniform(-2, 2)}[way]  # fmt: skip
    curl = rng.uniform(-0.5, 0.5) if way == "curve" else rng.normal(0, 0.06)
    pace = 0.0 if way == "spot" else speed
    middle = (clock[0] + clock[-1]) / 2

    def place(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        since = np.clip(times, clock[0] - 1, clock[-1] + 1) - middle
        steps = np.linspace(0, 1, 24)[:, None] * since
        yaw = start + curl * steps
        way_ = pace * since * np.stack([np.sin(yaw).mean(0), np.zeros_like(since), np.cos(yaw).mean(0)])
        return way_.T, start + curl * since

    period = 2 * rng.uniform(0.62, 0.74) / np.sqrt(max(speed, 0.6))
    style = _style(rng, width=rng.uniform(0.12, 0.24), strike=0.3 if pace else 0.0, push=0.55 if pace else 0.25,
                   lift=0.06 if pace else rng.uniform(0.14, 0.3))  # fmt: skip
    offset = clock[0] - period * rng.uniform(1, 2)
    swings = alternate(offset, clock[-1] + 3 * period, period, 0.62)
    phase = 2 * np.pi * (clock - offset) / period - 0.38 * 2 * np.pi
    feet = tread(clock, place, swings, style, phase, np.ones(len(clock)))
    return Action(feet=feet, posture=_swinging(rng, clock, _calm(rng, clock), phase, rng.uniform(0.6, 1.2)),
                  talks=rng.random() < 0.25)  # fmt: skip


def _swinging(rng: np.random.Generator, clock: np.ndarray, base: Posture, phase: np.ndarray, much: float) -> Posture:
    """Swing the arms against the legs; pelvis and chest turn against each other."""
    # The right leg is forward where the left one is in the middle of going back: a quarter after its mid-stand.
    swing = np.sin(phase)
    wrist, sway, tilt, spine = (getattr(base, name).copy() for name in ("wrist", "sway", "tilt", "spine"))
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        wrist[:, side, 2] += much * (0.30 * sign * swing + 0.08)
        wrist[:, side, 1] += much * 0.05 * np.maximum(sign * swing, 0) ** 2
    sway[:, 0] += 0.03 * np.cos(phase)
    sway[:, 1] += 0.018 * np.cos(2 * phase) - 0.03
    tilt[:, 1] += 0.09 * much * swing
    tilt[:, 2] -= 0.04 * np.cos(phase)
    spine[:, 1] -= 0.17 * much * swing
    spine[:, 0] += 0.05
    return replace(base, wrist=wrist, sway=sway, tilt=tilt, spine=spine)


def turn(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Turn round on the spot with small steps, and look over the shoulder first."""
    whole = rng.choice([-1, 1]) * rng.choice([np.pi, 2 * np.pi, 1.2])
    begin, length = clock[0] + rng.uniform(0.1, 0.5), abs(whole) / np.pi * rng.uniform(1.4, 2.0) / tempo
    start = 0.0 if abs(whole) != np.pi or rng.random() < 0.6 else np.pi
    course = lambda times: start + whole * ease((times - begin) / length)  # noqa: E731
    place = lambda times: (np.zeros((len(times), 3)), course(times))  # noqa: E731
    period = rng.uniform(0.8, 1.0) / tempo
    swings = alternate(begin - 0.1, begin + length + period, period, 0.6)
    active = hump(clock, begin - 0.1, 0.3, length - 0.2, 0.4)
    feet = tread(clock, place, swings, _style(rng, width=0.22, lift=0.07, push=0.2), np.zeros(len(clock)), active)
    base = _calm(rng, clock)
    lead = np.clip(course(clock + 0.25) - course(clock), -0.6, 0.6)
    head, spine, wrist = base.head.copy(), base.spine.copy(), base.wrist.copy()
    head[:, 1] += 0.8 * lead
    spine[:, 1] += 0.35 * lead
    wrist[:, :, 0] += 0.12 * active[:, None]
    return Action(feet=feet, posture=replace(base, head=head, spine=spine, wrist=wrist))


def dance(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Swing to a beat: step from side to side, hips against chest, arms in a figure."""
    beat = rng.uniform(1.5, 2.1) * tempo  # beats per second
    phase = np.pi * beat * (clock - clock[0]) + rng.uniform(0, 6)
    base, big = _calm(rng, clock), rng.uniform(0.6, 1.2)
    bounce, side_, twist = rng.uniform(0.02, 0.07), rng.uniform(0.03, 0.09), rng.uniform(0.05, 0.25)
    sway, tilt, spine, head, wrist, swivel, hang = (
        getattr(base, name).copy() for name in ("sway", "tilt", "spine", "head", "wrist", "swivel", "hang")
    )
    sway[:, 0] += big * side_ * np.sin(phase)
    sway[:, 1] -= bounce * (1 + np.cos(2 * phase)) + 0.03
    tilt[:, 2] += 0.09 * big * np.sin(phase)
    tilt[:, 1] += twist * np.sin(phase + 0.4)
    spine[:, 1] -= 1.5 * twist * np.sin(phase + 0.2)
    spine[:, 2] -= 0.1 * big * np.sin(phase)
    head[:, 0] += 0.06 * np.cos(2 * phase)
    head[:, 2] += 0.07 * np.sin(phase + 0.6)
    figure = [rng.uniform([0.2, -0.4, 0.3], [0.6, 0.7, 0.6]) for _ in range(2)]
    same = rng.random() < 0.5
    for side in (LEFT, RIGHT):
        centre, shift = figure[0] if same else figure[side], 0 if same else np.pi * side
        round_ = np.stack([np.sin(phase + shift), np.cos(2 * phase + shift), np.cos(phase + 0.5 + shift)], -1)
        wrist[:, side] += centre - HANGING + rng.uniform(0.06, 0.2, 3) * big * round_
        swivel[:, side] += 0.2 + 0.2 * np.sin(phase + shift)
    hang[:] = 0.2
    steps = alternate(clock[0] - 0.5, clock[-1] + 2, 2 / beat, 0.7) if rng.random() < 0.7 else ([], [])
    still = lambda times: (np.zeros((len(times), 3)), np.zeros(len(times)))  # noqa: E731
    style = _style(rng, width=rng.uniform(0.25, 0.45), lift=rng.uniform(0.05, 0.14), push=0.3)
    feet = tread(clock, still, steps, style, phase, np.full(len(clock), 0.3))
    posture = replace(base, sway=sway, tilt=tilt, spine=spine, head=head, wrist=wrist, swivel=swivel, hang=hang)
    return Action(feet=feet, posture=posture)


def jacks(rng: np.random.Generator, clock: np.ndarray, tempo: float) -> Action:
    """Jumping jacks."""
    half = rng.uniform(0.42, 0.55) / tempo  # seconds from closed to open
    begin = clock[0] - rng.uniform(0, 2) * half
    beats = np.arange(begin, clock[-1] + 3 * half, half)
    open_ = moves(clock, 0.0, [(t, t + half, (k + 1) % 2) for k, t in enumerate(beats)])
    air = sum(hump(clock, t, 0.35 * half, 0, 0.35 * half) for t in beats)
    crouch_ = sum(hump(clock, t + 0.62 * half, 0.2 * half, 0, 0.2 * half) for t in beats)
    high, wide, narrow = rng.uniform(0.05, 0.1), rng.uniform(0.6, 0.85), rng.uniform(0.15, 0.25)

    def place(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        root = np.zeros((len(times), 3))
        root[:, 1] = high * np.interp(times, clock, air) if len(clock) > 1 else 0
        return root, np.zeros(len(times))

    swings = [(t + 0.04 * half, t + 0.66 * half) for t in beats]

    def width(time: float) -> float:
        return wide if int(np.floor((time - begin) / half)) % 2 == 0 else narrow

    feet = tread(clock, place, (swings, swings), _style(rng, lift=0.05, push=0.25), np.zeros(len(clock)),
                 np.zeros(len(clock)), widths=width)  # fmt: skip
    base = _calm(rng, clock)
    wrist, sway, palm = base.wrist.copy(), base.sway.copy(), base.palm.copy()
    angle = -1.35 + (1.35 + rng.uniform(0.9, 1.35)) * open_
    wrist[:] = np.stack([np.cos(angle), np.sin(angle), 0.12 + 0 * angle], -1)[:, None] * rng.uniform(0.9, 0.98)
    palm[:] = np.stack([-0.4 - 0 * angle, -np.cos(angle), 0.6 + 0 * angle], -1)[:, None]
    sway[:, 1] -= 0.05 + 0.05 * crouch_
    return Action(feet=feet, posture=replace(base, wrist=wrist, sway=sway, palm=palm))


STANDING: dict[str, Callable] = {
    "idle": idle, "talk": talk, "gesture": gesture, "wave": wave, "reach": reach, "squat": squat, "crouch": crouch,
    "bow": bow, "clap": clap, "hips": hips, "face": face_touch,
}  # fmt: skip
"""Actions on the spot: one can follow another."""
MOVING: dict[str, Callable] = {"walk": walk, "turn": turn, "dance": dance, "jacks": jacks}
"""Actions with steps of their own."""
