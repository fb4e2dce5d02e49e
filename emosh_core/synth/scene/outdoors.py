"""Outdoors: a lawn or a pavement, bushes and houses behind it, and the sky."""

import numpy as np

from emosh_core.synth.scene import patterns
from emosh_core.synth.scene.draws import draw, span
from emosh_core.synth.scene.furniture import leaves
from emosh_core.synth.scene.place import Place
from emosh_core.synth.scene.plates import Easel, Sheet, Surface, fineness, sheet_of

GROUNDS = {"grass": 3, "paving": 2, "asphalt": 1.5}
FAR = {"bushes": 2, "houses": 1.5, "bricks": 1}
WIDE = 14.0
"""What is behind reaches so far to each side of the person [m]."""


def outdoors(rng: np.random.Generator, place: Place, easel: Easel) -> tuple[np.ndarray, list[Sheet], dict]:
    """Return what lies beyond (h, w, 3) uint8, the sheets of a place outdoors, and what was drawn."""
    ground, far = draw(rng, GROUNDS), draw(rng, FAR)
    distance = place.back_least + span(rng, (1.5, 6.0))
    fine = min(fineness(easel, place.at(0, 0, 0)), 90)
    depth = distance + place.near + 1.5
    floor = getattr(patterns, ground)(rng, (2 * WIDE, depth), fine)
    away = (np.arange(floor.shape[0], dtype=np.float32)[:, None, None] + 0.5) / fine
    floor *= 1 - 0.4 * np.exp(-away / 0.25)
    surface = Surface(texture=_opaque(floor), origin=place.at(-WIDE, 0, distance), across=2 * WIDE * place.right,
                      down=-depth * place.back)  # fmt: skip
    high = span(rng, (2.2, 4.5)) if far == "bushes" else span(rng, (5.0, 9.0))
    picture = {"bushes": _bushes, "houses": _houses, "bricks": _bricks}[far](rng, high)
    down = np.array([0.0, -high - 0.05, 0.0])
    behind = Surface(texture=picture, origin=place.at(-WIDE, high, distance), across=2 * WIDE * place.right, down=down)
    return _sky(rng), [sheet_of(behind), sheet_of(surface, is_floor=True)], {"floor": ground, "wall": far}


def _opaque(color: np.ndarray) -> np.ndarray:
    rgb = np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def _sky(rng: np.random.Generator) -> np.ndarray:
    """Return a sky with soft clouds (h, w, 3) uint8."""
    y = np.linspace(0, 1, 96, dtype=np.float32)[:, None]
    gray = rng.random() < 0.4
    top, low = (
        patterns.hsv(span(rng, (205, 225)), 0.08 if gray else span(rng, (0.3, 0.55)), span(rng, (0.75, 0.92))),
        0.95,
    )
    color = patterns.mix(top, np.float32([low] * 3), np.repeat(y, 128, 1))
    clouds = np.clip(patterns.cloud(rng, (4.0, 3.0), 32, 1.2, 5) * 0.5, 0, 1)
    return _opaque(patterns.mix(color, (0.97, 0.97, 0.97), clouds * 0.7))[..., :3].copy()


def _bushes(rng: np.random.Generator, high: float) -> np.ndarray:
    """Return a hedge of uneven height (h, w, 4) uint8."""
    hue = span(rng, (80, 125))
    fine = 40
    width, height = patterns.pixels((2 * WIDE, high), fine)
    picture = np.zeros((height, width, 4), np.float32)
    for _ in range(26):
        bush = leaves(
            rng, (span(rng, (1.2, 2.6)), high * span(rng, (0.45, 0.62))), 420, 0.14, hue + span(rng, (-12, 12))
        )
        bush = bush[: height - 2, : width - 2]
        y, x = height - bush.shape[0], int(rng.integers(0, width - bush.shape[1]))
        part = picture[y:, x : x + bush.shape[1]]
        part += bush[..., 3:] * (bush - part)
    rim = high * (0.55 + 0.12 * patterns.cloud(rng, (2 * WIDE, 0.2), fine, 3.0, 5)[0])
    below = (high - (np.arange(height) + 0.5) / fine)[:, None] < rim
    shade = patterns.hsv(hue, 0.5, 0.22) * (1 + 0.3 * patterns.cloud(rng, (2 * WIDE, high), fine, 0.5)[..., None])
    body = np.dstack([np.clip(shade, 0, 1), below.astype(np.float32)[:, :width]])
    picture = picture + (1 - picture[..., 3:]) * body * body[..., 3:]
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _houses(rng: np.random.Generator, high: float) -> np.ndarray:
    """Return plastered fronts with rows of windows (h, w, 4) uint8."""
    fine = 40
    color = np.ones((*patterns.pixels((2 * WIDE, high), fine)[::-1], 3), np.float32)
    at = 0
    while at < color.shape[1]:
        wide = round(span(rng, (5, 9)) * fine)
        color[:, at : at + wide] = patterns.wall_color(rng) * 0.9
        storey, pitch, frame = span(rng, (2.7, 3.2)), span(rng, (1.6, 2.4)), span(rng, (0.75, 0.95))
        for row in np.arange(0.9, high, storey):
            for x in np.arange(at / fine + 0.5, (at + wide) / fine - 1.2, pitch):
                top, left = round((high - row - 1.5) * fine), round(x * fine)
                color[max(top, 0) : max(top + 60, 0), left : left + 40] = frame
                color[max(top + 3, 0) : max(top + 57, 0), left + 3 : left + 37] = (0.22, 0.27, 0.33)
        at += wide
    return _opaque(color * (1 + 0.03 * patterns.cloud(rng, (2 * WIDE, high), fine, 2.0))[..., None])


def _bricks(rng: np.random.Generator, high: float) -> np.ndarray:
    """Return a long brick wall (h, w, 4) uint8."""
    return _opaque(patterns.bricks(rng, (2 * WIDE, high), 70))
