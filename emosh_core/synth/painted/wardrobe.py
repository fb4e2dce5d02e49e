"""The wardrobe that needs no pack of assets."""

import hashlib
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.body.joints import HEAD, JAW
from emosh_core.render.teeth import fit_teeth, paint_teeth
from emosh_core.synth.figure import Figure, Person
from emosh_core.synth.painted.assemble import Piece, assemble
from emosh_core.synth.painted.atlas import Atlas, lay_out
from emosh_core.synth.painted.eyes import IRISES, eye_texels, paint_eye
from emosh_core.synth.painted.face import draw_frontal
from emosh_core.synth.painted.hair import STYLES, grow_hair, scalp
from emosh_core.synth.painted.looks import draw_looks
from emosh_core.synth.painted.outfit import draw_outfit, dress_in, hidden_skin, paint_cloth
from emosh_core.synth.painted.places import on_person, places
from emosh_core.synth.painted.skin import paint_skin, skin_color
from emosh_core.synth.people import draw_identity

VERSION = "1"
"""Changes when the same seed gives other people."""
SIDES = (512, 640, 800, 1024, 1280, 1536)
"""Sizes of the body's texture that are offered [px]."""
TEXELS_PER_PIXEL = 2.6
"""Side of the body's texture per pixel of the person's height: one texel of skin is about 0.8 fine pixels."""
EYE_AT, EYE_SIDE = 0.82, 0.15
"""Where the eyeball's picture lies in the texture, in a corner that the body leaves free, as shares of its side."""
TEETH_BACK = 0.002
"""Teeth lie so much farther back [m]: they must not show between closed lips."""
SKIN_GLOSS, EYE_GLOSS, TOOTH_GLOSS = 0.15, 0.8, 0.8


class PaintedWardrobe:
    """Draws people and dresses them without any assets.

    Args:
        body: the embedded body; figures are made on its device.
    """

    name = "painted"

    def __init__(self, body: EhmModel):
        self._given = body
        self._body = _on_cpu(body)
        self.fingerprint = hashlib.sha256(f"painted {VERSION} {body.fingerprint}".encode()).hexdigest()

    def person(self, rng: np.random.Generator, split: str) -> Person:
        """Draw a person; see `figure.Wardrobe`."""
        own = np.random.default_rng(int(rng.integers(2**31)))
        shape, phenotype = draw_identity(own, split)
        return Person(shape=shape, looks=draw_looks(own, phenotype))

    def figure(self, person: Person, pixels: float) -> Figure:
        """Dress a person; see `figure.Wardrobe`."""
        looks, body = person.looks, self._body
        side = next((s for s in SIDES if s >= pixels * TEXELS_PER_PIXEL), SIDES[-1])
        atlas = lay_out(body, side)
        rngs = iter(np.random.default_rng(int(looks["seed"])).spawn(8))
        shaped = body.with_shape_of(person.shape)
        outfit = draw_outfit(looks["outfit"], looks["shoes"], next(rngs))
        on = on_person(shaped, places(body))
        shown = ~hidden_skin(shaped, on, outfit)
        skin = self._skin(shaped, atlas, looks, shown, next(rngs))
        color = np.array([looks["hair_red"], looks["hair_green"], looks["hair_blue"]])
        if looks["hair"] in STYLES:
            skin = replace(skin, tint=skin.tint * _under_hair(shaped, color, looks))
        cloth = paint_cloth(outfit, atlas, on)
        pieces = [*dress_in(shaped, on, outfit, atlas, cloth, next(rngs)), *_teeth(shaped),
                  *grow_hair(shaped, looks["hair"], color, next(rngs))]  # fmt: skip
        figure = assemble(shaped, skin, _skin_gloss(body), pieces)
        return _to_device(figure, self._given)

    def _skin(
        self, shaped: ShapedBody, atlas: Atlas, looks: dict, shown: np.ndarray, rng: np.random.Generator
    ) -> Piece:
        body = self._body
        frontal = draw_frontal(body, rng, looks["brow_thickness"], 0.0)
        which = np.flatnonzero(shown[atlas.face])
        texture = atlas.picture(paint_skin(body, atlas, which, frontal, looks, rng), which)
        eye = paint_eye(int(EYE_SIDE * atlas.side), IRISES[looks["eyes"]], rng)
        left, height = int(EYE_AT * atlas.side), len(eye)
        texture[:height, left : left + height] = eye
        texels = atlas.pixels.copy()
        for row, place in eye_texels(body, height).items():
            texels[row] = place + np.float32([left, 0])
        owner = np.zeros(len(texels), np.int64)
        owner[body.face_uv.numpy()] = body.faces.numpy()
        return Piece(
            verts=shaped.rest_verts.numpy(), weights=body.lbs_weights.numpy(), faces=body.faces.numpy()[shown],
            corners=body.face_uv.numpy()[shown], texels=texels, owner=owner, texture=texture,
            tint=_occlusion(body), gloss=SKIN_GLOSS,
        )  # fmt: skip


def _occlusion(body: EhmModel) -> np.ndarray:
    """Return the light (V, 3) that reaches the skin: less under the chin."""
    at = places(body).t_pose
    low = np.exp(-(((at[:, 1] - 0.50) / 0.03) ** 2)) * (at[:, 2] > 0.03) * (at[:, 2] < 0.12) * (np.abs(at[:, 0]) < 0.07)
    return np.repeat(1 - 0.3 * low[:, None], 3, 1)


def _under_hair(shaped: ShapedBody, color: np.ndarray, looks: dict) -> np.ndarray:
    """Return the factor (V, 3) that gives the scalp the colour of the hair on it."""
    share = 0.8 * scalp(shaped)[:, None]
    return 1 + share * (np.clip(color / skin_color(looks["melanin"], looks["blood"]), 0, 1.3) - 1)


def _skin_gloss(body: EhmModel) -> np.ndarray:
    gloss = np.full(len(body.template), SKIN_GLOSS)
    for index, name in enumerate(body.part_names):
        verts = body.faces[body.face_part == index].unique().numpy()
        if name.startswith(("eye_front", "eye_back")):
            gloss[verts] = EYE_GLOSS
        elif name == "mouth_cavity":
            gloss[verts] = 0.05
    return gloss


def _teeth(shaped: ShapedBody) -> list[Piece]:
    teeth = fit_teeth(shaped)
    picture = paint_teeth()
    texture = np.concatenate([picture, np.ones_like(picture[..., :1])], -1)
    faces, half = teeth.faces.numpy(), len(teeth.rest["upper"])
    weights = np.zeros((2 * half, 55), np.float32)
    weights[:half, HEAD] = weights[half:, JAW] = 1
    dirs = np.zeros((2 * half, 3, 52), np.float32)
    dirs[half:] = teeth.jaw_dirs.numpy() * float(shaped.expression_gain.mean())
    verts = torch.cat([teeth.rest["upper"], teeth.rest["lower"]]).numpy() - [0, 0, TEETH_BACK]
    return [Piece(
        verts=verts, weights=weights, faces=faces, corners=faces, texels=teeth.pixels.numpy(),
        owner=np.arange(2 * half), texture=texture, tint=np.full((2 * half, 3), 0.9), gloss=TOOTH_GLOSS, dirs=dirs,
    )]  # fmt: skip


def _on_cpu(body: EhmModel) -> EhmModel:
    """Return the model with its tensors on the CPU, where people are made."""
    if body.template.device.type == "cpu":
        return body
    return replace(body, **{f.name: v.cpu() for f in fields(body) if isinstance(v := getattr(body, f.name), Tensor)})


def _to_device(figure: Figure, body: EhmModel) -> Figure:
    device = body.template.device
    if device.type == "cpu":
        return figure
    own = lambda thing: ((f.name, getattr(thing, f.name)) for f in fields(thing))  # noqa: E731
    moved = lambda thing: {name: v.to(device) for name, v in own(thing) if isinstance(v, Tensor)}  # noqa: E731
    shaped = replace(figure.shaped, model=body, **moved(figure.shaped))
    binding = replace(figure.binding, **moved(figure.binding))
    parts = tuple(replace(part, **moved(part)) for part in figure.parts)
    return replace(figure, shaped=shaped, binding=binding, parts=parts, **moved(figure))


