"""Studios: plain colours and paper sweeps, whose floor curves up into the wall."""

import cv2
import numpy as np

from emosh_core.synth.scene.draws import span
from emosh_core.synth.scene.place import Place
from emosh_core.synth.scene.plates import Sheet, Surface, sheet_of

WIDE, AHEAD, HIGH = 9.0, 4.0, 7.0
"""The sweep goes so far to each side of the person, so far towards the camera and beyond it, and so far up [m]."""
CURVE = 0.7
"""Radius of the curve between floor and wall [m]."""
CELL = 0.025
"""Of the pictures of floor and wall, which are smooth [m]."""


def sweep(
    rng: np.random.Generator, place: Place, color: np.ndarray, *, contrast: float
) -> tuple[np.ndarray, list[Sheet]]:
    """Return what lies beyond (h, w, 3) uint8 and the sheets of a paper sweep.

    Args:
        color: (3,) sRGB, 0..1.
        contrast: of the light on wall and floor; 0 is one colour everywhere.
    """
    distance = place.back_least + span(rng, (0.5, 2.5))
    front = -(place.near + AHEAD)
    centre = np.array([span(rng, (-1.2, 1.2)), span(rng, (0.8, 1.9))])
    wide = span(rng, (1.6, 3.2))
    steps = lambda low, high: np.arange(low + CELL / 2, high, CELL, dtype=np.float32)  # noqa: E731
    x = steps(-WIDE, WIDE)
    # A lamp on the wall behind the person, and light that the floor gets from above.
    lamp = lambda x, y: np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 / 0.8) / (2 * wide**2))  # noqa: E731
    dark, light = 1 - 0.55 * contrast, 1 + 0.15 * contrast
    y = steps(0, HIGH)[::-1, None]
    wall = dark + (light - dark) * lamp(x, y)
    z = steps(front, distance)[::-1, None]
    floor_light = dark + (light - dark) * (0.25 + 0.75 * np.exp(-(x**2 + (0.7 * z) ** 2) / (2 * (wide + 0.6) ** 2)))
    # Along the curve the surface turns from facing the ceiling lights to facing the room.
    meet = dark + (light - dark) * lamp(x, np.float32(0))
    near = np.clip((z - (distance - 2 * CURVE)) / (2 * CURVE), 0, 1)
    near = near * near * (3 - 2 * near)
    floor = floor_light * (1 - near) + meet * near
    turn = 1 - 0.07 * contrast * np.exp(-((y - 0.1) ** 2) / (2 * CURVE**2 / 4))
    floor_turn = 1 - 0.07 * contrast * np.exp(-((z - distance - 0.1) ** 2) / (2 * CURVE**2))
    wall, floor = wall * turn, floor * floor_turn
    surfaces = []
    for values, origin, down in ((wall, place.at(-WIDE, HIGH, distance), [0, -HIGH, 0]),
                                 (floor, place.at(-WIDE, 0, distance), (front - distance) * place.back)):  # fmt: skip
        rgb = np.rint(np.clip(values[..., None] * color, 0, 1) * 255).astype(np.uint8)
        texture = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
        surfaces.append(
            Surface(texture=texture, origin=origin, across=2 * WIDE * place.right, down=np.array(down, float))
        )
    beyond = np.rint(np.clip(dark * color, 0, 1) * 255).astype(np.uint8)[None, None]
    return np.ascontiguousarray(np.broadcast_to(beyond, (2, 2, 3))), [
        sheet_of(surfaces[0]),
        sheet_of(surfaces[1], is_floor=True),
    ]


def paper(rng: np.random.Generator) -> np.ndarray:
    """Draw the colour (3,) of a studio's background: mostly grays, sometimes a strong one."""
    value = span(rng, (0.12, 0.97))
    saturation = span(rng, (0.0, 0.08)) if rng.random() < 0.5 else span(rng, (0.15, 0.65))
    hsv = np.float32([[[span(rng, (0, 360)), saturation, value]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
