"""Colours for the parts of the body that a picture does not show, continued from those it shows."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import EYES, HEAD, JAW, JOINT_NAMES
from emosh_core.render.colors import mean_in_t_pose

NECK = JOINT_NAMES.index("neck")
INSIDE = {"mouth_cavity": (90, 34, 34), "tongue": (128, 62, 62)}
"""Colours (RGB, 0..255) of what a closed mouth hides, at the lips."""
THROAT, DEEPER = 0.1, 1.5
"""What is left of these at the back of the mouth, and the exponent of the way there: corners lie deeper than lips."""
ALONG, ALONG_ARMS = 3.0, 4.0
"""Distances along a limb or the trunk count this much more than around it: hems stay where they are."""
THROUGH = 0.3
"""Distances from front to back of trunk and legs count this much: behind lies what the front shows."""
SURE = 0.8
"""From this weight on a texel is known and others may continue it."""
GRID = 0.015
"""Known texels are averaged over cubes of this side [m] before others continue them: no streaks."""
NEIGHBOURS, NEIGHBOURS_AROUND = 10, 150
"""How many such cubes are averaged; more around an arm, whose back lies between the colours of two sides."""
REACH = 0.02
"""Distance [m] that hardly counts among the neighbours: soft transitions."""
OTHER = 45.0
"""Colours this far apart (RGB, 0..255) are different materials: hair and skin, hand and trousers."""
ROLL = 0.4
"""Angle about the axis from ear to ear that hair is looked up at in front, per angle behind."""
STRANDS = 20000
"""Texels of hair (evenly chosen) that others are looked up in."""
INWARDS = 0.5
"""Share of the way to the middle of the visible hair: its rim is dark and would be drawn out into streaks."""
HALF_NECK = 0.09
"""What lies farther from the middle than this [m] is shoulder, not neck."""
HIGHEST = 0.7
"""Where the crown is hidden, what lies above this share of the seen upper head stands for it."""
EAR = 0.004
"""What is so much narrower than the skull [m], or wider, may be an ear."""
EAR_HEIGHT, EAR_DEPTH = (-0.05, 0.008), (-0.018, 0.022)
"""Where an ear lies above the middles of the eyes and before the head's joint [m]; around it lies hair."""
LEAST_HAND = 0.03
"""A hand of which less than this share was seen gets the colour of the face."""


@dataclass(frozen=True)
class Texels:
    """Where the texels of the texture lie on the mean body in the T-pose."""

    place: np.ndarray
    """(N, 3) [m]."""
    groups: dict[str, np.ndarray]
    """Name of a region and which texels (N,) belong to it; see `texel_places`."""
    centre: np.ndarray
    """(3,) of the head [m]."""


def texel_places(body: EhmModel, corners: np.ndarray, bary: np.ndarray, face: np.ndarray) -> Texels:
    """Place texels, given as faces (N,), their corners (N, 3) and weights (N, 3), and sort them into regions."""
    posed = mean_in_t_pose(body)
    verts, joints = posed.verts[0].numpy(), posed.joints[0].numpy()
    place = np.einsum("nk,nkc->nc", bary, verts[corners])
    part = body.face_part.numpy()[face]
    index = {name: i for i, name in enumerate(body.part_names)}
    head = (body.head_mask.numpy()[corners] * bary).sum(1) > 0.5
    high = place[:, 1] > joints[list(EYES), 1].mean() + 0.035
    behind = head & (place[:, 2] < joints[HEAD, 2]) & (place[:, 1] > joints[JAW, 1] - 0.02)
    hands = np.isin(part, [index["hand.L"], index["hand.R"]])
    shoulder = np.abs(joints[[16, 17], 0]).mean()
    neck = ~head & (place[:, 1] > joints[NECK, 1]) & (np.abs(place[:, 0]) < HALF_NECK)
    arms = (np.abs(place[:, 0]) > shoulder) & ~head & ~hands
    front = place[:, 2] > joints[[HEAD, *EYES], 2].mean()
    face_front = head & ~high & (place[:, 2] > joints[list(EYES), 2].mean() - 0.03)
    skull = np.abs(place[head & high, 0]).max()
    up, forward = place[:, 1] - joints[list(EYES), 1].mean(), place[:, 2] - joints[HEAD, 2]
    ears = head & (np.abs(place[:, 0]) > skull - EAR) & _between(up, EAR_HEIGHT) & _between(forward, EAR_DEPTH)
    low = head & ~high & ~behind & ~ears
    groups = {
        "head": head, "behind": behind & ~ears, "upper": head & high & ~behind, "ears": ears,
        "side": low & ~front, "skin": low & front, "face": face_front,
        "crown": head & (place[:, 1] > np.quantile(place[head, 1], 0.85)),
        "hand.L": part == index["hand.L"], "hand.R": part == index["hand.R"], "arms": arms,
        "neck": neck, "trunk": ~head & ~hands & ~arms & ~neck,
    }  # fmt: skip
    inside = {name: part == index[name] for name in INSIDE}
    return Texels(place, groups | inside, np.array([0, joints[list(EYES), 1].mean(), joints[HEAD, 2]]))


def _between(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values > limits[0]) & (values < limits[1])


def continue_colors(colors: np.ndarray, known: np.ndarray, texels: Texels, fallback: np.ndarray) -> np.ndarray:
    """Return a colour for every texel.

    Args:
        colors: (N, 3) float32 RGB, 0..255, where known.
        known: (N,) in [0, 1], how surely.
        fallback: (3,) colour for a body of which nothing was seen.
    """
    groups, place = texels.groups, texels.place
    known = known.copy()
    for side in "LR":
        known[_odd_ones(colors, known, groups[f"hand.{side}"])] = 0
    sure = known > SURE
    if not sure.any():
        return np.broadcast_to(fallback, colors.shape).astype(np.float32)
    guess = np.zeros_like(colors)
    for name, source, scale in _regions(colors, sure, place[:, 1], groups):
        wanted = np.nonzero(groups[name] & (known < 1))[0]
        if name.startswith("hand") and (sure & source).sum() < LEAST_HAND * source.sum():
            source = groups["face"] & sure
            guess[wanted] = np.median(colors[source], axis=0) if source.any() else fallback
            continue
        from_where = np.nonzero(sure & source if (sure & source).any() else sure)[0]
        if name in ("upper", "behind"):
            guess[wanted] = _strands(place, colors, from_where, wanted, texels.centre)
        elif name == "arms":
            guess[wanted] = _blend_around(place * scale, colors, from_where, wanted)
        else:
            guess[wanted] = _blend(place * scale, colors, from_where, wanted)
    made = np.where(known[:, None] < 1, guess + known[:, None] * (colors - guess), colors)
    for part, color in INSIDE.items():
        made[groups[part]] = _darker_inside(place[groups[part], 2:], np.array(color))
    return made.astype(np.float32)


def _regions(colors: np.ndarray, sure: np.ndarray, height: np.ndarray, groups: dict[str, np.ndarray]) -> list[tuple]:
    """Return name, sources (N,) and scale of distances of each region to be continued."""
    limb, hair = groups["arms"] | groups["trunk"] | groups["neck"], _hair(colors, sure, height, groups)
    skin = groups["head"] & ~hair if (groups["face"] & sure & ~hair).any() else groups["head"]
    ears = groups["ears"] & sure
    covered = ears.any() and (ears & hair).sum() > 0.5 * ears.sum()
    even = (1, 1, 1)
    return [
        ("skin", skin, even), ("ears", hair if covered else skin, even), ("side", groups["head"], even),
        ("upper", hair, even), ("behind", hair, even),
        ("neck", groups["neck"] | groups["skin"] & ~hair, even),
        ("arms", limb, (ALONG_ARMS, 1, 1)), ("trunk", limb, (1, ALONG, THROUGH)),
        ("hand.L", groups["hand.L"], even), ("hand.R", groups["hand.R"], even),
    ]  # fmt: skip


def _strands(place, colors, source, wanted, centre: np.ndarray) -> np.ndarray:
    """Return the colour (M, 3) of hair for each texel: that of a place on the crown, with its strands.

    The back of the head is rolled forward about the axis from ear to ear, from whose top on the
    camera sees hair, and everything moves a little towards the middle of what it sees.
    """
    points = place[wanted] - centre
    up, forward = points[:, 1], points[:, 2]
    angle = np.arctan2(up, forward)
    angle = np.where(angle < -np.pi / 2, angle + 2 * np.pi, angle)
    angle = np.where(angle > np.pi / 2, np.pi / 2 - ROLL * (angle - np.pi / 2), angle)
    radius = np.hypot(up, forward)
    points = centre + np.stack([points[:, 0], radius * np.sin(angle), radius * np.cos(angle)], 1)
    points += INWARDS * (place[source].mean(0) - points)
    source = source[:: max(1, len(source) // STRANDS)]
    return colors[source][cKDTree(place[source]).query(points, eps=0.3, workers=-1)[1]]


def _blend(place, colors, source, wanted) -> np.ndarray:
    """Return the mean colour (M, 3) of the nearest sources, the nearer the more."""
    return _weigh(*_average(place[source], colors[source]), place[wanted], NEIGHBOURS)


def _blend_around(place, colors, source, wanted) -> np.ndarray:
    """Return the same with a wider reach, so that the colours of two sides meet without an edge.

    Only cubes of what is wanted look so far around; its texels blend these cubes.
    """
    node, _ = _average(place[wanted], colors[wanted])
    color = _weigh(*_average(place[source], colors[source]), node, NEIGHBOURS_AROUND, power=2)
    return _weigh(node, color, place[wanted], NEIGHBOURS)


def _average(place: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean place and colour (C, 3) of the texels in each cube."""
    _, cube = np.unique(np.floor(place / GRID).astype(int), axis=0, return_inverse=True)
    cube = cube.ravel()
    total = [np.bincount(cube, column) for column in np.column_stack([place, colors]).T]
    return tuple(np.split(np.column_stack(total) / np.bincount(cube)[:, None], [3], axis=1))


def _weigh(centre: np.ndarray, color: np.ndarray, points: np.ndarray, neighbours: int, power: int = 1) -> np.ndarray:
    """Return the mean colour (M, 3) of the nearest centres (C, 3), without jumps.

    The weights vanish at the last neighbour (Franke and Nielson 1980), so none appears or leaves abruptly.
    """
    count = np.arange(min(neighbours, len(centre))) + 1
    distance, near = cKDTree(centre).query(points, k=count, workers=-1)
    share = (1.0001 - (distance / distance[:, -1:].clip(1e-9)) ** 2) ** 2 / (distance**2 + REACH**2) ** power
    return np.einsum("nk,nkc->nc", share / share.sum(1, keepdims=True), color[near])


def _darker_inside(depth: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Return a colour (N, 3) that fades from the lips to the throat along the depth (N, 1) [m]."""
    if not len(depth):
        return np.empty((0, 3))
    front = (depth - depth.min()) / np.ptp(depth).clip(1e-6)
    return color * (THROAT + (1 - THROAT) * front**DEEPER)


def _odd_ones(colors: np.ndarray, known: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Return texels (M,) of a hand whose colour is not the hand's: the fit of fingers misses by their width."""
    seen = np.nonzero(hand & (known > 0))[0]
    if not len(seen):
        return seen
    middle = np.median(colors[seen[known[seen] > SURE]], axis=0) if (known[seen] > SURE).any() else colors[seen].mean(0)
    return seen[np.linalg.norm(colors[seen] - middle, axis=1) > OTHER]


def _hair(colors: np.ndarray, sure: np.ndarray, height: np.ndarray, groups: dict[str, np.ndarray]) -> np.ndarray:
    """Return which texels (N,) are hair; the upper head where nobody has another colour there than in the face.

    Hair is what is more like the crown than like the face.

    Args:
        height: (N,) of the texels [m].
    """
    head, face, crown = (groups[name] & sure for name in ("head", "face", "crown"))
    if not crown.any():  # a raised chin hides it
        upper = groups["upper"] & sure
        crown = upper & (height > np.quantile(height[upper], HIGHEST)) if upper.any() else upper
    if not face.any() or not crown.any():
        return groups["head"]
    skin, top = np.median(colors[face], axis=0), np.median(colors[crown], axis=0)
    if np.linalg.norm(skin - top) < OTHER:
        return groups["upper"] | groups["behind"]
    return head & (np.linalg.norm(colors - top, axis=1) < 0.3 * np.linalg.norm(colors - skin, axis=1))
