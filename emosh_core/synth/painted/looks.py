"""Drawing who somebody is: plain values that decide everything that is painted."""

import numpy as np

from emosh_core.synth.painted.eyes import IRISES
from emosh_core.synth.people import Phenotype

SEEDS = 2**31
MELANIN = {"african": (1.0, 2.4), "asian": (0.15, 1.0), "caucasian": (0.03, 0.5)}
"""Ranges of melanin, see `skin.skin_color`."""
HAIRS = {
    "black": (0.055, 0.045, 0.04), "dark brown": (0.14, 0.09, 0.06), "brown": (0.27, 0.17, 0.10),
    "auburn": (0.36, 0.16, 0.08), "red": (0.52, 0.24, 0.10), "blond": (0.66, 0.50, 0.29),
    "light blond": (0.80, 0.67, 0.45), "grey": (0.52, 0.51, 0.50), "white": (0.80, 0.79, 0.77),
}  # fmt: skip
STYLES = {
    "man": ("cropped", "short", "short", "side", "bald", "cropped", "short", "long"),
    "woman": ("long", "bob", "ponytail", "bun", "long", "bob", "short", "ponytail"),
}
OUTFITS = {
    "man": ("t-shirt and jeans", "sweater and trousers", "t-shirt and shorts", "tank and shorts", "shirt and trousers"),
    "woman": ("t-shirt and jeans", "sweater and trousers", "dress", "top and skirt", "tank and leggings"),
}

SHOES = ("sneakers", "sneakers", "shoes", "boots")


def draw_looks(rng: np.random.Generator, phenotype: Phenotype) -> dict[str, str | float]:
    """Draw skin, face, hair and clothes of somebody."""
    share = np.array([phenotype.african, phenotype.asian, phenotype.caucasian]).clip(0) + 1e-3
    melanin = sum(s * rng.uniform(*MELANIN[name]) for s, name in zip(share / share.sum(), MELANIN, strict=True))
    gender, age = "woman" if phenotype.female else "man", phenotype.age
    hair = _hair_color(rng, melanin, age)
    man = gender == "man"
    color = np.clip(np.array(HAIRS[hair]) * rng.uniform(0.85, 1.2), 0, 1)
    eyes = ("brown", "dark") if melanin > 0.9 else tuple(IRISES)
    beard = str(rng.choice(["none", "stubble", "dark stubble"], p=[0.5, 0.3, 0.2])) if man else "none"
    return {
        "gender": gender, "age": round(age, 1), "melanin": melanin, "blood": float(rng.uniform(0.12, 0.42)),
        "flush": float(rng.uniform(0.3, 1.0)),
        "freckles": float(rng.uniform(0.15, 0.35)) if melanin < 0.4 and rng.random() < 0.25 else 0.0,
        "lipstick": float(rng.uniform(0.2, 0.8)) if not man and rng.random() < 0.4 else 0.0,
        "liner": float(rng.uniform(0.2, 1.0)) if not man else 0.0,
        "stubble": {"none": 0.12 * man, "stubble": 0.5, "dark stubble": 0.7}[beard] * (1 if melanin < 1.4 else 0.7),
        "beard": beard, "brow_density": float(rng.uniform(0.75, 1.0)),
        "brow_thickness": float(rng.uniform(0.8, 1.3) if man else rng.uniform(0.55, 0.9)),
        "eyes": str(rng.choice(eyes)), "hair": str(rng.choice(STYLES[gender])), "hair_color": hair,
        "hair_red": float(color[0]), "hair_green": float(color[1]), "hair_blue": float(color[2]),
        "shoes": str(rng.choice(SHOES)), "outfit": str(rng.choice(OUTFITS[gender])), "seed": float(rng.integers(SEEDS)),
    }  # fmt: skip


def _hair_color(rng: np.random.Generator, melanin: float, age: float) -> str:
    if rng.random() < (age - 40) / 45:
        return str(rng.choice(["grey", "white"]))
    if melanin > 1.0:
        return str(rng.choice(["black", "dark brown"], p=[0.75, 0.25]))
    if melanin > 0.5:
        return str(rng.choice(["black", "dark brown", "brown"]))
    return str(rng.choice(["black", "dark brown", "brown", "auburn", "red", "blond", "light blond"],
                          p=[0.12, 0.25, 0.25, 0.08, 0.07, 0.15, 0.08]))  # fmt: skip


def cloth_colors(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Return base and second colour (2, 3), 0..1, of a cloth of one of `fabric.KINDS`."""
    if kind == "denim":
        base = np.array([0.24, 0.33, 0.50]) * rng.uniform(0.35, 1.15)
        return np.stack([base, base])
    hue, value = rng.random(), rng.uniform(0.12, 0.9)
    strong = rng.choice([0.08, 0.35, 0.65])
    base, second = _from_hue(hue, strong, value), value + (0.45 if value < 0.5 else -0.45)
    other = _from_hue(hue + rng.choice([0.0, 0.45, 0.1]), rng.choice([0.05, 0.5]), second)
    return np.stack([base, other]).clip(0.04, 0.95)


def shoe_colors(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Return the colours (3, 3) of leather, sole and sock."""
    browns = np.array([[0.05, 0.05, 0.05], [0.22, 0.13, 0.08], [0.36, 0.22, 0.12]])
    leather = browns[rng.integers(3)] if kind != "sneakers" else cloth_colors(rng, "plain")[0]
    sole = np.full(3, rng.choice([0.85, 0.88, 0.2])) if kind == "sneakers" else 0.4 * leather
    return np.stack([leather, sole, np.full(3, rng.choice([0.08, 0.3, 0.8]))])


def _from_hue(hue: float, strength: float, value: float) -> np.ndarray:
    wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue - np.array([0, 1, 2]) / 3))
    return value * (1 - strength * (1 - wheel))
