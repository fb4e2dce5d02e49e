"""Colours for the parts of the body that a picture does not show, continued from those it shows."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import EYES, HEAD, JAW
from emosh_core.render.colors import mean_in_t_pose

INSIDE = {"mouth_cavity": (70, 25, 25), "tongue": (140, 70, 70)}
"""Colours (RGB, 0..255) of what a closed mouth hides."""
ALONG = 3.0
"""Distances along a limb or the trunk count this much more than around it: hems stay where they are."""
THROUGH = 0.3
"""Distances from front to back of trunk and legs count this much: behind lies what the front shows."""
SURE = 0.8
"""From this weight on a texel is known and others may continue it."""
GRID = 0.015
"""Known texels are averaged over cubes of this side [m] before others continue them: no streaks."""
NEIGHBOURS = 16
REACH = 0.02
"""Distance [m] that hardly counts among the neighbours: soft transitions."""
OTHER = 45.0
"""Colours this far apart (RGB, 0..255) are different materials: hair and skin, hand and trousers."""
LEAST_HAIR = 0.02
"""With a smaller share of the upper head in another colour than the face, nobody has hair."""
STRAND = 0.006
"""Hair continues from places this far around the nearest [m], so that it looks like strands and not like streaks."""
LEAST_HAND = 0.03
"""A hand of which less than this share was seen gets the colour of the face."""


@dataclass(frozen=True)
class Texels:
    """Where the texels of the texture lie on the mean body in the T-pose."""

    place: np.ndarray
    """(N, 3) [m]."""
    groups: dict[str, np.ndarray]
    """Name of a region and which texels (N,) belong to it; see `texel_places`."""


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
    arms = (np.abs(place[:, 0]) > shoulder) & ~head & ~hands
    face_front = head & ~high & (place[:, 2] > joints[list(EYES), 2].mean() - 0.03)
    groups = {
        "head": head, "hair": head & (high | behind), "behind": behind, "face": face_front,
        "hand.L": part == index["hand.L"], "hand.R": part == index["hand.R"], "arms": arms,
        "trunk": ~head & ~hands & ~arms,
    }  # fmt: skip
    return Texels(place, groups | {name: part == index[name] for name in INSIDE})


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
    guess = np.empty_like(colors)
    limb = groups["arms"] | groups["trunk"]
    for name, source, scale in (
        ("head", groups["head"], (1, 1, 1)),
        ("behind", _hair(colors, sure, groups), (1, 1, 1)),
        ("arms", limb, (ALONG, 1, 1)),
        ("trunk", limb, (1, ALONG, THROUGH)),
        ("hand.L", groups["hand.L"], (1, 1, 1)),
        ("hand.R", groups["hand.R"], (1, 1, 1)),
    ):
        wanted = np.nonzero(groups[name] & (known < 1))[0]
        if name.startswith("hand") and (sure & source).sum() < LEAST_HAND * source.sum():
            source = groups["face"]
            guess[wanted] = np.median(colors[sure & source], axis=0) if (sure & source).any() else fallback
            continue
        from_where = np.nonzero(sure & source if (sure & source).any() else sure)[0]
        jitter = STRAND if name == "behind" else 0.0
        guess[wanted] = _nearest(place * scale, colors, from_where, wanted, jitter)
    made = np.where(known[:, None] < 1, guess + known[:, None] * (colors - guess), colors)
    for part, color in INSIDE.items():
        made[groups[part]] = color
    return made.astype(np.float32)


def _nearest(place, colors, source, wanted, jitter: float) -> np.ndarray:
    """Return the mean colour (M, 3) of the nearest sources, the nearer the more; with jitter [m] that of one texel."""
    if jitter:
        points = place[wanted] + np.random.default_rng(0).normal(0, jitter, (len(wanted), 3))
        return colors[source][cKDTree(place[source]).query(points, workers=-1)[1]]
    _, cube = np.unique(np.floor(place[source] / GRID).astype(int), axis=0, return_inverse=True)
    cube = cube.ravel()
    total = [np.bincount(cube, column) for column in np.column_stack([place[source], colors[source]]).T]
    centre, color = np.split(np.column_stack(total) / np.bincount(cube)[:, None], [3], axis=1)
    count = np.arange(min(NEIGHBOURS, len(centre))) + 1
    distance, near = cKDTree(centre).query(place[wanted], k=count, workers=-1)
    share = 1 / (distance**2 + REACH**2) ** 2
    return np.einsum("nk,nkc->nc", share / share.sum(1, keepdims=True), color[near])


def _odd_ones(colors: np.ndarray, known: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Return texels (M,) of a hand whose colour is not the hand's: the fit of fingers misses by their width."""
    seen = np.nonzero(hand & (known > 0))[0]
    if not len(seen):
        return seen
    middle = np.median(colors[seen[known[seen] > SURE]], axis=0) if (known[seen] > SURE).any() else colors[seen].mean(0)
    return seen[np.linalg.norm(colors[seen] - middle, axis=1) > OTHER]


def _hair(colors: np.ndarray, sure: np.ndarray, groups: dict[str, np.ndarray]) -> np.ndarray:
    """Return which texels (N,) the back of the head continues: hair if there is some, else the upper head."""
    upper, face = groups["hair"] & sure, groups["face"] & sure
    if not upper.any() or not face.any():
        return groups["head"]
    skin = np.median(colors[face], axis=0)
    hair = upper & (np.linalg.norm(colors - skin, axis=1) > OTHER)
    return hair if hair.sum() > LEAST_HAIR * upper.sum() else upper
