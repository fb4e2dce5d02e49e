"""Shoes: rings along each foot around its convex slices, with a sole."""

import numpy as np
from scipy.spatial import cKDTree

from emosh_core.body.ehm import ShapedBody
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.synth.painted.assemble import Piece
from emosh_core.synth.painted.noise import ramp, smooth_noise
from emosh_core.synth.painted.places import places
from emosh_core.synth.painted.tube import close_ring, grid_faces, grid_texels, hull_radius

STATIONS, AROUND = 18, 28
SLAB = 0.012
"""Half the thickness of a slice [m]."""
EASE, SOLE, TOE_BOX = 0.006, 0.008, 0.042
"""How far leather stands off, how thick the sole is, and how high the toes' end is [m]."""
SIDES = {"left": 1, "right": -1}
COLLAR = {"sneakers": 0.072, "shoes": 0.062, "boots": 0.125}
"""Height of each kind's rim above the sole of the foot [m]."""
GLOSS = {"sneakers": 0.1, "shoes": 0.4, "boots": 0.3}


def make_shoes(shaped: ShapedBody, kind: str, colors: np.ndarray, density: float, seed: int) -> list[Piece]:
    """Make a pair.

    Args:
        kind: a key of `COLLAR`.
        colors: (3, 3) of leather, sole and sock, 0..1.
        density: texels per metre.
        seed: of the leather.
    """
    size = (round(0.30 * density), round(0.34 * density))
    texture = _paint(size, kind, colors, np.random.default_rng(seed))
    return [_shoe(shaped, side, kind, texture) for side in SIDES]


def covers(shaped: ShapedBody, kind: str) -> np.ndarray:
    """Return which vertices (V,) of the body are inside shoes for sure."""
    rest, on_foot = shaped.rest_verts.numpy(), _feet(shaped, 0.4)
    floor = rest[on_foot["left"] | on_foot["right"], 1].min()
    return (on_foot["left"] | on_foot["right"]) & (rest[:, 1] < floor + COLLAR[kind] - 0.012)


def _feet(shaped: ShapedBody, least: float) -> dict[str, np.ndarray]:
    weights = shaped.model.lbs_weights.numpy()
    joints = {side: [JOINT_NAMES.index(f"{side}_{name}") for name in ("ankle", "foot")] for side in SIDES}
    return {side: weights[:, rows].sum(1) > least for side, rows in joints.items()}


def _shoe(shaped: ShapedBody, side: str, kind: str, texture: np.ndarray) -> Piece:
    rest, joints = shaped.rest_verts.numpy(), shaped.rest_joints.numpy()
    ankle, toes = (joints[JOINT_NAMES.index(f"{side}_{name}")] for name in ("ankle", "foot"))
    own = np.flatnonzero(_feet(shaped, 0.2)[side])
    forward = (toes - ankle) * [1, 0, 1]
    forward = forward / np.linalg.norm(forward)
    across = np.cross([0, 1, 0], forward)
    floor = rest[own, 1].min()
    local = (rest[own] - ankle) @ np.stack([forward, across, [0, 1, 0]], 1)
    local[:, 2] += ankle[1] - floor
    grid = _rings(local[local[:, 2] < COLLAR[kind]], COLLAR[kind])
    grid = grid[..., :1] * forward + grid[..., 1:2] * across + grid[..., 2:] * np.array([0, 1, 0])
    grid = grid + ankle * [1, 0, 1] + [0, floor, 0]
    verts, owner = close_ring(grid)
    weights = places(shaped.model).smoothed(shaped.model.lbs_weights.numpy(), 4)[own]
    nearest = cKDTree(rest[own]).query(verts, k=4)[1]
    corners = grid_faces(STATIONS, AROUND + 1)
    return Piece(
        verts=verts, weights=weights[nearest].mean(1), faces=owner[corners], corners=corners,
        texels=grid_texels(STATIONS, AROUND + 1, texture.shape[1::-1]), owner=owner, texture=texture,
        tint=np.ones((len(verts), 3)), gloss=GLOSS[kind],
    )  # fmt: skip


def _rings(local: np.ndarray, collar: float) -> np.ndarray:
    """Return places (STATIONS, AROUND + 1, 3): forward, across and up [m] of the foot given as points (N, 3)."""
    heel, toe = local[:, 0].min(), local[:, 0].max()
    share = (1 - np.cos(np.linspace(0, np.pi, STATIONS))) / 2
    stations = heel - 0.004 + share * (toe - heel + 0.012)
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, AROUND + 1)  # the seam runs along the sole
    rings = []
    for at, part in zip(stations, share, strict=True):
        near = local[np.abs(local[:, 0] - at.clip(heel + SLAB, toe - SLAB)) < SLAB]
        high = max(near[:, 2].max() + EASE, TOE_BOX)
        middle = np.array([(near[:, 1].min() + near[:, 1].max()) / 2, high / 2])
        points = np.concatenate([near[:, 1:], [[middle[0] - 0.02, high - EASE], [middle[0] + 0.02, high - EASE]]])
        points[:, 1] = np.maximum(points[:, 1], 0)
        points = np.concatenate([points, points * [1, 0]]) - middle  # straight down to the sole
        radius = hull_radius(points, angles) + EASE
        round_end = np.sqrt(1 - np.abs(2 * part - 1) ** 5).clip(0.02)
        y = middle[0] + radius * np.cos(angles) * round_end
        up = (middle[1] + radius * np.sin(angles)).clip(-SOLE, collar + EASE)
        up = np.where(np.sin(angles) < -0.55, -SOLE, up)
        lowered = round_end if part > 0.5 else 1.0
        rings.append(np.stack([np.full_like(y, at), y, -SOLE + (up + SOLE) * lowered], -1))
    grid = np.stack(rings)
    for _ in range(2):
        grid[1:-1, :, 1:] = (grid[:-2, :, 1:] + 2 * grid[1:-1, :, 1:] + grid[2:, :, 1:]) / 4
    return grid


def _paint(size: tuple[int, int], kind: str, colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the texture: around the shoe runs to the right, from heel to toe down."""
    width, height = size
    around, along = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    leather, sole, sock = np.asarray(colors, np.float32)
    place = np.stack([0.3 * around.ravel(), 0.3 * along.ravel(), 0 * around.ravel()], 1)
    grain = (0.04 * smooth_noise(place, 0.01, rng) + 0.05 * smooth_noise(place, 0.05, rng)).reshape(around.shape)
    picture = leather * (1 + grain)[..., None]
    top = np.abs(around - 0.5)
    blend = lambda share, color: picture + share[..., None] * (color - picture)  # noqa: E731
    if kind != "shoes":
        lace = ramp(top, 0.075, 0.065) * (np.sin(2 * np.pi * along * 26) > 0.1) * (np.abs(along - 0.54) < 0.11)
        picture = blend(0.9 * lace, sole)
        picture = blend(0.6 * ramp(np.abs(along - 0.86), 0.006, 0.003) * ramp(top, 0.3, 0.28), 0.6 * leather)
    picture = blend(ramp(top, 0.055, 0.045) * ramp(along, 0.42, 0.40) * ramp(along, 0.05, 0.07), sock)
    picture = blend(ramp(top, 0.325, 0.335), sole)
    picture = blend(0.5 * ramp(np.abs(top - 0.33), 0.006, 0.002), 0.3 * leather)
    return np.concatenate([picture.clip(0, 1), np.ones((height, width, 1))], -1).astype(np.float32)
