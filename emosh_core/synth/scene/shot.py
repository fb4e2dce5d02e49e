"""Where the camera stands, how it moves and what it keeps in the picture."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from emosh_core.body.joints import HANDS, HEAD, JOINT_NAMES
from emosh_core.errors import ConfigError
from emosh_core.geometry.camera import project, to_camera
from emosh_core.synth.scene.draws import draw
from emosh_core.synth.scene.moves import Move, draw_move, follow_path

Framing = Literal["full", "three-quarter", "half", "bust"]
Moves = Literal["still", "hand-held", "pan", "tilt", "zoom", "dolly", "orbit", "follow"]

FRAMINGS = {"full": 0.34, "three-quarter": 0.2, "half": 0.26, "bust": 0.2}
"""How often each framing is drawn."""
MOVES = {"still": 0.42, "hand-held": 0.2, "pan": 0.08, "tilt": 0.05, "zoom": 0.08, "dolly": 0.08, "orbit": 0.09}
"""How often each move is drawn; "follow" takes the place of some where somebody wanders about."""
ASPECTS = {(16, 9): 0.36, (9, 16): 0.34, (1, 1): 0.3}
SIDE = 256
"""Shorter side of a picture whose size is not given [px]."""
MULTIPLE = 16
"""The sides of such a picture are multiples of this, as encoders want it [px]."""
FOCAL = (0.8, 2.0)
"""Focal length over the picture's width."""
LEAST_FOCAL = 0.75
"""Focal length over the picture's longer side."""
YAW = 35.0
"""The camera stands at most this far to either side of the world's +z, seen from the person [deg]."""
PITCH = (-10.0, 20.0)
"""How far the camera looks down [deg]."""
HEIGHT = (0.25, 2.5)
"""Of the camera above the floor [m]."""
HEAD_RADIUS = 0.17
"""Of a ball about the middle of the head that holds most hair [m]."""
TIP = 0.07
"""What sticks out beyond the last finger joints and the toes' joints [m]."""
NEAREST = 0.35
"""Distance to the nearest wanted point [m]."""
WANDERS = 1.6
"""A still camera follows where it would have to stand farther off than this, over what single frames need."""
TURNS = np.radians(50)
"""How far a camera that follows turns at most [rad]."""
STEP, STEPS = 1.03, 90
"""The camera steps back by this factor until all is inside, at most so many times."""

_LIMBS = {
    "full": "pelvis left_hip right_hip left_knee right_knee left_ankle right_ankle left_foot right_foot".split(),
    "three-quarter": "left_hip right_hip left_knee right_knee".split(),
    "half": "pelvis left_hip right_hip".split(),
    "bust": "spine3 left_collar right_collar".split(),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """The camera of a clip, frame by frame; OpenCV axes."""

    size: tuple[int, int]
    """Width and height [px]."""
    K: np.ndarray
    """(T, 3, 3) float32 [px]."""
    w2c: np.ndarray
    """(T, 4, 4) float32."""
    framing: str
    """What is kept in the picture, one of `Framing`."""
    moves: str
    """How the camera moves, one of `Moves`."""

    @property
    def centres(self) -> np.ndarray:
        """Where the camera is (T, 3) float64 [m]."""
        w2c = self.w2c.astype(np.float64)
        return -np.einsum("tji,tj->ti", w2c[:, :3, :3], w2c[:, :3, 3])


def choose_shot(
    rng: np.random.Generator, joints: np.ndarray, *, fps: float, size: tuple[int, int] | None = None,
    framing: Framing | None = None, moves: Moves | None = None,
) -> Shot:  # fmt: skip
    """Draw a camera that keeps the wanted part of a moving person in the picture.

    Args:
        joints: (T, 55, 3) of the person in world axes [m], SMPL-X order, or (P, T, 55, 3) of people who take turns
            before the same camera; the floor is y = 0.
        fps: frames per second, for the pace of moves.
        size: width and height [px]; without it one of 16:9, 9:16 and 1:1 is drawn.
        framing: how much of the person is seen; drawn without it.
        moves: drawn without it, and then a still camera follows somebody who wanders about.

    Raises:
        ConfigError: a word is unknown, or no camera sees all of the movement.
    """
    for word, known in ((framing, get_args(Framing)), (moves, get_args(Moves))):
        if word is not None and word not in known:
            raise ConfigError("unknown word for a camera", found=str(word), fix=f"one of {', '.join(known)}")
    people = np.asarray(joints, np.float64).reshape(-1, *joints.shape[-3:])
    # All is drawn in any case, so that one given value does not change the others.
    aspect, some_framing, some_moves = (draw(rng, table) for table in (ASPECTS, FRAMINGS, MOVES))
    size, framing = size or _pixels(aspect), framing or some_framing
    hands = rng.random() < 0.75
    parts = np.concatenate([wanted(person, framing, hands=hands) for person in people], 1)
    least = max(FOCAL[0], LEAST_FOCAL * max(size) / size[0])
    focal = size[0] * np.exp(rng.uniform(np.log(least), np.log(max(FOCAL[1], least))))
    margin = rng.uniform(0.04, 0.1) if rng.random() < 0.75 else rng.uniform(0.1, 0.24)
    yaw = np.radians(np.clip(rng.normal(0, 16), -YAW, YAW))
    pitch = np.radians(np.clip(rng.normal(3, 6.5), *PITCH))
    aim = _Aim(parts, follow_path(parts.mean(1), fps), size, focal, margin, rng.uniform(-0.6, 0.6))
    follows = moves == "follow" or (moves is None and aim.wanders(yaw, pitch))
    moves = moves or ("follow" if follows and some_moves in ("still", "pan", "tilt") else some_moves)
    move = draw_move(rng, moves, len(parts), fps, size, focal)
    limits = np.log(np.array([least, max(FOCAL[1], least)]) * size[0] / focal)
    aim.focal *= np.exp(np.clip(0, *(limits - [move.zoom.min(), move.zoom.max()])))
    K, w2c = _fit(aim, move, yaw, pitch, follows=follows)
    return Shot(size=tuple(size), K=K.astype(np.float32), w2c=w2c.astype(np.float32), framing=framing, moves=moves)


def wanted(joints: np.ndarray, framing: str, *, hands: bool = True) -> np.ndarray:
    """Return points (T, N, 3) on a person that a framing keeps in the picture [m].

    Args:
        joints: (T, 55, 3) [m].
        hands: whether hands belong to it; to a full picture they always do, to a bust they never do.
    """
    at = lambda *names: joints[:, [JOINT_NAMES.index(name) for name in names]]  # noqa: E731
    head = joints[:, HEAD, None]
    # On the embedded body the skull's middle lies as far beyond the head joint as half the neck is long.
    middle = head + 0.55 * (head - at("neck"))
    points = [middle + np.concatenate([np.eye(3), -np.eye(3)]) * HEAD_RADIUS]
    points += [at("left_shoulder", "right_shoulder"), at(*_LIMBS[framing])]
    for side, hand in HANDS.items():
        if framing == "full" or (hands and framing != "bust"):
            points.append(_beyond(at(f"{side}_wrist"), joints[:, [hand[2], hand[5], hand[8]]]))
        if framing == "full":
            points.append(_beyond(at(f"{side}_ankle"), at(f"{side}_foot")))
    return np.concatenate(points, 1)


def _beyond(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Return `outer` (T, N, 3) moved away from `inner` (T, 1, 3) by the flesh that sticks out."""
    away = outer - inner
    return outer + TIP * away / np.linalg.norm(away, axis=-1, keepdims=True).clip(1e-6)


def _pixels(aspect: tuple[int, int]) -> tuple[int, int]:
    return tuple(max(MULTIPLE, round(SIDE * side / min(aspect) / MULTIPLE) * MULTIPLE) for side in aspect)


def look(yaw, pitch, roll=0.0) -> np.ndarray:
    """Return rotations (..., 3, 3) from world to camera.

    Args:
        yaw: where the camera stands, from the world's +z towards +x [rad]; it looks the other way.
        pitch: how far it looks down [rad].
        roll: how far it is turned clockwise, seen from behind it [rad].
    """
    yaw, pitch, roll = np.broadcast_arrays(yaw, pitch, roll)
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    none, one = np.zeros_like(cy), np.ones_like(cy)
    level = np.array([[cy, none, -sy], [sp * sy, -cp, sp * cy], [-cp * sy, -sp, -cp * cy]])
    rolled = np.array([[cr, sr, none], [-sr, cr, none], [none, none, one]])
    return np.moveaxis(rolled, (0, 1), (-2, -1)) @ np.moveaxis(level, (0, 1), (-2, -1))


@dataclass
class _Aim:
    """What has to be in which picture."""

    parts: np.ndarray
    """(T, N, 3) [m]."""
    path: np.ndarray
    """(T, 3) where a camera that follows looks [m]."""
    size: tuple[int, int]
    focal: float
    margin: float
    """What stays free at each rim, over the side."""
    aside: float
    """How far off the middle of the play that the framing leaves, −1..1."""

    def stand(self, turn: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the nearest place (3,) from which a camera turned by `turn` (3, 3) sees all points (N, 3).

        x_i − c_x ≤ t (z_i − c_z) and its mirror image hold for all i for some c_x if and only if
        2 t c_z ≤ min(x + t z) − max(x − t z); the same goes for y.
        """
        x, y, z = (points @ turn.T).T
        t = [(0.5 - self.margin) * side / self.focal for side in self.size]
        bounds = [((a - slope * z).max(), (a + slope * z).min()) for a, slope in zip((x, y), t)]
        depth = min((high - low) / (2 * slope) for (low, high), slope in zip(bounds, t))
        depth = min(depth, z.min() - NEAREST)
        play = [(high - low) / 2 - slope * depth for (low, high), slope in zip(bounds, t)]
        middle = [(low + high) / 2 for low, high in bounds]
        return turn.T @ [middle[0] + self.aside * play[0], middle[1] + 0.5 * self.aside * play[1], depth]

    def wanders(self, yaw: float, pitch: float) -> bool:
        """Return whether a camera that sees the whole clip stands much farther off than single frames need."""
        turn = look(yaw, pitch)
        distance = lambda points: turn[2] @ (points.mean(0) - self.stand(turn, points))  # noqa: E731
        frames = self.parts[:: max(1, len(self.parts) // 12)]
        return distance(self.parts.reshape(-1, 3)) > WANDERS * np.median([distance(points) for points in frames])

    def least_room(self, K: np.ndarray, w2c: np.ndarray) -> float:
        """Return the distance of the wanted points from the rim where it is least, over the shorter side."""
        seen = to_camera(self.parts, w2c)
        if seen[..., 2].min() < NEAREST:
            return -1.0
        pixels = project(seen, K)
        return float(np.minimum(pixels, self.size - pixels).min() / min(self.size))


def _fit(aim: _Aim, move: Move, yaw: float, pitch: float, *, follows: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return K and w2c of the nearest camera that keeps all inside through all its moves."""
    points = aim.parts - (aim.path - aim.path.mean(0))[:, None] if follows else aim.parts
    pivot = points.mean((0, 1))
    back = 1.0
    for _ in range(STEPS):
        place = pivot + (aim.stand(look(yaw, pitch), points.reshape(-1, 3)) - pivot) * back
        if not HEIGHT[0] <= place[1] <= HEIGHT[1]:
            # The lower the camera has to be, the more level it looks.
            pitch *= 0.85
            place[1] = np.clip(place[1], *HEIGHT)
        K, w2c = _perform(aim, move, place, pivot, yaw, pitch, follows)
        # The background is painted as one camera sees it, which cannot turn too far.
        heading = np.unwrap(np.arctan2(w2c[:, 2, 0], w2c[:, 2, 2]))
        if aim.least_room(K, w2c) > 0.4 * aim.margin and np.ptp(heading) < TURNS:
            return K, w2c
        back *= STEP
    found = f"a path of {np.ptp(aim.path[:, 0]):.1f} × {np.ptp(aim.path[:, 2]):.1f} m"
    raise ConfigError("no camera sees all of the movement", found=found, fix="a shorter clip, or moves 'still'")


def _perform(aim: _Aim, move: Move, place, pivot, yaw, pitch, follows: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return K (T, 3, 3) and w2c (T, 4, 4) of a camera that starts from a place (3,) and goes through its moves."""
    around, offset = move.orbit, place - pivot
    out = np.stack([np.cos(around) * offset[0] + np.sin(around) * offset[2], np.full_like(around, offset[1]),
                    np.cos(around) * offset[2] - np.sin(around) * offset[0]], -1)  # fmt: skip
    centres = pivot + out * np.exp(move.dolly)[:, None]
    yaw, pitch = yaw + around + move.yaw, pitch + move.pitch
    if follows:
        to_path, to_pivot = (_angles(target - centres) for target in (aim.path, aim.path.mean(0)))
        yaw, pitch = yaw + to_path[0] - to_pivot[0], pitch + to_path[1] - to_pivot[1]
    w2c = np.tile(np.eye(4), (len(centres), 1, 1))
    w2c[:, :3, :3] = look(yaw, pitch, move.roll)
    w2c[:, :3, 3] = -np.einsum("tij,tj->ti", w2c[:, :3, :3], centres)
    K = np.tile(np.eye(3), (len(centres), 1, 1))
    K[:, 0, 0] = K[:, 1, 1] = aim.focal * np.exp(move.zoom)
    K[:, :2, 2] = np.array(aim.size) / 2
    return K, w2c


def _angles(toward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the yaw and pitch (T,) of cameras that look along (T, 3)."""
    level = np.hypot(toward[:, 0], toward[:, 2])
    return np.unwrap(np.arctan2(-toward[:, 0], -toward[:, 2])), np.arctan2(-toward[:, 1], level)
