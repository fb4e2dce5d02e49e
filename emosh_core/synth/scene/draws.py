"""Small draws from tables and ranges."""

import numpy as np


def draw(rng: np.random.Generator, table: dict):
    """Draw a key of a table of weights."""
    weights = np.array(list(table.values()), np.float64)
    return list(table)[rng.choice(len(table), p=weights / weights.sum())]


def span(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw a number between two bounds, evenly."""
    return float(rng.uniform(*bounds))
