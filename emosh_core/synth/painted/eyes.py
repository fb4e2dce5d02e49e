"""Eyeballs: a picture of sclera, iris and pupil for the body's own eyeballs, and lashes on the lids."""

import numpy as np
import torch

from emosh_core.body.ehm import EhmModel
from emosh_core.render.eyes import IRIS, PUPIL, SIDES
from emosh_core.synth.painted.noise import ramp

WIDEST = 1.5
"""Angle from the pole [rad] at the picture's rim."""
EDGE = 0.02
SCLERA = np.array([0.86, 0.83, 0.80])
IRISES = {
    "brown": (0.27, 0.15, 0.08), "dark": (0.13, 0.08, 0.05), "hazel": (0.40, 0.29, 0.14),
    "green": (0.33, 0.40, 0.24), "blue": (0.34, 0.47, 0.60), "grey": (0.42, 0.46, 0.48),
}  # fmt: skip
"""Colours of the iris."""
GLINTS = ((0.17, 0.20, 0.055, 0.9), (-0.13, -0.17, 0.05, 0.18))
"""Reflections of lights: right, up, angular radius [rad] and strength."""


def paint_eye(side: int, color: tuple[float, float, float], fibres: np.random.Generator) -> np.ndarray:
    """Return the picture (side, side, 4) of an eyeball seen from the front; the radius is the angle from the pole."""
    at = ((np.arange(side) + 0.5) / (side / 2) - 1) * WIDEST
    x, y = np.meshgrid(at, -at)
    angle, around = np.hypot(x, y), np.arctan2(y, x)
    iris = np.array(color)
    eye = SCLERA * (1 - 0.45 * ramp(angle, 0.5, 1.2))[..., None] * np.array([1, 0.985, 0.97])
    eye = eye * (1 - 0.45 * ramp(y, 0.15, 0.75))[..., None]  # the upper lid's shadow
    streaks = sum(np.sin(k * around + fibres.uniform(0, 7)) for k in (11, 17, 29, 41)) / 4
    lit = 1.15 - 0.45 * y / IRIS  # the cornea gathers light on the side away from it
    ring = 1 - 0.6 * ramp(angle, 0.72 * IRIS, IRIS)
    inner = iris * (lit * ring * (1 + 0.25 * streaks) + 0.35 * ramp(angle, 0.28, 0.18))[..., None]
    eye += ramp(angle, IRIS + EDGE, IRIS - EDGE)[..., None] * (inner - eye)
    eye += ramp(angle, PUPIL + EDGE, PUPIL - EDGE)[..., None] * (0.025 - eye)
    for right, up, radius, strength in GLINTS:
        eye += strength * np.exp(-(((x - right) ** 2 + (y - up) ** 2) / radius**2))[..., None] * (1 - eye)
    return np.concatenate([eye.clip(0, 1), np.ones((side, side, 1))], -1).astype(np.float32)


def eye_texels(body: EhmModel, side: int) -> dict[int, np.ndarray]:
    """Return for each row of `EhmModel.uv` on an eyeball where it lies in a picture of that size [px]."""
    found = {}
    for name in SIDES:
        parts = [body.part_names.index(f"eye_{half}.{name}") for half in ("front", "back")]
        on = torch.isin(body.face_part, torch.tensor(parts))
        rows, verts = body.face_uv[on].flatten().numpy(), body.faces[on].flatten().numpy()
        places = body.template.numpy()
        ball = places[verts]
        out = places[verts] - (ball.min(0) + ball.max(0)) / 2
        across = np.linalg.norm(out[:, :2], axis=1)
        radius = (np.arctan2(across, out[:, 2]) / WIDEST).clip(max=1 - 1.5 / side) * side / 2
        pixels = side / 2 + out[:, :2] * [1, -1] * (radius / across.clip(1e-6))[:, None]
        found |= dict(zip(rows.tolist(), pixels.astype(np.float32), strict=True))
    return found
