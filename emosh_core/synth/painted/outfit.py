"""Which garments an outfit is made of, and their texture."""

from dataclasses import dataclass, replace

import numpy as np

from emosh_core.body.ehm import ShapedBody
from emosh_core.synth.painted.assemble import Piece
from emosh_core.synth.painted.atlas import Atlas
from emosh_core.synth.painted.fabric import lay, weave
from emosh_core.synth.painted.garment import Top, Trousers, sew
from emosh_core.synth.painted.looks import cloth_colors

BESIDE = 0.03
"""Cloth is painted this far beyond its rim [m], for the hem."""
OVERLAP = 0.05
"""How far trousers reach up under a shirt [m]."""


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """What somebody wears on trunk and legs."""

    top: Top
    top_cloth: str
    """One of `fabric.KINDS`."""
    trousers: Trousers | None
    trousers_cloth: str
    skirt: tuple[float, float] | None = None
    """Height of waist and hem [m] and"""
    skirt_flare: float = 0.0
    one_cloth: bool = False
    """A dress: the skirt is of the top's cloth."""

    @property
    def garments(self) -> list[Top | Trousers]:
        """What follows the body, innermost first."""
        return [self.top] if self.trousers is None else [self.trousers, self.top]


def draw_outfit(name: str, rng: np.random.Generator) -> Outfit:
    """Draw the cut and cloth of an outfit of `looks.OUTFITS`."""
    kinds = lambda *names: str(rng.choice(names))  # noqa: E731
    short, hem = rng.uniform(0.29, 0.37), rng.uniform(-0.10, -0.03)
    tee = Top(hem=hem, sleeve=short, vee=float(rng.choice([0, 0, 0.06])), neck=rng.uniform(0, 0.015), loose=rng.uniform(0.008, 0.022))
    long = Trousers(waist=hem + OVERLAP, hem=rng.uniform(-0.86, -0.82), flare=rng.uniform(0.008, 0.024))
    shorts = replace(long, hem=rng.uniform(-0.42, -0.26), flare=rng.uniform(0.014, 0.026))
    sweater = replace(tee, sleeve=rng.uniform(0.62, 0.65), vee=0.0, ease=0.013, loose=0.016)
    tank = replace(tee, sleeve=0.0, neck=rng.uniform(0.02, 0.035), vee=0.0)
    plain = kinds("plain", "stripes", "print", "heather", "checks", "dots")
    if name == "t-shirt and jeans":
        return Outfit(top=tee, top_cloth=plain, trousers=long, trousers_cloth="denim")
    if name == "t-shirt and shorts":
        return Outfit(top=tee, top_cloth=plain, trousers=shorts, trousers_cloth=kinds("plain", "denim", "heather"))
    if name == "tank and shorts":
        return Outfit(top=tank, top_cloth=plain, trousers=shorts, trousers_cloth=kinds("plain", "denim", "heather"))
    if name == "sweater and trousers":
        return Outfit(top=sweater, top_cloth=kinds("plain", "knit", "stripes", "heather"), trousers=long,
                      trousers_cloth=kinds("plain", "denim", "heather"))  # fmt: skip
    if name == "shirt and trousers":
        shirt = replace(tee, sleeve=rng.uniform(0.62, 0.65), vee=0.05, neck=-0.012)
        return Outfit(top=shirt, top_cloth=kinds("plain", "checks", "stripes"), trousers=long, trousers_cloth="plain")
    if name == "tank and leggings":
        tight = replace(long, flare=0.001, ease=0.003)
        return Outfit(top=replace(tank, loose=0.006), top_cloth=plain, trousers=tight, trousers_cloth="plain")
    waist, leg = rng.uniform(0.03, 0.07), rng.uniform(-0.46, -0.28)
    close = replace(tee if rng.random() < 0.6 else tank, hem=waist - 0.03, loose=0.002)
    return Outfit(top=close, top_cloth=plain, trousers=None, trousers_cloth=kinds("plain", "denim", "checks", "dots"),
                  skirt=(waist, leg), skirt_flare=rng.uniform(0.1, 0.35), one_cloth=name == "dress")  # fmt: skip


def paint_cloth(outfit: Outfit, atlas: Atlas, on: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the texture (side, side, 4) that the garments on the body share; upper ones hide lower ones.

    Args:
        on: (V, 4) what `on_person` returned.
    """
    place = atlas.at(on)
    colors, painted = np.zeros_like(atlas.place), np.zeros(len(place), bool)
    clothes = (outfit.trousers_cloth, outfit.top_cloth) if outfit.trousers else (outfit.top_cloth,)
    for garment, kind in zip(outfit.garments, clothes, strict=True):
        pair, field = cloth_colors(rng, kind), garment.inside(place)
        which = np.flatnonzero(field > (-BESIDE if garment is outfit.trousers else -BESIDE / 6))
        here, depth = place[which], field[which]
        cloth = weave(here, *lay(here), kind, pair, rng)
        seam = 0.25 * np.exp(-(((depth - 0.018) / 0.0015) ** 2)) + 0.12 * np.exp(-((depth / 0.004) ** 2))
        colors[which] = cloth * (1 - seam)[:, None]
        painted[which] = True
    which = np.flatnonzero(painted)
    return atlas.picture(colors[which], which)


def dress_in(
    shaped: ShapedBody, on: np.ndarray, outfit: Outfit, atlas: Atlas, texture: np.ndarray, rng: np.random.Generator
) -> list[Piece]:
    """Return the garments that follow the body."""
    pieces = []
    for garment in outfit.garments:
        under = outfit.trousers.ease + 0.003 if outfit.trousers and garment is outfit.top else 0.0
        folds = 0.0035 if garment is outfit.top else 0.0025
        pieces.append(sew(shaped, on, garment, atlas, texture, folds, rng, under))
    return pieces
