"""Hair: a cap with a soft rim that follows the skull, and what hangs or is tied behind it."""

import numpy as np

from emosh_core.body.ehm import ShapedBody
from emosh_core.body.joints import HEAD, JOINT_NAMES
from emosh_core.synth.painted.assemble import Piece
from emosh_core.synth.painted.cut import cut_out
from emosh_core.synth.painted.garment import drape
from emosh_core.synth.painted.noise import ramp, smooth_noise
from emosh_core.synth.painted.places import places
from emosh_core.synth.painted.tube import grid_faces, grid_texels

MIDDLE = np.array([0.0, 0.62, 0.045])
"""Of the skull on the mean body in the T-pose [m]."""
AZIMUTHS = np.radians([0, 25, 40, 50, 57, 64, 82, 96, 112, 140, 180])
"""Seen from above, from the forehead (0) over the ear (about 65°) to the nape."""
HAIRLINE = np.array([0.672, 0.673, 0.662, 0.630, 0.606, 0.636, 0.640, 0.605, 0.570, 0.545, 0.540])
"""Height of the hairline there [m]."""
STYLES = {"cropped": (0.004, 0.001), "short": (0.011, 0.004), "side": (0.016, 0.005), "long": (0.014, 0.003),
          "bob": (0.016, 0.003), "ponytail": (0.007, 0.0015), "bun": (0.007, 0.0015)}  # fmt: skip
"""How far the cap stands off the skull, and how uneven it is [m]."""
LENGTH = {"long": 0.30, "bob": 0.145}
"""How far below the skull's middle the hair hangs [m]."""
PICTURE = (512, 192)
"""Width and height of a picture of strands [px]."""
TALL = 0.19
"""What its height stands for, from the rim up [m]."""
SOFT = 0.012
"""Width of the cap's rim, along which strands end [m]."""
GLOSS = 0.25
NECK, CHEST = JOINT_NAMES.index("neck"), JOINT_NAMES.index("spine3")


def grow_hair(shaped: ShapedBody, style: str, color: np.ndarray, rng: np.random.Generator) -> list[Piece]:
    """Return the hair of somebody; none for a style without.

    Args:
        style: one of STYLES, or "bald".
        color: (3,) sRGB, 0..1.
    """
    if style not in STYLES:
        return []
    cap = _cap(shaped, style, color, rng)
    scale = _head_scale(shaped)
    if style in LENGTH:
        return [cap, _curtain(shaped, LENGTH[style] * rng.uniform(0.85, 1.15), scale, color, rng)]
    if style in ("ponytail", "bun"):
        return [cap, _tied(shaped, style, scale, color, rng)]
    return [cap]


def scalp(shaped: ShapedBody) -> np.ndarray:
    """Return how much of the body's vertices (V,) is under hair, 0..1."""
    return ramp(_field(places(shaped.model).t_pose), -0.002, 0.012) * _on_head(shaped)


def _on_head(shaped: ShapedBody) -> np.ndarray:
    model = shaped.model
    return (model.head_mask.numpy() > 0.5) * (places(model).t_pose[:, 1] > 0.52)


def _field(place: np.ndarray) -> np.ndarray:
    """Return how far places (N, 3) lie above the hairline [m]."""
    around = np.abs(np.arctan2(place[:, 0], place[:, 2] - MIDDLE[2]))
    return place[:, 1] - np.interp(around, AZIMUTHS, HAIRLINE)


def _strands(color: np.ndarray, rng: np.random.Generator, *, rim: float, sides: float = 0.0) -> np.ndarray:
    """Paint strands that run from the top to the bottom (h, w, 4), premultiplied.

    Args:
        rim: share of the height, at the bottom, along which they end.
        sides: the same at both sides.
    """
    width, height = PICTURE
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    at = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    layer = lambda across, along: smooth_noise(at, (across, along, 1.0), rng).reshape(height, width)  # noqa: E731
    light = 1 + 0.20 * layer(0.012, 0.5) + 0.13 * layer(0.045, 0.8) + 0.08 * layer(0.2, 0.5)
    # Light comes from above: a band where hair turns to it, roots and ends darker.
    light *= 0.86 + 0.22 * np.exp(-(((y - 0.35) / 0.22) ** 2))
    alpha = ramp(1 - y + 0.5 * rim * layer(0.008, 0.6), 0.0, rim)
    if sides:
        alpha = alpha * ramp(np.minimum(x, 1 - x) + 0.2 * sides * layer(0.01, 0.5), 0, sides)
    rgb = np.clip(light[..., None] * color, 0, 1)
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], -1).astype(np.float32)


def _cap(shaped: ShapedBody, style: str, color: np.ndarray, rng: np.random.Generator) -> Piece:
    """Return hair that lies on the skull."""
    body, at = shaped.model, places(shaped.model)
    field = np.where(_on_head(shaped), _field(at.t_pose), -1.0)
    away, uneven = STYLES[style]
    grown = ramp(field, 0, 0.03)
    bumps = smooth_noise(at.t_pose, (0.03, 0.05, 0.03), rng).clip(-1, 2)
    verts, _ = drape(shaped, at, away * (0.35 + 0.65 * grown) + uneven * grown * bumps)
    cut = cut_out(body, field, ("head",))
    place, height = cut.take(at.t_pose), cut.take(field)
    around = np.arctan2(place[:, 0], MIDDLE[2] - place[:, 2])  # 0 behind: there the picture begins and ends
    width, tall = PICTURE
    corners = cut.faces
    angle = around[corners]
    angle = angle + 2 * np.pi * ((angle[:, :1] - angle) > np.pi) - 2 * np.pi * ((angle - angle[:, :1]) > np.pi)
    # Faces that cross the seam behind reach beyond the picture, which goes on there a little.
    more = width // 4
    x = ((angle / (2 * np.pi) + 0.5) * (width - 2) + 1 + more).clip(1, width + 2 * more - 1)
    y = (1 - height[corners] / TALL).clip(0, 1) * (tall - 2) + 1
    rows = np.arange(corners.size).reshape(-1, 3)
    picture = _strands(color, rng, rim=SOFT / TALL)
    lit = (0.75 + 0.25 * ramp(height, 0, 0.05))[:, None]
    return Piece(
        verts=cut.take(verts), weights=cut.take(body.lbs_weights.numpy()), faces=corners, corners=rows,
        texels=np.stack([x, y], -1).reshape(-1, 2).astype(np.float32), owner=corners.reshape(-1),
        texture=np.concatenate([picture[:, -more:], picture, picture[:, :more]], 1), tint=np.repeat(lit, 3, 1),
        gloss=GLOSS, blends=True,
    )  # fmt: skip


def _head_scale(shaped: ShapedBody) -> float:
    """Return the size of the person's skull over the mean one's."""
    model = shaped.model
    head = model.head_mask > 0.99
    size = lambda verts: float(verts[head, 1].amax() - verts[head, 1].amin())  # noqa: E731
    return size(shaped.rest_verts) / size(model.template)


def _middle(shaped: ShapedBody, scale: float) -> np.ndarray:
    """Return the middle of the person's skull at rest (3,) [m]."""
    return shaped.rest_joints[HEAD].numpy() + scale * (MIDDLE - places(shaped.model).joint("head"))


def _curtain(shaped: ShapedBody, length: float, scale: float, color: np.ndarray, rng: np.random.Generator) -> Piece:
    """Return hair that hangs down at the sides and behind."""
    rows, columns = 16, 40
    middle, rest = _middle(shaped, scale), shaped.rest_verts.numpy()
    trunk = shaped.model.lbs_weights[:, [CHEST, NECK, JOINT_NAMES.index("spine2")]].sum(1).numpy() > 0.4
    angle = np.linspace(np.radians(72), np.radians(288), columns)
    behind = ramp(np.abs(angle - np.pi), np.radians(85), np.radians(50))
    verts = np.zeros((rows, columns, 3))
    radius = np.stack([0.092 + 0 * angle, 0.098 + 0.012 * behind], 1) * scale
    wave = 0.004 * smooth_noise(np.stack([angle * 0.09, 0 * angle, 0 * angle], 1), 0.03, rng)
    for row in range(rows):
        share = row / (rows - 1)
        deep = 0.05 * scale - share * (length * (0.72 + 0.28 * behind) + 0.05) * scale
        y = middle[1] + deep
        near = trunk & (np.abs(rest[:, 0]) < 0.11)
        back = np.array([rest[near & (np.abs(rest[:, 1] - level) < 0.02), 2].min(initial=np.inf) for level in y])
        reach = np.where(np.isfinite(back), middle[2] - back + 0.018, 0)
        tucked = 0.80 + 0.20 * min(1.0, share / 0.3)  # its upper rim lies under the cap
        out = np.maximum(tucked * radius[:, 1] * (1 + 0.10 * share), behind * reach) + wave * share
        verts[row, :, 0] = middle[0] + np.sin(angle) * (tucked * radius[:, 0] * (1 + 0.12 * share) + wave * share)
        verts[row, :, 1] = y
        verts[row, :, 2] = middle[2] + np.cos(angle) * out
    verts = verts.reshape(-1, 3)
    down = ((middle[1] - verts[:, 1]) / scale).clip(0)
    weights = np.zeros((len(verts), 55))
    weights[:, CHEST] = 0.75 * ramp(down, 0.10, 0.26)
    weights[:, NECK] = 0.5 * ramp(down, 0.06, 0.14) * (1 - weights[:, CHEST])
    weights[:, HEAD] = 1 - weights[:, CHEST] - weights[:, NECK]
    tint = np.repeat(0.72 + 0.28 * ramp(down, 0.2, 0.02), 3).reshape(-1, 3)
    return _grid(verts, rows, columns, weights, _strands(color, rng, rim=0.12, sides=0.05), tint)


def _tied(shaped: ShapedBody, style: str, scale: float, color: np.ndarray, rng: np.random.Generator) -> Piece:
    """Return a bun or a ponytail behind the head."""
    rows, columns = 12, 14
    share = np.linspace(0, 1, rows)
    if style == "bun":
        path = np.stack([0 * share, 0.035 - 0.0 * share, -0.085 - 0.055 * share], 1)
        radius = 0.036 * np.sqrt((1 - (2 * share - 1) ** 2).clip(0.02)) * rng.uniform(0.8, 1.2)
    else:
        path = np.stack([0 * share, 0.05 + 0.03 * np.sin(np.pi * share * 0.6) - 0.27 * share**1.3,
                         -0.085 - 0.05 * np.sin(np.pi * share.clip(0, 0.5)) - 0.012 * share], 1)  # fmt: skip
        radius = 0.012 + 0.022 * np.sin(np.pi * (0.12 + 0.8 * share)) ** 0.8
    path, radius = path * scale + _middle(shaped, scale), radius * scale
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.array([1.0, 0, 0])
    up = np.cross(along, across)
    turn = np.linspace(0, 2 * np.pi, columns)
    ring = np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * up[:, None]
    verts = (path[:, None] + radius[:, None, None] * ring).reshape(-1, 3)
    weights = np.zeros((len(verts), 55))
    weights[:, CHEST] = (0.5 * ramp(np.repeat(share, columns), 0.35, 1)) if style == "ponytail" else 0
    weights[:, HEAD] = 1 - weights[:, CHEST]
    tint = np.repeat((0.8 + 0.2 * np.sin(turn).clip(0))[None], rows, 0).reshape(-1, 1).repeat(3, 1)
    rim = 0.3 if style == "ponytail" else 0.01
    return _grid(verts, rows, columns, weights, _strands(color, rng, rim=rim), tint)


def _grid(verts: np.ndarray, rows: int, columns: int, weights, texture: np.ndarray, tint: np.ndarray) -> Piece:
    faces = grid_faces(rows, columns)
    return Piece(verts=verts, weights=weights, faces=faces, corners=faces, texels=grid_texels(rows, columns, PICTURE),
                 owner=np.arange(len(verts)), texture=texture, tint=tint, gloss=GLOSS, blends=True)  # fmt: skip
