"""Choose what somebody looks like and wears, to fit who they are."""

import colorsys

import numpy as np

from emosh_core.synth.pack import Item, Pack
from emosh_core.synth.people import Phenotype

Looks = dict[str, str | float]

HAIR_COLORS = {
    "black": (0.075, 0.065, 0.06), "dark brown": (0.165, 0.115, 0.08), "brown": (0.27, 0.185, 0.12),
    "light brown": (0.40, 0.29, 0.19), "dark blond": (0.52, 0.41, 0.27), "blond": (0.70, 0.57, 0.39),
    "red": (0.44, 0.21, 0.11),
}  # fmt: skip
"""Mean colours of hair, sRGB 0..1."""
GREY = (0.60, 0.595, 0.585)
HAIR_BY_ANCESTRY = {
    "african": {"black": 0.75, "dark brown": 0.2, "brown": 0.05},
    "asian": {"black": 0.68, "dark brown": 0.27, "brown": 0.05},
    "caucasian": {"black": 0.08, "dark brown": 0.27, "brown": 0.26, "light brown": 0.16, "dark blond": 0.11,
                  "blond": 0.09, "red": 0.03},
}  # fmt: skip
EYES_BY_ANCESTRY = {
    "african": {"browndark": 0.92, "brownlight": 0.08},
    "asian": {"browndark": 0.9, "brownlight": 0.1},
    "caucasian": {"browndark": 0.22, "brownlight": 0.25, "blue": 0.22, "bluegreen": 0.06, "green": 0.1, "grey": 0.14,
                  "deepblue": 0.01},
}  # fmt: skip
AGE_OF_SKIN = {"young": 25, "middleage": 47, "old": 72}


def draw_looks(rng: np.random.Generator, pack: Pack, who: Phenotype) -> Looks:
    """Choose skin, hair, face parts and clothes for somebody.

    Returns:
        Names of the pack's items and numbers for their colours: all that is needed to dress the person again.
    """
    gender = "female" if who.female else "male"
    looks: Looks = {"gender": gender, "age": round(who.age, 1), "ancestry": who.ancestry}
    looks |= _skin(rng, pack, who, gender)
    looks |= _hair(rng, pack, who, gender)
    looks |= _face(rng, pack, who, gender)
    return looks | _clothes(rng, pack, gender)


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    chances = np.array(list(odds.values()), float)
    return list(odds)[rng.choice(len(odds), p=chances / chances.sum())]


def _any(rng: np.random.Generator, items: list[Item]) -> str:
    return items[rng.integers(len(items))].name


def _color(prefix: str, rgb) -> Looks:
    return {f"{prefix}_{name}": round(float(value), 4) for name, value in zip(("red", "green", "blue"), rgb)}


def color(looks: Looks, prefix: str) -> np.ndarray:
    """Return a colour (3,) that looks hold under three names."""
    return np.array([looks[f"{prefix}_{name}"] for name in ("red", "green", "blue")], np.float32)


def _skin(rng: np.random.Generator, pack: Pack, who: Phenotype, gender: str) -> Looks:
    """Choose the picture nearest in ancestry, gender and age, and shift its tone towards the other ancestries."""

    def far(item: Item) -> float:
        other = item.tags["ethnicity"] != who.ancestry
        return 10 * other + 2 * (not item.suits(gender)) + abs(AGE_OF_SKIN[item.tags["age"]] - who.age) / 40

    skin = min(pack.of("skin"), key=lambda item: (far(item), item.name))
    tone = np.exp(rng.normal(0, [0.07, 0.02, 0.03]))  # brightness, green, blue
    gain = tone[0] * np.array([1, tone[1], tone[2]])
    if who.ancestry == "african":
        gain *= np.array([1.12, 1.08, 1.05]) * (1 + 0.9 * (1 - who.african)) * np.exp(abs(rng.normal(0, 0.14)))
    else:
        gain *= np.array([0.72, 0.60, 0.52]) ** (1.2 * who.african) * np.exp(-abs(rng.normal(0, 0.10)))
    # Lightened, the dark pictures would turn orange.
    saturation = round(float(np.clip(1.12 - 0.4 * (gain.mean() - 1), 0.62, 1)), 3)
    return {"skin": skin.name, "skin_saturation": saturation} | _color("skin", np.clip(gain, 0.45, 1.8))


def _hair(rng: np.random.Generator, pack: Pack, who: Phenotype, gender: str) -> Looks:
    known = {item.name for item in pack.of("hair") if not item.tags.get("covers_one_eye")}
    if gender == "female":
        odds = {"long01": 0.42, "ponytail01": 0.36, "short02": 0.08, "short04": 0.06, "short01": 0.02}
        odds["short01"] += 0.3 * (who.ancestry == "african")
    else:
        bald = 0.08 + 0.25 * max(0.0, (who.age - 35) / 45)
        odds = {"short02": 0.36, "short04": 0.32, "short01": 0.12, "long01": 0.02, "none": bald}
        odds["short01"] += 0.5 * (who.ancestry == "african")
        odds["none"] += 0.25 * (who.ancestry == "african")
    style = _pick(rng, {name: chance for name, chance in odds.items() if name in known or name == "none"})
    name = _pick(rng, HAIR_BY_ANCESTRY[who.ancestry])
    grey = float(np.clip((who.age - 38) / 38 + rng.normal(0, 0.25), 0, 1)) * (rng.random() < 0.75)
    shade = np.array(HAIR_COLORS[name]) * np.exp(rng.normal(0, 0.12))
    return {"hair": style, "hair_color": "grey" if grey > 0.6 else name} | _color(
        "hair", (1 - grey) * shade + grey * np.array(GREY) * rng.uniform(0.75, 1.2)
    )


def _face(rng: np.random.Generator, pack: Pack, who: Phenotype, gender: str) -> Looks:
    files = {file.path.rsplit("/", 1)[-1].split(".")[0] for file in pack.of("eyes")[0].files}
    eyes = {name: chance for name, chance in EYES_BY_ANCESTRY[who.ancestry].items() if name in files}
    return {
        "eyebrows": _any(rng, [item for item in pack.of("eyebrows") if item.suits(gender)]),
        "eyelashes": _any(rng, [item for item in pack.of("eyelashes") if item.suits(gender)]),
        "eyes": _pick(rng, eyes),
        "teeth_white": round(float(np.clip(1.0 - 0.003 * max(0.0, who.age - 30) + rng.normal(0, 0.03), 0.8, 1.05)), 3),
    }


def _clothes(rng: np.random.Generator, pack: Pack, gender: str) -> Looks:
    outfits = [item for item in pack.of("outfit") if item.suits(gender)]
    outfit = outfits[rng.integers(len(outfits))]
    formal = outfit.tags.get("formality") == "formal"
    shoes = [item for item in pack.of("shoes") if not formal or item.tags.get("formality") == "formal"]
    looks: Looks = {"outfit": outfit.name, "shoes": _any(rng, shoes)}
    looks |= _color("shoes", rng.uniform(0.7, 1.5) * np.exp(rng.normal(0, 0.05, 3)))
    for part, turn in (("top", np.pi), ("bottom", 0.25)):
        fabric = _fabric(rng) if outfit.neutral else rng.uniform(0.7, 1.35) * np.exp(rng.normal(0, 0.05, 3))
        hue = 0.0 if outfit.neutral else rng.uniform(-turn, turn)
        looks |= {f"{part}_hue": round(float(hue), 3), f"{part}_saturation": round(float(2 * rng.beta(2.5, 2.5)), 3)}
        looks |= _color(part, fabric)
    return looks


def _fabric(rng: np.random.Generator) -> np.ndarray:
    """Return the colour of some cloth."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.beta(1.6, 2.5), rng.uniform(0.22, 1.0)))
