"""The light on a person: what shines from where, and how bright each vertex becomes."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from emosh_core.synth.scene.draws import draw, span

Mood = Literal["studio", "indoor", "outdoor"]

EXPOSURE = (0.8, 1.0)
"""Mean factor on the colours of what faces the camera."""
BRIGHTEST = 1.16
"""Of the factor on any colour, for all but a hundredth of what faces the camera: skin does not burn out."""
DARKEST = 0.34
"""The same at the other end: nothing is black for lack of light."""
LUMINANCE = np.float32([0.2126, 0.7152, 0.0722])
"""Share of red, green and blue in the luminance (ITU-R BT.709)."""
WRAP = 0.7
"""How far a light of softness 1 reaches beyond the edge of its own half, as a cosine."""
SHARPNESS = (9.0, 150.0)
"""Exponent of the highlight on the dullest and on the glossiest surface."""
SHINE = 0.8
"""Brightness of the highlight that a light of luminance 1 makes on a surface of gloss 1 that it meets head on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lights:
    """Three lights and a sky; directions (3,) point towards the light in world axes, colours (3,) are linear RGB."""

    name: str
    """What it looks like, a key of the tables in this module."""
    sky: np.ndarray
    """Ambient colour on what faces up."""
    ground: np.ndarray
    """Ambient colour on what faces down."""
    key: np.ndarray
    key_rgb: np.ndarray
    fill: np.ndarray
    fill_rgb: np.ndarray
    rim: np.ndarray
    rim_rgb: np.ndarray
    softness: float
    """Of the key and its shadow: 0 is the sun, 1 a wide window or a clouded sky."""

    def brighter(self, gain: float) -> "Lights":
        """Return the same lights `gain` times as bright."""
        names = ("sky", "ground", "key_rgb", "fill_rgb", "rim_rgb")
        return replace(self, **{name: np.float32(gain * getattr(self, name)) for name in names})


def shade(
    normals: Tensor, to_viewer: Tensor, gloss: Tensor, lights: Lights, key_visible: Tensor | None = None,
    two_sided: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return how bright vertices are under the lights.

    A half-space of wrapped cosine for key and fill, a light from behind that grows towards the outline
    like Fresnel's reflection, a hemisphere between sky and ground, and highlights of the half vector
    (Blinn 1977) with their power as a spherical Gaussian, exp(p (cos − 1)) (Wang et al. 2009).

    Args:
        normals: (T, V, 3) unit normals in world axes.
        to_viewer: (T, V, 3) unit vectors towards the camera.
        gloss: (V,) strength of the highlight, 0..1.
        lights: what shines.
        key_visible: (T, V) how much of the key light reaches a vertex, 0..1; all of it by default.
        two_sided: (V,) bool, whose normals are turned to the viewer where they point away: hair, cloth.

    Returns:
        Factor on the sRGB values of the texture (T, V, 3), and what a highlight adds to them (T, V).
    """
    frames, count, _ = normals.shape
    on = {"device": normals.device, "dtype": normals.dtype}
    axes = torch.as_tensor(np.stack([lights.key, lights.fill, lights.rim, [0, 1, 0]]), **on)
    cosines = (axes @ normals.reshape(-1, 3).T).view(4, frames, count)
    along = (axes[:3] @ to_viewer.reshape(-1, 3).T).view(3, frames, count)
    facing = normals[..., 0] * to_viewer[..., 0]
    facing = facing.addcmul_(normals[..., 1], to_viewer[..., 1]).addcmul_(normals[..., 2], to_viewer[..., 2])
    if two_sided is not None:
        turned = torch.where(two_sided & (facing < 0), -1.0, 1.0)
        cosines, facing = cosines.mul_(turned), facing.mul_(turned)
    facing = facing.clamp_(0, 1)
    shine = _shine(cosines, along, facing, gloss, lights, key_visible)
    key, fill, rim, _ = cosines
    wrap = WRAP * lights.softness
    key.add_(wrap).clamp_(min=0).mul_(1 / (1 + wrap))
    if key_visible is not None:
        key.mul_(key_visible)
    fill.add_(WRAP).clamp_(min=0).mul_(1 / (1 + WRAP))
    rim.clamp_(min=0).mul_((1 - facing).square_().mul_(0.8).add_(0.2))
    half = np.float32(0.5) * (lights.sky - lights.ground)
    colors = torch.as_tensor(np.stack([lights.key_rgb, lights.fill_rgb, lights.rim_rgb, half]), **on)
    ambient = torch.as_tensor(np.float32(0.5) * (lights.sky + lights.ground), **on)
    gain = torch.addmm(ambient, cosines.view(4, -1).T, colors)
    # Light adds up in linear values; their square root is close to the factor on sRGB values.
    return gain.sqrt_().view(frames, count, 3), shine


def _shine(cosines, along, facing, gloss, lights: Lights, key_visible) -> Tensor:
    power = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * gloss**2
    total = torch.zeros_like(facing)
    for k, rgb in enumerate((lights.key_rgb, lights.fill_rgb, lights.rim_rgb)):
        # |l + v|² = 2 + 2 l·v gives n·h from the cosines that are there already.
        half = (cosines[k] + facing) * (along[k] * 2 + 2).clamp_(min=1e-4).rsqrt_()
        lobe = half.sub_(1).mul_(power).exp_().mul_(float(np.sqrt(LUMINANCE @ rgb)) * SHINE)
        # No highlight where the light comes from below the surface.
        lobe.mul_((cosines[k] * 4 + 0.4).clamp_(0, 1))
        total += lobe if k or key_visible is None else lobe.mul_(key_visible)
    # Schlick's approximation, with skin's and cloth's 4 % as 1.
    return total.mul_(gloss).mul_((1 - facing).pow_(4).mul_(2).add_(1))


def choose_lights(rng: np.random.Generator, yaw: float, mood: Mood = "studio") -> Lights:
    """Draw lights that suit a place, exposed for a camera.

    Args:
        yaw: where the camera stands, from the world's +z towards +x [rad].
        mood: what kind of place it is; `Backdrop.mood` says so.
    """
    name = draw(rng, MOODS[mood])
    return _expose(_light(rng, name, yaw), yaw, span(rng, EXPOSURE))


MOODS = {
    "studio": {"three-point": 4, "beauty": 1.5, "window": 1, "two-sided": 1, "warm": 0.5, "cool": 0.5},
    "indoor": {"window": 3, "warm": 2, "cool": 1.5, "three-point": 2, "two-sided": 0.5},
    "outdoor": {"overcast": 3, "sun": 3, "sunset": 1.5, "shade": 1.5},
}
"""How often each kind of light is drawn in each mood."""

_KINDS = {
    # azimuth from the camera and elevation of the key [deg], softness, then strengths of key, fill, rim and ambient;
    # colour temperatures of key, fill, rim and sky [K], and how much the ground gives back.
    "three-point": ((22, 55), (18, 48), (0.3, 0.8), 1.0, (0.2, 0.5), (0.4, 1.3), (0.22, 0.4), (5200, 6500), 0.7),
    "beauty": ((0, 18), (12, 35), (0.7, 1.0), 1.0, (0.35, 0.6), (0.2, 0.7), (0.3, 0.45), (5600, 6800), 0.9),
    "window": ((48, 88), (8, 32), (0.6, 1.0), 1.0, (0.1, 0.3), (0.1, 0.5), (0.2, 0.4), (5800, 8200), 0.7),
    "warm": ((5, 60), (35, 65), (0.4, 0.9), 0.8, (0.2, 0.4), (0.1, 0.5), (0.35, 0.55), (3600, 4800), 0.75),
    "cool": ((5, 60), (45, 70), (0.7, 1.0), 0.7, (0.2, 0.4), (0.1, 0.4), (0.4, 0.6), (6500, 8200), 0.75),
    "two-sided": ((55, 80), (10, 35), (0.3, 0.7), 1.0, (0.7, 1.1), (0.2, 0.6), (0.2, 0.35), (4200, 7500), 0.6),
    "overcast": ((0, 70), (50, 78), (0.9, 1.0), 0.45, (0.1, 0.2), (0.05, 0.3), (0.7, 0.9), (6400, 7600), 0.45),
    "shade": ((20, 120), (30, 60), (0.8, 1.0), 0.35, (0.1, 0.3), (0.1, 0.4), (0.7, 0.9), (6800, 8500), 0.55),
    "sun": ((10, 75), (28, 60), (0.0, 0.15), 1.3, (0.05, 0.2), (0.1, 0.5), (0.35, 0.55), (5000, 5800), 0.6),
    "sunset": ((35, 130), (8, 20), (0.1, 0.35), 1.2, (0.1, 0.3), (0.3, 0.9), (0.3, 0.5), (2900, 3900), 0.5),
}  # fmt: skip


def _light(rng: np.random.Generator, name: str, yaw: float) -> Lights:
    aside, up, soft, key, fill, rim, ambient, kelvin, bounce = _KINDS[name]
    side = rng.choice([-1, 1])
    azimuth = yaw + side * np.radians(span(rng, aside))
    opposite = yaw - side * np.radians(rng.uniform(30, 75))
    behind = yaw + np.pi - side * np.radians(rng.uniform(-10, 50))
    temperature = span(rng, kelvin)
    outdoors = name in MOODS["outdoor"]
    # What is not lit by the sun is lit by the sky; indoors all lamps are alike, more or less.
    other = rng.uniform(6500, 9500) if outdoors else temperature * np.exp(rng.normal(0, 0.12))
    second = rng.uniform(3500, 9000) if name == "two-sided" else other
    sky = span(rng, ambient) * kelvin_rgb(other)
    earth = np.float32([1.0, 0.96, 0.9]) * (0.92 + 0.08 * kelvin_rgb(temperature))
    return Lights(
        name=name, sky=sky, ground=bounce * sky * earth,
        key=_toward(azimuth, np.radians(span(rng, up))), key_rgb=np.float32(key) * kelvin_rgb(temperature),
        fill=_toward(opposite, rng.uniform(0, 0.5)), fill_rgb=np.float32(key * span(rng, fill)) * kelvin_rgb(second),
        rim=_toward(behind, rng.uniform(0.25, 0.8)),
        rim_rgb=np.float32(span(rng, rim)) * kelvin_rgb(temperature if name == "sunset" else other),
        softness=float(span(rng, soft)),
    )  # fmt: skip


def _toward(azimuth: float, elevation: float) -> np.ndarray:
    level = np.cos(elevation)
    return np.float32([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level])


def kelvin_rgb(kelvin: float) -> np.ndarray:
    """Return the linear RGB (3,) of a black body, of luminance 1, half neutralised by a camera's white balance.

    Planck's law at 610, 550 and 465 nm, relative to 5800 K.
    """
    wavelength = np.array([610e-9, 550e-9, 465e-9])
    planck = lambda t: 1 / np.expm1(1.4388e-2 / (wavelength * t))  # noqa: E731
    rgb = np.sqrt(planck(kelvin) / planck(5800.0))
    return np.float32(rgb / (LUMINANCE @ rgb))


def _expose(lights: Lights, yaw: float, exposure: float) -> Lights:
    """Return the lights as bright as a camera wants them, and with no corner quite dark."""
    normals = _ball()
    viewer = _toward(yaw, 0.0)
    facing = torch.as_tensor(normals[normals @ viewer > 0.15])[None]
    to_viewer = torch.as_tensor(viewer).expand_as(facing)
    gains = lambda: shade(facing, to_viewer, torch.zeros(facing.shape[1]), lights)[0][0].numpy()  # noqa: E731
    lights = lights.brighter((exposure / gains().mean()) ** 2)
    lights = lights.brighter(min(1.0, BRIGHTEST / np.quantile(gains().max(1), 0.99)) ** 2)
    lacks = max(0.0, DARKEST**2 - float(np.quantile((gains() ** 2) @ LUMINANCE, 0.03)))
    white = np.float32(lacks) * lights.sky / (LUMINANCE @ lights.sky)
    return replace(lights, sky=lights.sky + white, ground=lights.ground + white)


def _ball(count: int = 400) -> np.ndarray:
    """Return points (N, 3) float32 spread evenly over the unit sphere (a Fibonacci lattice)."""
    y = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    level = np.sqrt(1 - y * y)
    return np.stack([level * np.cos(angle), y, level * np.sin(angle)], -1).astype(np.float32)
