"""Garments that follow the body: fields that say where they end, ease that says how far they stand off."""

from dataclasses import dataclass

import numpy as np
import torch

from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.render.shade import vertex_normals
from emosh_core.synth.painted.assemble import Piece
from emosh_core.synth.painted.atlas import Atlas
from emosh_core.synth.painted.cut import cut_out, join_hem
from emosh_core.synth.painted.noise import ramp, smooth_noise
from emosh_core.synth.painted.places import Places, places

FOLD_BACK, THICKNESS = 0.004, 0.006
"""How far the hem is folded back along the cloth and towards the body [m]."""
INSIDE_LIGHT = 0.45
"""Light on the inside of a hem."""
SKIN_PARTS = ("body", "foot.L", "foot.R")
NECK_RADIUS = 0.082
"""What a crew neck leaves free, from above, on the mean body [m]."""
LEAST = 0.004
"""Cloth stands off the skin at least so far [m]."""
LOOSE_STEPS, WEIGHT_STEPS = 5, 4
"""Steps of smoothing that cloth spans hollows with, and that its skin weights get."""


@dataclass(frozen=True, kw_only=True)
class Top:
    """T-shirts, tank tops, sweaters; lengths on the mean body in the T-pose [m], the pelvis is the origin."""

    hem: float
    """Height of the lower rim."""
    sleeve: float
    """Where sleeves end: distance from the middle; 0 for none."""
    neck: float = 0.0
    """How much wider than a crew neck the opening is [m]."""
    vee: float = 0.0
    """Depth of a V in front [m]."""
    ease: float = 0.009
    loose: float = 0.012
    """How much more it stands off at the hem."""

    def inside(self, place: np.ndarray) -> np.ndarray:
        """Return how far places (N, 4), see `on_person`, lie from the rim, positive inside [m]."""
        x, y, z, arm = np.abs(place[:, 0]), *place[:, 1:].T
        # Only near the neck: on broad shoulders skin lies as high farther out.
        opening = np.maximum(0.462 - 0.40 * z - y, np.hypot(x, z - 0.02) - NECK_RADIUS)
        field = np.minimum(y - self.hem, opening - self.neck)
        if self.vee:
            field = np.minimum(field, opening - self.vee * (1 - x / 0.08) * ramp(z, 0.0, 0.05))
        if self.sleeve:
            return np.minimum(field, self.sleeve - x * ramp(arm, 0, 0.3))
        # Arms leave through a hole that runs inwards towards the shoulder's top.
        return np.minimum(field, 0.165 - (x + 0.25 * (y - 0.36).clip(0)) * ramp(arm, 0, 0.25))

    def stand_off(self, place: np.ndarray) -> np.ndarray:
        """Return the ease (N,) [m]."""
        x, y = np.abs(place[:, 0]), place[:, 1]
        x = x * ramp(place[:, 3], 0, 0.3)
        ease = self.ease + self.loose * ramp(y, 0.30, self.hem) * ramp(x, 0.22, 0.18)
        if self.sleeve > 0.45:
            return ease + 0.7 * self.loose * ramp(x, 0.2, 0.3) * ramp(x, self.sleeve, self.sleeve - 0.12)
        return ease + 0.9 * self.loose * ramp(x, 0.18, max(self.sleeve, 0.2))


@dataclass(frozen=True, kw_only=True)
class Trousers:
    """Trousers and shorts; lengths as in `Top`."""

    waist: float
    hem: float
    ease: float = 0.006
    flare: float = 0.012
    """How much more the legs stand off at the hem."""

    def inside(self, place: np.ndarray) -> np.ndarray:
        """Return how far places (N, 4), see `on_person`, lie from the rim, positive inside [m]."""
        _, y, _, arm = place.T
        return np.minimum(np.minimum(self.waist - y, y - self.hem), 0.5 - arm)

    def stand_off(self, place: np.ndarray) -> np.ndarray:
        """Return the ease (N,) [m]."""
        return self.ease + self.flare * ramp(place[:, 1], -0.06, max(self.hem, -0.6))


def sew(
    shaped: ShapedBody, on: np.ndarray, garment: Top | Trousers, atlas: Atlas, texture: np.ndarray, folds: float,
    rng: np.random.Generator, under: float = 0.0,
) -> Piece:  # fmt: skip
    """Put a garment on somebody.

    Args:
        shaped: the person at rest.
        on: (V, 4) what `on_person` returned.
        atlas: where the body's texture rows lie; the garment uses the same places in its own texture.
        texture: (h, w, 4) of the cloth.
        folds: height of the folds [m].
        rng: decides the folds.
        under: thickness of what is worn below [m].
    """
    body = shaped.model
    at = places(body)
    field = garment.inside(on)
    cut = cut_out(body, field, SKIN_PARTS)
    free = ramp(field, 0.01, 0.07)
    ease = garment.stand_off(on) * (0.45 + 0.55 * free if isinstance(garment, Top) else 1) + under
    ease = ease + folds * free * (smooth_noise(at.t_pose, (0.10, 0.16, 0.10), rng).clip(-0.8, 2) + 0.8)
    verts, normals = drape(shaped, at, ease)
    verts, normals = cut.take(verts), cut.take(normals)
    weights = cut.take(at.smoothed(body.lbs_weights.numpy(), WEIGHT_STEPS))
    along = _towards_inside(cut, verts)
    repeated, more, ring, rows, owners = join_hem(cut, verts, FOLD_BACK * along - THICKNESS * normals)
    tint = np.concatenate([np.ones((len(verts), 3)), np.full((len(more), 3), INSIDE_LIGHT)])
    corners = np.concatenate([cut.corners, ring])
    owner = np.concatenate([cut.owner, owners])
    texels = cut.take_rows(atlas.pixels)
    return Piece(
        verts=np.concatenate([verts, more]), weights=np.concatenate([weights, weights[repeated]]),
        faces=owner[corners], corners=corners, texels=np.concatenate([texels, texels[rows]]), owner=owner,
        texture=texture, tint=tint, gloss=0.0,
    )  # fmt: skip


def drape(shaped: ShapedBody, at: Places, ease: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a surface (V, 3) around the body at rest that spans its hollows, and its normals (V, 3).

    Args:
        ease: (V,) how far it stands off [m].
    """
    rest, faces = shaped.rest_verts, shaped.model.faces
    own = vertex_normals(rest[None], faces)[0].numpy()
    smooth = at.smoothed(rest.numpy(), LOOSE_STEPS)
    normals = vertex_normals(torch.as_tensor(smooth)[None], faces)[0].numpy()
    cloth = smooth + ease[:, None] * normals
    short = (LEAST + 0.5 * ease - ((cloth - rest.numpy()) * own).sum(1)).clip(0)
    return cloth + short[:, None] * own, normals


def _towards_inside(cut, verts: np.ndarray) -> np.ndarray:
    """Return for rim vertices the direction (V, 3) along the cloth away from the rim; 0 elsewhere."""
    third = np.zeros((len(verts), 3))
    count = np.zeros((len(verts), 1))
    triangles = cut.faces
    middle = verts[triangles].mean(1)
    on_rim = np.zeros(len(verts), bool)
    on_rim[cut.owner[cut.rim]] = True
    for i in range(3):
        np.add.at(third, triangles[:, i], middle)
        np.add.at(count, triangles[:, i], 1)
    out = third / count.clip(1) - verts
    length = np.linalg.norm(out, axis=1, keepdims=True).clip(1e-6)
    return np.where(on_rim[:, None], out / length, 0)


def hidden_by(body: EhmModel, on: np.ndarray, garments: list[Top | Trousers], margin: float) -> np.ndarray:
    """Return which faces (F,) of the body lie farther than a margin [m] inside one of the garments."""
    faces = body.faces.numpy()
    parts = [body.part_names.index(name) for name in SKIN_PARTS]
    hidden = np.zeros(len(faces), bool)
    for garment in garments:
        hidden |= (garment.inside(on) > margin)[faces].all(1)
    return hidden & np.isin(body.face_part.numpy(), parts)
