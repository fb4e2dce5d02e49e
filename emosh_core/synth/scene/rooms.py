"""Rooms: a floor, walls with windows, doors and pictures, and furniture that stands behind the person."""

import numpy as np

from emosh_core.synth.scene import patterns, walls
from emosh_core.synth.scene.draws import draw, span
from emosh_core.synth.scene.furniture import Item, furnish
from emosh_core.synth.scene.place import Place
from emosh_core.synth.scene.plates import Easel, Sheet, Surface, fineness, sheet_of
from emosh_core.synth.scene.walls import Wall

FLOORS = {"planks": 4, "tiles": 2, "carpet": 1.5, "concrete": 1}
WALLS = {"paint": 5, "stripes": 0.8, "motif": 0.8, "bricks": 1.2, "boards": 0.8, "concrete": 0.5}
UNDER = 0.1
"""Walls go on so far below the floor and behind the next wall, so that no gap shows between layers [m]."""


def room(rng: np.random.Generator, place: Place, easel: Easel) -> tuple[np.ndarray, list[Sheet], dict]:
    """Return what lies beyond (h, w, 3) uint8, the sheets of a room from back to front, and what was drawn."""
    left = place.left_least + span(rng, (0.2, 2.5))
    right = place.right_least + span(rng, (0.2, 2.5))
    back = place.back_least + span(rng, (0.3, 2.8))
    high = max(place.ceiling_least, span(rng, (2.4, 3.1)))
    front = -(place.near + 1.0)
    floor_kind, wall_kind = draw(rng, FLOORS), draw(rng, WALLS)
    items = furnish(rng, place, left, right, back)
    fine = fineness(easel, place.at(0, 1, back))
    shade = span(rng, (0.14, 0.26))
    light_side = rng.choice([-1, 1])
    sheets = []

    def hang(kind: str, wide: float, start: np.ndarray, along: np.ndarray, dress) -> None:
        wall = Wall(getattr(patterns, kind)(rng, (wide, high), fine), fine)
        dress(wall)
        walls.corners(wall, shade)
        sheets.append(sheet_of(_upright(wall, start, along, wide, high)))

    accent = "paint" if rng.random() < 0.5 else wall_kind
    hang(
        wall_kind,
        left + right,
        place.at(-left, 0, back),
        place.right,
        lambda wall: _dress(wall, rng, light_side, items, left),
    )
    state = rng.bit_generator.state
    depth = back - front
    for side, edge in ((-1, -left), (1, right)):
        # Both side walls are of one kind and colour, like most rooms.
        rng.bit_generator.state = state
        start = place.at(edge, 0, front) if side < 0 else place.at(edge, 0, back)
        hang(accent, depth, start, -side * place.back, lambda wall, side=side: _side(wall, rng, side == light_side))
    floor = Wall(getattr(patterns, floor_kind)(rng, (left + right, depth), min(fine * 1.4, 220)), min(fine * 1.4, 220))
    for item in items:
        floor.shadow(item.x0 + left, item.x1 + left, depth - back + item.z0, depth - back + item.z1, 0.12, 0.45)
    walls.corners(floor, shade)
    _sunlight(floor, rng, light_side)
    texture = floor.texture()
    ceiling = np.full((4, 4, 4), 255, np.uint8)
    ceiling[..., :3] = np.rint(255 * np.float32([0.9, 0.9, 0.88]) * span(rng, (0.8, 1.0)))
    across, down = (left + right) * place.right, -depth * place.back
    top = Surface(texture=ceiling, origin=place.at(-left, high, back), across=across, down=down)
    under = Surface(texture=texture, origin=place.at(-left, 0, back), across=across, down=down)
    sheets += [sheet_of(top), sheet_of(under, is_floor=True)]
    sheets += [item.sheet(place, easel) for item in sorted(items, key=lambda item: -item.z1)]
    beyond = np.full((2, 2, 3), 128, np.uint8)
    return beyond, sheets, {"floor": floor_kind, "wall": wall_kind}


def _upright(wall: Wall, start: np.ndarray, along: np.ndarray, wide: float, high: float) -> Surface:
    """Return a wall whose lower left corner is at `start` as a surface; it goes on below the floor."""
    texture = wall.texture()
    below = round(UNDER * wall.fine)
    texture = np.concatenate([texture, np.repeat(texture[-1:], below, 0)])
    down = np.array([0.0, -(high + below / wall.fine), 0.0])
    return Surface(texture=texture, origin=start + np.array([0, high, 0]), across=wide * along, down=down)


def _dress(wall: Wall, rng: np.random.Generator, light_side: int, items: list[Item], left: float) -> None:
    """Put a window, a door or pictures on the back wall, and shadows of what stands before it."""
    width = wall.size[0]
    x = (np.arange(wall.color.shape[1], dtype=np.float32) + 0.5) / wall.fine / width
    lit = 1 + span(rng, (0.0, 0.12)) * light_side * (x - 0.5) * 2
    wall.color *= np.clip(lit, 0, 1.1)[:, None]
    if rng.random() < 0.9:
        walls.skirting(wall, rng)
    tall = any(item.high > 1.3 for item in items)
    cells = np.sort(rng.uniform(0.12, 0.88, 2)) * width
    if rng.random() < 0.55:
        wide = min(span(rng, (0.9, 2.4)), 0.4 * width)
        walls.window(wall, rng, cells[0], wide, span(rng, (0.75, 1.0)), span(rng, (1.9, 2.25)), rng.random() < 0.5)
    elif not tall or rng.random() < 0.5:
        walls.pictures(wall, rng, max(0.3, cells[0] - 1.2), min(width - 0.3, cells[0] + 1.2))
    if cells[1] - cells[0] > 2.2:
        if rng.random() < 0.45:
            walls.door(wall, rng, cells[1])
        else:
            walls.pictures(wall, rng, cells[1] - 0.7, min(width - 0.2, cells[1] + 0.7))
    for item in items:
        wall.shadow(item.x0 + left, item.x1 + left, 0, item.high, 0.08, 0.3)


def _side(wall: Wall, rng: np.random.Generator, lit: bool) -> None:
    """Dress a side wall; daylight comes through the one on the lit side."""
    wall.color *= 1.02 if not lit else 0.9
    walls.skirting(wall, rng)
    at = span(rng, (0.25, 0.75)) * wall.size[0]
    if lit:
        walls.window(
            wall, rng, at, span(rng, (1.0, 2.0)), span(rng, (0.5, 1.0)), span(rng, (1.9, 2.25)), rng.random() < 0.6
        )
    elif rng.random() < 0.6:
        walls.pictures(wall, rng, at - 0.8, at + 0.8)


def _sunlight(floor: Wall, rng: np.random.Generator, side: int) -> None:
    """Brighten the floor near the windows, softly."""
    width = floor.size[0]
    x = (np.arange(floor.color.shape[1], dtype=np.float32) + 0.5) / floor.fine
    away = x if side < 0 else width - x
    floor.color *= (0.9 + 0.2 * np.exp(-away / span(rng, (1.0, 2.5))))[:, None]
