"""Skirts: a tube around both legs that hangs from the waist."""

import numpy as np
from scipy.spatial import cKDTree

from emosh_core.body.ehm import ShapedBody
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.synth.painted.assemble import Piece
from emosh_core.synth.painted.fabric import weave
from emosh_core.synth.painted.noise import ramp
from emosh_core.synth.painted.places import places
from emosh_core.synth.painted.tube import close_ring, grid_faces, grid_texels, hull_radius

RINGS, AROUND = 18, 56
SLAB = 0.025
"""Half the height of the slice of the body that a ring encloses [m]."""
EASE, INNER = 0.014, 0.006
HIP_BLEND = 0.07
"""Half the width of the stretch between the legs where both move the cloth [m]."""
PELVIS, HIPS = JOINT_NAMES.index("pelvis"), (JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip"))


def sew_skirt(
    shaped: ShapedBody, on: np.ndarray, span: tuple[float, float], flare: float, cloth: str, colors: np.ndarray,
    density: float, seed: int,
) -> Piece:  # fmt: skip
    """Hang a skirt on somebody.

    Args:
        on: (V, 4) what `on_person` returned.
        span: heights of waist and hem on the mean body in the T-pose [m].
        flare: how much wider it gets per metre of depth.
        cloth: one of `fabric.KINDS`.
        colors: (2, 3) of the cloth.
        density: texels per metre.
        seed: of the cloth.
    """
    rng = np.random.default_rng(seed)
    trunk = on[:, 3] < 0.3
    rest = shaped.rest_verts.numpy()
    top, hem = (rest[trunk & (np.abs(on[:, 1] - y) < 0.012), 1].mean() for y in span)
    hip = float(shaped.rest_joints[list(HIPS), 1].mean())
    angles = np.linspace(-np.pi, np.pi, AROUND + 1)  # 0 is in front, the seam behind
    levels = np.linspace(top, hem, RINGS)
    centre = np.array([0.0, float(shaped.rest_joints[PELVIS, 2])])
    radius = np.stack([
        hull_radius(rest[trunk & (np.abs(rest[:, 1] - y) < SLAB)][:, [2, 0]] - centre[::-1], angles) for y in levels
    ])  # fmt: skip
    depth = (hip + 0.02 - levels).clip(0)[:, None]
    radius = np.maximum.accumulate(radius - 0.02 * depth, 0) + EASE + flare * depth
    for _ in range(2):
        radius[1:-1] = (radius[:-2] + 2 * radius[1:-1] + radius[2:]) / 4
    radius += 0.10 * flare * depth * np.cos(rng.integers(7, 12) * angles + rng.uniform(0, 6))
    out = np.stack([np.sin(angles), np.cos(angles)], -1)
    x, z = radius * out[:, 0], radius * out[:, 1]
    grid = np.stack([x + centre[0], np.broadcast_to(levels[:, None], x.shape), z + centre[1]], -1)
    inside = grid[-3:][::-1].copy()
    inside[..., [0, 2]] -= INNER * out
    grid = np.concatenate([grid, inside])
    verts, owner = close_ring(grid)
    size = (max(16, round(2 * np.pi * radius.mean() * density)), max(16, round((top - hem) * density)))
    texels = grid_texels(RINGS, AROUND + 1, size).reshape(RINGS, AROUND + 1, 2)
    texels = np.concatenate([texels, texels[-3:][::-1]]).reshape(-1, 2)
    corners = grid_faces(RINGS + 3, AROUND + 1)
    tint = np.ones((RINGS + 3, AROUND, 3))
    tint[RINGS:] = 0.4
    return Piece(
        verts=verts, weights=_weights(verts, hip, shaped, trunk), faces=owner[corners], corners=corners,
        texels=texels, owner=owner, texture=_paint(size, radius.mean(), span, cloth, colors, seed),
        tint=tint.reshape(-1, 3), gloss=0.0,
    )  # fmt: skip


def _weights(verts: np.ndarray, hip: float, shaped: ShapedBody, trunk: np.ndarray) -> np.ndarray:
    """Follow the skin at the waist, the nearer thigh below the hips, both between the legs."""
    at, rest = places(shaped.model), shaped.rest_verts.numpy()
    skin = at.smoothed(shaped.model.lbs_weights.numpy(), 6)
    rows = np.flatnonzero(trunk)
    nearest = rows[cKDTree(rest[rows]).query(verts)[1]]
    left = ramp(verts[:, 0], -HIP_BLEND, HIP_BLEND)
    hanging = np.zeros_like(skin[nearest])
    hanging[:, HIPS[0]], hanging[:, HIPS[1]] = left, 1 - left
    share = ramp(verts[:, 1], hip + 0.03, hip - 0.12)[:, None]
    return (1 - share) * skin[nearest] + share * hanging


def _paint(size, radius: float, span, cloth: str, colors: np.ndarray, seed: int) -> np.ndarray:
    width, height = size
    angle, y = np.meshgrid(np.linspace(-np.pi, np.pi, width), np.linspace(*span, height))
    angle, y = angle.ravel(), y.ravel()
    place = np.stack([radius * np.sin(angle), y, radius * np.cos(angle), 0 * y], 1).astype(np.float32)
    kind = "plain" if cloth == "print" else cloth
    painted = weave(place, 0.15 * angle, y, kind, colors, np.random.default_rng(seed))
    painted *= (1 - 0.25 * np.exp(-((y - span[1] - 0.018) / 0.0015) ** 2))[:, None]
    return np.concatenate([painted, np.ones((len(y), 1))], 1).reshape(height, width, 4).astype(np.float32)
