"""Smooth random fields in space, so that what is painted has no seams."""

import numpy as np
import torch
from torch.nn.functional import grid_sample

CELLS = 24
"""Side of the lattice; it repeats mirrored, so a field is as large as one likes."""


def smooth_noise(places: np.ndarray, wavelength: float | tuple[float, float, float], rng: np.random.Generator):
    """Return a random value (N,) of about unit variance at places (N, 3) [m].

    Value noise: independent normal values on a lattice, trilinear between them (Lewis 1989).

    Args:
        places: (N, 3) [m].
        wavelength: size of a blob [m], per axis or for all.
        rng: decides the lattice.
    """
    places = places[:, :3]
    lattice = torch.as_tensor(rng.standard_normal((1, 1, CELLS, CELLS, CELLS)), dtype=torch.float32)
    cell = np.asarray(places, np.float32) * np.float32(4.0 / (CELLS * np.asarray(wavelength)))
    at = torch.as_tensor(np.ascontiguousarray(cell[:, ::-1]))[None, None, None]
    found = grid_sample(lattice, at, mode="bilinear", padding_mode="reflection", align_corners=True)
    return 1.6 * found.flatten().numpy()  # trilinear averages have a smaller variance than the lattice


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the cubic step from 0 at `low` to 1 at `high` (falling where high < low)."""
    x = ((x - low) / (high - low)).clip(0, 1)
    return x * x * (3 - 2 * x)


def blob(places: np.ndarray, centre, radius: float) -> np.ndarray:
    """Return exp(−(d / radius)²) of the distance to a centre (3,), for places (N, 3) [m]."""
    x, y, z = (np.float32(c) for c in centre)
    square = (places[:, 0] - x) ** 2 + (places[:, 1] - y) ** 2 + (places[:, 2] - z) ** 2
    return np.exp(-square / np.float32(radius**2))


def mix(colors: np.ndarray, color, share: np.ndarray) -> np.ndarray:
    """Blend colours (N, 3) towards a colour (3,) or colours (N, 3) by a share (N,)."""
    share = np.asarray(share, np.float32)[:, None]
    return colors + share * (np.asarray(color, np.float32) - colors)
