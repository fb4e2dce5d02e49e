"""The colour of skin, painted in space on the mean body so that no seam of the texture shows."""

import functools

import numpy as np

from emosh_core.body.ehm import EhmModel
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.synth.painted.atlas import Atlas
from emosh_core.synth.painted.face import Frontal, landmarks
from emosh_core.synth.painted.noise import blob, mix, ramp, smooth_noise

PALE = np.array([0.97, 0.86, 0.79])
"""Skin without melanin and blood."""
MELANIN, BLOOD = np.array([0.46, 0.61, 0.74]), np.array([0.05, 0.45, 0.38])
"""How strongly red, green and blue are absorbed (Beer and Lambert's law); fitted by eye to the range of human skin."""
CAVITY, TONGUE = np.array([0.36, 0.12, 0.12]), np.array([0.66, 0.33, 0.32])
CHEEKS, NOSE_TIP = (50, 280), 4
"""MediaPipe's face landmarks."""
FINGERTIPS = (4, 8, 12, 16, 20)
"""MediaPipe's hand landmarks."""
KNUCKLE_JOINTS = tuple(i for side in (25, 40) for i in range(side, side + 15))


def skin_color(melanin: float, blood: float) -> np.ndarray:
    """Return the colour (3,) of skin, 0..1.

    Args:
        melanin: 0 (palest) to about 2.5 (darkest).
        blood: about 0.1 to 0.5.
    """
    return PALE * np.exp(-melanin * MELANIN - blood * BLOOD)


def paint_skin(
    body: EhmModel, atlas: Atlas, which: np.ndarray, frontal: Frontal, looks: dict, rng: np.random.Generator
) -> np.ndarray:
    """Return colours (M, 3) of some of the atlas's texels.

    Args:
        which: (M,) the texels.
        frontal: what lies on the face.
        looks: see `looks.draw_looks`.
        rng: decides blotches and freckles.
    """
    place, fixed = atlas.place[which], _fixed(body, atlas)
    palms, flushed, front = (fixed[name][which] for name in ("palms", "flushed", "front"))
    blotch, patch = smooth_noise(place, 0.07, rng), smooth_noise(place, 0.012, rng)
    melanin = looks["melanin"] * (1 - 0.6 * palms) * (1 + 0.04 * blotch)
    melanin += 0.05 * ramp(place[:, 1], 0.3, 0.6)
    melanin += looks["freckles"] * _freckles(place, rng) if looks["freckles"] else 0
    blood = looks["blood"] * (1 + 0.16 * blotch + 0.10 * patch) + 0.5 * looks["flush"] * flushed
    colors = np.stack([PALE[i] * np.exp(-melanin * MELANIN[i] - blood * BLOOD[i]) for i in range(3)], 1)
    colors = colors.astype(np.float32)
    colors *= 1 + np.float32(0.02) * smooth_noise(place, 0.004, rng)[:, None]
    on_face = np.flatnonzero(front)
    colors[on_face] = _paint_face(colors[on_face], frontal, place[on_face], front[on_face], looks, rng)
    nails = fixed["nails"][which]
    on_nails = np.flatnonzero(nails)
    colors[on_nails] = mix(colors[on_nails], 0.5 * colors[on_nails] + [0.46, 0.37, 0.35], nails[on_nails])
    inside = np.flatnonzero(fixed["inside"][which])
    colors[inside] = _paint_mouth(body, colors[inside], place[inside], atlas.part[which][inside])
    return colors.clip(0, 1)


def _paint_face(colors, frontal: Frontal, place: np.ndarray, front: np.ndarray, looks: dict, rng) -> np.ndarray:
    base = skin_color(looks["melanin"], looks["blood"])
    at = lambda name: frontal.at(name, place) * front  # noqa: E731
    dark = ramp(np.array(looks["melanin"]), 0.5, 1.6)
    lips = base * ((1 - dark) * np.array([0.84, 0.62, 0.63]) + dark * np.array([0.95, 0.76, 0.80]))
    lips = (1 - looks["lipstick"]) * lips + looks["lipstick"] * np.array([0.58, 0.14, 0.18])
    hair = np.array([looks["hair_red"], looks["hair_green"], looks["hair_blue"]])
    grain = (0.85 + 0.3 * smooth_noise(place, 0.0035, rng)).clip(0, 1.3)
    colors = mix(colors, 0.72 * base, 0.55 * at("shadow") * (1 + looks["liner"]) / 2)
    shadow = (looks["stubble"] * at("beard") * grain).clip(0, 1)
    colors = mix(colors, (0.4 * hair + 0.4 * base * [0.9, 0.95, 1.0]) * min(1, 1.2 * base.mean() + 0.3), shadow)
    colors = mix(colors, lips * (1 + 0.04 * smooth_noise(place, 0.002, rng))[:, None], 0.8 * at("lips"))
    colors = mix(colors, 0.35 * lips, 0.75 * at("part"))
    colors = mix(colors, 0.12 * base, (0.55 + 0.4 * looks["liner"]) * at("lids"))
    return mix(colors, 0.55 * hair + 0.05 * base, looks["brow_density"] * at("brows"))


@functools.lru_cache(maxsize=6)
def _fixed(body: EhmModel, atlas: Atlas) -> dict[str, np.ndarray]:
    """Return what is the same for everybody, each (N,) float32 in 0..1."""
    place, normal = atlas.place, atlas.normal
    palm = (np.abs(place[:, 0]) > 0.63) * ramp(-normal[:, 1], 0.1, 0.6)
    sole = (place[:, 1] < -0.84) * ramp(-normal[:, 1], 0.3, 0.8)
    inside = [i for i, name in enumerate(body.part_names) if name.startswith(("mouth", "tongue", "eye_cavity"))]
    found = {
        "palms": np.maximum(palm, sole), "flushed": _flushed(body, atlas), "nails": _nails(body, atlas),
        "front": ramp(normal[:, 2], -0.1, 0.25) * (place[:, 2] > 0.06) * (place[:, 1] > 0.45),
        "inside": np.isin(atlas.part, inside),
    }  # fmt: skip
    return {name: values.astype(np.float32) for name, values in found.items()}


def _flushed(body: EhmModel, atlas: Atlas) -> np.ndarray:
    """Return how much more blood (N,) shows: cheeks, nose, ears, knuckles, knees, elbows."""
    points, joints = landmarks(body), mean_in_t_pose(body).joints[0].numpy()
    head = atlas.place[:, 1] > 0.53
    share = sum(0.55 * blob(atlas.place, points[i] - [0, 0.004, 0], 0.022) for i in CHEEKS)
    share += 0.6 * blob(atlas.place, points[NOSE_TIP], 0.015)
    share += 0.5 * head * ramp(np.abs(atlas.place[:, 0]), 0.072, 0.080)
    for joint in (4, 5, 18, 19):
        share += 0.45 * blob(atlas.place, joints[joint], 0.07)
    for joint in KNUCKLE_JOINTS:
        share += 0.6 * blob(atlas.place, joints[joint], 0.014) * ramp(atlas.normal[:, 1], 0.2, 0.7)
    return share


def _freckles(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    spots = ramp(smooth_noise(place, 0.006, rng), 1.1, 1.9)
    return spots * (blob(place, (0, 0.59, 0.15), 0.06) + 0.25 * (np.abs(place[:, 0]) > 0.15))


def _nails(body: EhmModel, atlas: Atlas) -> np.ndarray:
    """Return where nails are (N,): on the backs of the fingertips."""
    posed, share = mean_in_t_pose(body), np.zeros(len(atlas.place), np.float32)
    for side in ("left_hand", "right_hand"):
        points = posed.landmarks(side)[0].numpy()
        for tip in FINGERTIPS:
            along = points[tip] - points[tip - 1]
            along = along / np.linalg.norm(along)
            middle = points[tip] - 0.004 * along
            near = np.flatnonzero(((atlas.place - middle) ** 2).sum(1) < 0.02**2)
            out = atlas.place[near] - middle
            up = np.array([0, 1, 0]) if tip != FINGERTIPS[0] else np.array([0, 0.55, 0.83])
            across, ahead = np.linalg.norm(np.cross(out, along), axis=1), np.abs(out @ along)
            found = ramp(ahead, 0.0075, 0.0055) * ramp(across, 0.0085, 0.007) * ramp(atlas.normal[near] @ up, 0.6, 0.8)
            share[near] = np.maximum(share[near], found)
    return share


def _paint_mouth(body: EhmModel, colors: np.ndarray, place: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Give cavities their own colour: red and darker inwards in the mouth, pink around eyeballs."""
    names = {name: (part == i)[:, None] for i, name in enumerate(body.part_names)}
    deep = ramp(place[:, 2], 0.145, 0.07)[:, None]
    lids = names["eye_cavity.L"] | names["eye_cavity.R"]
    colors = np.where(lids, 0.6 * colors + 0.4 * np.array([0.62, 0.36, 0.33]), colors)
    colors = np.where(names["mouth_cavity"], CAVITY * (1 - 0.85 * deep), colors)
    return np.where(names["tongue"], TONGUE * (1 - 0.6 * deep), colors)
