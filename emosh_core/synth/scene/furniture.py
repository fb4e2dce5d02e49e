"""Furniture made of boxes, and plants: things that stand against the back wall."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from emosh_core.synth.scene import patterns
from emosh_core.synth.scene.draws import draw, span
from emosh_core.synth.scene.place import Place
from emosh_core.synth.scene.plates import Easel, Sheet, Surface

KINDS = {"sofa": 2, "shelf": 2, "cabinet": 2, "plant": 2, "armchair": 1, "bed": 0.5, "nothing": 1.5}
DEPTH = {"sofa": 0.85, "armchair": 0.8, "shelf": 0.32, "cabinet": 0.42, "plant": 0.5, "bed": 1.0}
WIDTH = {"sofa": (1.6, 2.3), "armchair": (0.8, 1.0), "shelf": (0.7, 1.8), "cabinet": (0.9, 1.8), "plant": (0.6, 0.9),
         "bed": (1.8, 2.1)}  # fmt: skip
FINE = 110
"""Pixels per metre of a texture."""
LIGHTER = {"front": 0.9, "top": 1.1, "left": 0.78, "right": 0.82}
"""Brightness of a box's faces."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box in the room's axes [m], with the picture of each face or one colour."""

    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]
    color: np.ndarray
    front: np.ndarray | None = None
    """(h, w, 3 or 4) float32, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A piece of furniture in the room's axes."""

    boxes: tuple[Box, ...]
    """From back to front."""
    x0: float
    x1: float
    z0: float
    z1: float
    high: float

    def sheet(self, place: Place, easel: Easel) -> Sheet:
        """Return it as one layer that faces the camera."""
        middle = place.at((self.x0 + self.x1) / 2, self.high / 2, (self.z0 + self.z1) / 2)
        away = (middle - easel.centre) * [1, 0, 1]
        normal = away / np.linalg.norm(away)
        eye = easel.centre - place.origin
        eye = np.array([eye @ place.right, eye[1], eye @ place.back])
        surfaces = [surface for box in self.boxes for surface in _faces(box, place, eye)]
        return Sheet(surfaces=tuple(surfaces), normal=normal, offset=float(normal @ middle))


def furnish(rng: np.random.Generator, place: Place, left: float, right: float, back: float) -> list[Item]:
    """Draw what stands along the back wall, from left to right, without touching the person's place."""
    items, x = [], -left + span(rng, (0.05, 0.6))
    while x < right - 0.5 and len(items) < 5:
        kind = draw(rng, KINDS)
        wide = span(rng, WIDTH.get(kind, (0.5, 1.5)))
        depth = DEPTH.get(kind, 0)
        if kind != "nothing" and x + wide < right - 0.05 and back - depth > place.back_least:
            items.append(_MAKE[kind](rng, x, x + wide, back - depth - 0.03, back - 0.03))
        x += wide + span(rng, (0.1, 0.9))
    return items


def _faces(box: Box, place: Place, eye: np.ndarray) -> list[Surface]:
    """Return those faces of a box that the eye (3,) sees, all in the room's axes."""
    (x0, x1), (y0, y1), (z0, z1) = box.x, box.y, box.z
    right, back, up = place.right, place.back, np.array([0.0, 1.0, 0.0])
    sides = []
    if eye[1] > y1:
        sides.append(("top", place.at(x0, y1, z1), (x1 - x0) * right, (z0 - z1) * back))
    if eye[0] < x0:
        sides.append(("left", place.at(x0, y1, z1), (z0 - z1) * back, (y0 - y1) * up))
    if eye[0] > x1:
        sides.append(("right", place.at(x1, y1, z0), (z1 - z0) * back, (y0 - y1) * up))
    sides.append(("front", place.at(x0, y1, z0), (x1 - x0) * right, (y0 - y1) * up))
    alpha = box.front is not None and box.front.shape[2] == 4
    made = []
    for name, origin, across, down in sides if not alpha else sides[-1:]:
        if name == "front" and box.front is not None:
            picture = box.front
        else:
            # A little darker towards the floor.
            fall = np.linspace(1.03, 0.85 if name != "top" else 1.0, 12, dtype=np.float32)[:, None, None]
            picture = np.broadcast_to(box.color * LIGHTER[name] * fall, (12, 12, 3))
        rgb = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        texture = rgb if alpha else np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
        made.append(Surface(texture=texture, origin=origin, across=across, down=down))
    return made


def _cloth(rng: np.random.Generator) -> np.ndarray:
    return patterns.hsv(span(rng, (0, 360)), span(rng, (0.05, 0.5)), span(rng, (0.25, 0.78)))


def _cushion(color: np.ndarray, wide: float, high: float) -> np.ndarray:
    """Return the front of a cushion (h, w, 3): lighter in the middle, with seams."""
    width, height = patterns.pixels((wide, high), FINE)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    round_off = (1 - 0.35 * np.abs(x) ** 6) * (1 - 0.35 * np.abs(y) ** 5) * (1 - 0.08 * y)
    return color * (0.95 * round_off)[..., None]


def _sofa(rng: np.random.Generator, x0: float, x1: float, z0: float, z1: float) -> Item:
    color, arm = _cloth(rng), span(rng, (0.12, 0.22))
    seat, high, side = span(rng, (0.4, 0.46)), span(rng, (0.75, 0.95)), span(rng, (0.55, 0.68))
    boxes = [Box(x=(x0, x1), y=(0.05, high), z=(z1 - 0.25, z1), color=color)]
    count = max(1, round((x1 - x0 - 2 * arm) / 0.7))
    edges = np.linspace(x0 + arm, x1 - arm, count + 1)
    for a, b in pairwise(edges):
        boxes.append(Box(x=(a, b), y=(seat, high + 0.03), z=(z1 - 0.4, z1 - 0.2), color=color,
                         front=_cushion(color * 0.97, b - a, high - seat)))  # fmt: skip
    boxes.append(Box(x=(x0 + arm, x1 - arm), y=(0.08, seat - 0.14), z=(z0 + 0.04, z1 - 0.2), color=color * 0.8))
    for a, b in pairwise(edges):
        boxes.append(Box(x=(a, b), y=(seat - 0.15, seat), z=(z0, z1 - 0.38), color=color,
                         front=_cushion(color, b - a, 0.15)))  # fmt: skip
    if rng.random() < 0.7:
        at, pillow = rng.choice(edges[:-1]) + span(rng, (0.05, 0.25)), _cloth(rng)
        boxes.append(Box(x=(at, at + 0.4), y=(seat, seat + 0.36), z=(z1 - 0.5, z1 - 0.4), color=pillow,
                         front=_cushion(pillow, 0.4, 0.36)))  # fmt: skip
    for a, b in ((x0, x0 + arm), (x1 - arm, x1)):
        boxes.append(Box(x=(a, b), y=(0.05, side), z=(z0, z1 - 0.05), color=color, front=_cushion(color, b - a, side)))
    return Item(boxes=tuple(boxes), x0=x0, x1=x1, z0=z0, z1=z1, high=high)


def _bed(rng: np.random.Generator, x0: float, x1: float, z0: float, z1: float) -> Item:
    frame, sheet = patterns.wood(rng), _cloth(rng) * 0.4 + 0.55
    boxes = (Box(x=(x0, x0 + 0.06), y=(0, 1.0), z=(z0, z1), color=frame),
             Box(x=(x0, x1), y=(0.05, 0.3), z=(z0, z1), color=frame),
             Box(x=(x0 + 0.06, x1), y=(0.3, 0.52), z=(z0, z1), color=sheet, front=_cushion(sheet, x1 - x0, 0.22)),
             Box(x=(x0 + 0.1, x0 + 0.5), y=(0.52, 0.66), z=(z0 + 0.1, z1), color=np.float32([0.92, 0.92, 0.9]),
                 front=_cushion(np.float32([0.95, 0.95, 0.93]), 0.4, 0.14)))  # fmt: skip
    return Item(boxes=boxes, x0=x0, x1=x1, z0=z0, z1=z1, high=1.0)


def _shelf(rng: np.random.Generator, x0: float, x1: float, z0: float, z1: float) -> Item:
    color, high = patterns.wood(rng) if rng.random() < 0.6 else np.float32([0.9, 0.9, 0.88]), span(rng, (0.9, 2.1))
    wide = x1 - x0
    width, height = patterns.pixels((wide, high), FINE)
    front = np.tile(color * np.float32(0.38), (height, width, 1))
    boards, rim = max(2, round(high / 0.36)), max(2, round(0.025 * FINE))
    for k in range(boards):
        top, bottom = round(height * k / boards) + rim, round(height * (k + 1) / boards)
        at = rim
        while at < width - 2 * rim:
            if rng.random() < 0.12:
                at += round(span(rng, (0.05, 0.3)) * FINE)
                continue
            thick = round(span(rng, (0.02, 0.055)) * FINE)
            tall = round((bottom - top) * span(rng, (0.55, 0.92)))
            book = patterns.hsv(span(rng, (0, 360)), span(rng, (0.05, 0.6)), span(rng, (0.25, 0.85)))
            part = front[bottom - tall : bottom, at : min(at + thick, width - rim)]
            part[:] = book * (1 - 0.3 * np.linspace(-1, 1, max(part.shape[1], 1))[:, None] ** 2)[: part.shape[1]]
            part[round(tall * 0.2) : round(tall * 0.3)] *= 1.25
            at += thick
        front[top - rim : top] = color * np.float32(0.95)
        front[top : top + 3] *= 0.6
    front[-rim:] = color * np.float32(0.9)
    front[:, :rim] = front[:, -rim:] = color * np.float32(0.92)
    box = Box(x=(x0, x1), y=(0, high), z=(z0, z1), color=color, front=front)
    return Item(boxes=(box,), x0=x0, x1=x1, z0=z0, z1=z1, high=high)


def _cabinet(rng: np.random.Generator, x0: float, x1: float, z0: float, z1: float) -> Item:
    color, high = patterns.wood(rng) if rng.random() < 0.6 else np.float32([0.88, 0.88, 0.86]), span(rng, (0.55, 1.0))
    wide = x1 - x0
    width, height = patterns.pixels((wide, high), FINE)
    front = np.tile(color * np.float32(0.9), (height, width, 1))
    front *= 1 + 0.03 * patterns.noise(rng, (wide, high), FINE, (0.5, 0.015))[:height, :width, None]
    for k in range(1, max(2, round(wide / 0.5))):
        at = round(width * k / max(2, round(wide / 0.5)))
        front[:, at - 1 : at + 1] *= 0.5
        front[height // 4 : height // 4 + 12, at - 6 : at - 4] = front[
            height // 4 : height // 4 + 12, at + 4 : at + 6
        ] = 0.3
    front[-6:] *= 0.4
    boxes = [Box(x=(x0, x1), y=(0, high), z=(z0, z1), color=color, front=front)]
    if rng.random() < 0.4:
        screen = np.full((60, 100, 3), 0.05, np.float32) + np.linspace(0.07, 0, 100, dtype=np.float32)[:, None]
        at = (x0 + x1) / 2
        boxes.append(Box(x=(at - 0.45, at + 0.45), y=(high + 0.04, high + 0.58), z=(z1 - 0.2, z1 - 0.16),
                         color=np.float32([0.08] * 3), front=screen))  # fmt: skip
    else:
        for _ in range(rng.integers(1, 4)):
            at, size, hue = span(rng, (x0 + 0.1, x1 - 0.3)), span(rng, (0.08, 0.2)), _cloth(rng)
            boxes.append(Box(x=(at, at + size), y=(high, high + size * span(rng, (0.6, 1.8))), z=(z1 - 0.3, z1 - 0.15),
                             color=hue, front=_cushion(hue, size, size)))  # fmt: skip
    return Item(boxes=tuple(boxes), x0=x0, x1=x1, z0=z0, z1=z1, high=high)


def leaves(rng: np.random.Generator, size: tuple[float, float], count: int, length: float, hue: float) -> np.ndarray:
    """Return a bush (h, w, 4) float32 of leaves around the middle, the upper ones lighter."""
    width, height = patterns.pixels(size, FINE)
    picture = np.zeros((height, width, 4), np.float32)
    for k in range(count):
        angle, far = span(rng, (0, 2 * np.pi)), np.sqrt(rng.random()) * 0.8
        x, y = (0.5 + 0.5 * far * np.cos(angle)) * width, (0.5 + 0.5 * far * np.sin(angle)) * height
        light = 0.28 + 0.3 * (k / count) + 0.16 * (0.5 - y / height) + span(rng, (-0.06, 0.06))
        color = patterns.hsv(hue + span(rng, (-12, 12)), span(rng, (0.35, 0.6)), float(np.clip(light, 0.1, 0.8)))
        long = length * FINE * span(rng, (0.6, 1.2))
        axes = (max(1, round(long / 2)), max(1, round(long * span(rng, (0.12, 0.25)))))
        turn = float(np.degrees(angle) + rng.normal(0, 35))
        cv2.ellipse(picture, (round(x), round(y)), axes, turn, 0, 360, (*map(float, color), 1.0), -1, cv2.LINE_AA)
    return picture


def _plant(rng: np.random.Generator, x0: float, x1: float, z0: float, z1: float) -> Item:
    high, pot, middle = span(rng, (0.9, 1.8)), span(rng, (0.22, 0.4)), (x0 + x1) / 2
    color, wide = _cloth(rng), span(rng, (0.13, 0.2))
    depth = (z0 + z1) / 2
    bush = leaves(
        rng, (x1 - x0, high - pot * 0.7), int(rng.integers(60, 160)), span(rng, (0.12, 0.35)), span(rng, (85, 130))
    )
    x = np.linspace(-1, 1, 24, dtype=np.float32)
    front = np.tile(color * (0.95 - 0.4 * (x - 0.3)[:, None] ** 2), (24, 1, 1))
    thick = (depth - 0.02, depth + 0.02)
    boxes = (Box(x=(middle - wide, middle + wide), y=(0, pot), z=thick, color=color, front=front),
             Box(x=(x0, x1), y=(pot * 0.7, high), z=(depth - 0.05, depth), color=color, front=bush))  # fmt: skip
    return Item(boxes=boxes, x0=middle - wide, x1=middle + wide, z0=depth - wide, z1=depth + wide, high=high)


_MAKE = {"sofa": _sofa, "armchair": _sofa, "shelf": _shelf, "cabinet": _cabinet, "plant": _plant, "bed": _bed}
