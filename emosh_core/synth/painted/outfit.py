"""Which garments an outfit is made of, and their texture."""

from dataclasses import dataclass, replace

import numpy as np

from emosh_core.body.ehm import ShapedBody
from emosh_core.synth.painted.assemble import Piece
from emosh_core.synth.painted.atlas import Atlas
from emosh_core.synth.painted.fabric import lay, weave
from emosh_core.synth.painted.garment import Top, Trousers, hidden_by, sew
from emosh_core.synth.painted.looks import cloth_colors, shoe_colors
from emosh_core.synth.painted.shoes import covers, make_shoes
from emosh_core.synth.painted.skirt import sew_skirt

BESIDE = 0.03
"""Cloth is painted this far beyond its rim [m], for the hem."""
SHOWN_UNDER, SHOWN_IN_SKIRT = 0.035, 0.12
"""How far inside a hem the body still is drawn [m]."""
TEXELS_PER_METRE = 0.53
"""Density of the body's texture, per texel of its side."""
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
    """Heights of waist and hem [m]."""
    skirt_flare: float = 0.0
    """How much wider the skirt gets per metre of depth."""
    one_cloth: bool = False
    """A dress: the skirt is of the top's cloth."""
    shoes: str
    """One of `shoes.COLLAR`."""
    colors: dict[str, np.ndarray]
    """Of "top", "trousers" (2, 3) and "shoes" (3, 3), 0..1."""
    seeds: dict[str, int]
    """Of the same, for what is random in their cloth."""

    @property
    def garments(self) -> list[Top | Trousers]:
        """What follows the body, innermost first."""
        return [self.top] if self.trousers is None else [self.trousers, self.top]


def draw_outfit(name: str, shoes: str, rng: np.random.Generator) -> Outfit:
    """Draw the cut and cloth of an outfit of `looks.OUTFITS` and shoes of a kind."""
    cut = _cut(name, rng)
    colors = {part: cloth_colors(rng, cut[f"{part}_cloth"]) for part in ("top", "trousers")}
    seeds = {part: int(rng.integers(2**31)) for part in ("top", "trousers", "shoes")}
    return Outfit(**cut, shoes=shoes, colors=colors | {"shoes": shoe_colors(rng, shoes)}, seeds=seeds)


def _cut(name: str, rng: np.random.Generator) -> dict:
    kinds = lambda *names: str(rng.choice(names))  # noqa: E731
    hem = rng.uniform(-0.10, -0.03)
    tee = Top(hem=hem, sleeve=rng.uniform(0.29, 0.37), vee=float(rng.choice([0, 0, 0.06])),
              neck=rng.uniform(0, 0.012), loose=rng.uniform(0.008, 0.022))  # fmt: skip
    tank = replace(tee, sleeve=0.0, neck=rng.uniform(0.015, 0.03), vee=0.0)
    sweater = replace(tee, sleeve=rng.uniform(0.62, 0.65), vee=0.0, ease=0.013, loose=0.016)
    long = Trousers(waist=hem + OVERLAP, hem=rng.uniform(-0.86, -0.84), flare=rng.uniform(0.008, 0.024))
    shorts = replace(long, hem=rng.uniform(-0.42, -0.26), flare=rng.uniform(0.014, 0.026))
    any_, legs = kinds("plain", "stripes", "print", "heather", "checks", "dots"), kinds("plain", "denim", "heather")
    cuts = {
        "t-shirt and jeans": (tee, any_, long, "denim"),
        "t-shirt and shorts": (tee, any_, shorts, legs),
        "tank and shorts": (tank, any_, shorts, legs),
        "sweater and trousers": (sweater, kinds("plain", "knit", "stripes", "heather"), long, legs),
        "shirt and trousers": (replace(sweater, vee=0.05, ease=0.009, loose=0.012, neck=-0.01),
                               kinds("plain", "checks", "stripes"), long, "plain"),
        "tank and leggings": (replace(tank, loose=0.006), any_, replace(long, flare=0.001, ease=0.003), "plain"),
    }  # fmt: skip
    if name in cuts:
        return dict(zip(("top", "top_cloth", "trousers", "trousers_cloth"), cuts[name], strict=True))
    waist = rng.uniform(0.03, 0.07)
    close = replace(tee if rng.random() < 0.6 else tank, hem=waist - 0.03, loose=0.002)
    return {
        "top": close, "top_cloth": any_, "trousers": None, "trousers_cloth": kinds("plain", "denim", "checks", "dots"),
        "skirt": (waist, rng.uniform(-0.46, -0.28)), "skirt_flare": rng.uniform(0.1, 0.35),
        "one_cloth": name == "dress",
    }  # fmt: skip


def paint_cloth(outfit: Outfit, atlas: Atlas, on: np.ndarray) -> np.ndarray:
    """Return the texture (side, side, 4) that the garments on the body share; upper ones hide lower ones.

    Args:
        on: (V, 4) what `on_person` returned.
    """
    place = atlas.at(on)
    colors, painted = np.zeros_like(atlas.place), np.zeros(len(place), bool)
    for garment in outfit.garments:
        part, kind = ("top", outfit.top_cloth) if garment is outfit.top else ("trousers", outfit.trousers_cloth)
        field = garment.inside(place)
        which = np.flatnonzero(field > (-BESIDE if garment is outfit.trousers else -BESIDE / 6))
        here, depth = place[which], field[which]
        cloth = weave(here, *lay(here), kind, outfit.colors[part], np.random.default_rng(outfit.seeds[part]))
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
    density = TEXELS_PER_METRE * atlas.side
    if outfit.skirt:
        part, kind = ("top", outfit.top_cloth) if outfit.one_cloth else ("trousers", outfit.trousers_cloth)
        pieces.append(sew_skirt(shaped, on, outfit.skirt, outfit.skirt_flare, kind, outfit.colors[part], density,
                                outfit.seeds[part]))  # fmt: skip
    return pieces + make_shoes(shaped, outfit.shoes, outfit.colors["shoes"], density, outfit.seeds["shoes"])


def hidden_skin(shaped: ShapedBody, on: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Return which faces (F,) of the body lie under clothes, well inside their rims."""
    body = shaped.model
    hidden = hidden_by(body, on, outfit.garments, SHOWN_UNDER)
    deep = covers(shaped, outfit.shoes)
    if outfit.skirt:
        waist, hem = outfit.skirt
        deep |= (on[:, 1] < waist - SHOWN_UNDER) & (on[:, 1] > hem + SHOWN_IN_SKIRT) & (on[:, 3] < 0.3)
    return hidden | deep[body.faces.numpy()].all(1)
