"""Pictures of what floors and walls are made of: planks, tiles, bricks, paper, grass, and so on.

Each function returns (h, w, 3) float32 sRGB, 0..1, of a piece `size` (width, height) [m] at `fine` pixels per metre.
"""

import cv2
import numpy as np

from emosh_core.synth.scene.draws import span

Size = tuple[float, float]


def pixels(size: Size, fine: float) -> tuple[int, int]:
    """Return width and height [px]."""
    return tuple(max(8, round(side * fine)) for side in size)


def noise(rng: np.random.Generator, size: Size, fine: float, grain: Size) -> np.ndarray:
    """Return smooth noise (h, w) of about unit variance whose blobs are `grain` (width, height) large [m]."""
    width, height = pixels(size, fine)
    # Blobs finer than a pixel average out.
    cells = [min(full, max(2, round(side / blob) + 1)) for full, side, blob in zip((width, height), size, grain)]
    lattice = rng.standard_normal((cells[1], cells[0]), np.float32)
    return cv2.resize(lattice, (width, height), interpolation=cv2.INTER_CUBIC) * 1.25


def cloud(rng: np.random.Generator, size: Size, fine: float, largest: float, octaves: int = 4) -> np.ndarray:
    """Return noise (h, w) of about unit variance with details of all sizes from `largest` [m] down."""
    layers = [noise(rng, size, fine, (largest / 2**k,) * 2) * 0.6**k for k in range(octaves)]
    return sum(layers) / np.sqrt(sum(0.36**k for k in range(octaves)))


def courses(
    rng: np.random.Generator, size: Size, fine: float, unit: Size, shift: float | None, joint: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lay units in rows.

    Args:
        unit: width and height of one [m].
        shift: of every other row, over the unit's width; at random without it.
        joint: width of the joints [m].

    Returns:
        A random number (h, w) in −1..1 for each unit, and how much of a pixel is joint (h, w).
    """
    width, height = pixels(size, fine)
    x, y = ((np.arange(side, dtype=np.float32) + 0.5) / fine for side in (width, height))
    rows = int(np.ceil(size[1] / unit[1])) + 1
    offset = rng.random(rows) if shift is None else np.arange(rows) % 2 * shift
    along = x / unit[0] + offset[:, None]
    tone = rng.uniform(-1, 1, (rows, int(np.ceil(size[0] / unit[0])) + 3)).astype(np.float32)
    tone = np.take_along_axis(tone, along.astype(int), 1)
    row = (y / unit[1]).astype(int).clip(0, rows - 1)
    across = _line(along, unit[0], joint, fine)[row]
    return tone[row], np.maximum(across, _line(y / unit[1], unit[1], joint, fine)[:, None]).astype(np.float32)


def _line(along: np.ndarray, unit: float, joint: float, fine: float) -> np.ndarray:
    """Return how much of a pixel lies in joints at whole numbers; joints finer than a pixel become faint."""
    from_joint = np.abs(along - np.round(along)) * unit
    return np.clip((joint / 2 - from_joint) * fine + 0.5, 0, min(1.0, joint * fine))


def mix(color, other, share: np.ndarray) -> np.ndarray:
    """Return colours (h, w, 3) between two (3,) or (h, w, 3), by share (h, w)."""
    color, other = np.float32(color), np.float32(other)
    return color + (other - color) * share[..., None]


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return sRGB (3,) of hue [deg], saturation and value 0..1."""
    return cv2.cvtColor(np.float32([[[hue % 360, saturation, value]]]), cv2.COLOR_HSV2RGB)[0, 0]


def wood(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour of wood (3,)."""
    kind = rng.random()
    if kind < 0.2:
        return hsv(span(rng, (25, 38)), span(rng, (0.04, 0.14)), span(rng, (0.5, 0.8)))
    return hsv(span(rng, (20, 34)), span(rng, (0.28, 0.55)), span(rng, (0.3, 0.78)))


def planks(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Wooden planks that lie along the width."""
    tone, joint = courses(rng, size, fine, (span(rng, (0.9, 2.0)), span(rng, (0.08, 0.2))), None, 0.004)
    streaks = noise(rng, size, fine, (0.7, 0.012)) * 0.6 + noise(rng, size, fine, (0.35, 0.03)) * 0.5
    bright = 1 + span(rng, (0.04, 0.11)) * tone + span(rng, (0.02, 0.06)) * streaks
    base = wood(rng)
    return mix(base * bright[..., None], base * 0.35, joint * 0.8)


def tiles(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Stone or ceramic tiles, sometimes in two colours."""
    side = span(rng, (0.25, 0.65))
    tone, joint = courses(
        rng, size, fine, (side * rng.choice([1.0, 1.0, 2.0]), side), rng.choice([0.0, 0.0, 0.5]), 0.006
    )
    base = hsv(span(rng, (15, 50)), span(rng, (0.0, 0.2)), span(rng, (0.35, 0.92)))
    veins = cloud(rng, size, fine, 0.5) * span(rng, (0.0, 0.04))
    color = base * (1 + span(rng, (0.01, 0.05)) * tone + veins)[..., None]
    return mix(color, base * rng.choice([0.72, 1.12]), joint * 0.8)


def carpet(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """A short-pile carpet."""
    base = hsv(span(rng, (0, 360)), span(rng, (0.02, 0.3)), span(rng, (0.25, 0.72)))
    pile = noise(rng, size, fine, (0.008, 0.008)) * 0.05 + cloud(rng, size, fine, 0.8) * 0.02
    return base * (1 + pile)[..., None]


def concrete(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Smooth concrete with clouds and stains."""
    base = hsv(span(rng, (20, 220)), span(rng, (0.0, 0.06)), span(rng, (0.42, 0.75)))
    return base * (1 + 0.05 * cloud(rng, size, fine, 1.2, 6))[..., None]


def paint(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """A painted wall."""
    base = wall_color(rng)
    return base * (1 + 0.008 * cloud(rng, size, fine, 1.0, 6))[..., None]


def wall_color(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour of paint or paper (3,): mostly light and pale."""
    if rng.random() < 0.6:
        return hsv(span(rng, (20, 60)), span(rng, (0.0, 0.12)), span(rng, (0.72, 0.95)))
    return hsv(span(rng, (0, 360)), span(rng, (0.08, 0.42)), span(rng, (0.35, 0.82)))


def stripes(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Wallpaper with upright stripes."""
    base, width = wall_color(rng), pixels(size, fine)[0]
    x = (np.arange(width) + 0.5) / fine / span(rng, (0.06, 0.25))
    soft = np.clip(np.sin(2 * np.pi * x) * 6, -1, 1).astype(np.float32)
    bright = 1 + span(rng, (0.02, 0.07)) * soft + 0.008 * cloud(rng, size, fine, 1.0, 5)
    return base * bright[..., None]


def motif(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Wallpaper with a repeated ornament."""
    base, unit = wall_color(rng), span(rng, (0.12, 0.35))
    width, height = pixels(size, fine)
    x, y = ((np.arange(side, dtype=np.float32) + 0.5) / fine / unit * 2 * np.pi for side in (width, height))
    x, y = x[None], y[:, None]
    a, b = rng.integers(1, 4, 2)
    figure = np.cos(x) * np.cos(y) + 0.6 * np.cos(a * x + 0.5 * np.sin(y)) * np.cos(b * y) + 0.3 * np.cos(x - 2 * y)
    share = np.clip(figure * 3 - span(rng, (0, 2)), 0, 1)
    other = base * rng.choice([0.86, 0.92, 1.06]) + rng.uniform(-0.03, 0.03, 3)
    return mix(base, other, share) * (1 + 0.008 * cloud(rng, size, fine, 1.0, 5))[..., None]


def bricks(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """A brick wall, bare or painted white."""
    tone, joint = courses(rng, size, fine, (0.24, 0.075), 0.5, 0.012)
    rough = noise(rng, size, fine, (0.02, 0.015)) * 0.06 + cloud(rng, size, fine, 1.5) * 0.03
    if rng.random() < 0.35:
        base = np.float32([0.86, 0.85, 0.83]) * span(rng, (0.85, 1.05))
        return mix(base * (1 + 0.025 * tone + 0.5 * rough)[..., None], base * 0.86, joint)
    base = hsv(span(rng, (8, 24)), span(rng, (0.35, 0.6)), span(rng, (0.38, 0.62)))
    mortar = np.float32([0.66, 0.63, 0.58]) * span(rng, (0.7, 1.1))
    return mix(base * (1 + 0.14 * tone + rough)[..., None], mortar, joint)


def boards(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Upright wooden boards or painted panels."""
    flipped = rng.random() < 0.75
    turned = (size[1], size[0]) if flipped else size
    if rng.random() < 0.5:
        color = planks(rng, turned, fine)
    else:
        _, joint = courses(rng, turned, fine, (50.0, span(rng, (0.08, 0.3))), 0.0, 0.008)
        color = mix(wall_color(rng) * np.ones((*joint.shape, 1), np.float32), (0.2, 0.2, 0.2), joint * 0.35)
    return np.ascontiguousarray(color.swapaxes(0, 1)) if flipped else color


def grass(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """A lawn."""
    base = hsv(span(rng, (72, 105)), span(rng, (0.4, 0.62)), span(rng, (0.34, 0.56)))
    dry = hsv(span(rng, (45, 62)), span(rng, (0.3, 0.5)), span(rng, (0.45, 0.62)))
    blades = noise(rng, size, fine, (0.012, 0.03)) * 0.13 + noise(rng, size, fine, (0.05, 0.08)) * 0.07
    patches = cloud(rng, size, fine, 2.5)
    share = np.clip(0.18 + 0.22 * patches, 0, 0.8)
    return mix(base, dry, share) * (1 + blades + 0.05 * patches)[..., None]


def paving(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Slabs or small paving stones."""
    unit = ((0.2, 0.1), (0.4, 0.4), (0.6, 0.4), (0.9, 0.6))[rng.integers(4)]
    tone, joint = courses(rng, size, fine, unit, 0.5, 0.01)
    base = hsv(span(rng, (10, 45)), span(rng, (0.02, 0.2)), span(rng, (0.45, 0.74)))
    rough = noise(rng, size, fine, (0.01, 0.01)) * 0.04 + cloud(rng, size, fine, 2.0, 5) * 0.05
    return mix(base * (1 + 0.06 * tone + rough)[..., None], base * 0.6, joint * 0.8)


def asphalt(rng: np.random.Generator, size: Size, fine: float) -> np.ndarray:
    """Asphalt, sand or gravel, depending on its colour."""
    base = hsv(span(rng, (30, 220)), 0.04, span(rng, (0.33, 0.5)))
    if rng.random() < 0.4:
        base = hsv(span(rng, (32, 42)), span(rng, (0.2, 0.4)), span(rng, (0.6, 0.8)))
    grains = noise(rng, size, fine, (0.008, 0.008)) * 0.07 + noise(rng, size, fine, (0.03, 0.03)) * 0.04
    return base * (1 + grains + cloud(rng, size, fine, 2.5, 4) * 0.05)[..., None]
