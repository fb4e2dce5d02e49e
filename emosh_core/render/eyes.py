"""Eyeballs that look alive: painted iris and pupil, the lid's shadow, and a glint that stays with the light."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import project
from emosh_core.render.shade import KEY_LIGHT
from emosh_core.render.view import View

SIDES = "LR"
UPPER_LIDS = {"L": 386, "R": 159}
"""MediaPipe's face landmarks in the middle of each upper lid."""
PATCH = 48
"""Side of the picture of one eyeball in one frame [px]; the pole, where the iris is, lies in its middle."""
WIDEST = 1.2
"""Angle from the pole [rad] at the patch's rim; what lies farther back is never seen."""
IRIS, PUPIL = 0.40, 0.16
"""Angular radii [rad]: a human iris measures 11.7 mm across (Rüfer et al. 2005), the model's eyeball 31 mm."""
EDGE = 0.03
"""Softness of drawn edges [rad]."""
SHADOW_REACH, SHADOW = 0.5, 0.5
"""How far below the upper lid its shadow ends [rad] and how much light is left at the lid."""
GLINT, GLINT_LIGHT = 0.06, 0.85
"""Angular radius [rad] and strength of the light's reflection."""
WHITE, BROWN = np.array([0.78, 0.75, 0.72]), np.array([0.26, 0.16, 0.10])
"""What sclera and iris lean to: pictures of people show too few pixels of either to be believed alone."""
LEAN = 0.5


@dataclass(frozen=True, eq=False)
class Eyes:
    """Both eyeballs of a person, ready to be painted frame by frame."""

    rows: dict[str, np.ndarray]
    """Per side, rows of `EhmModel.uv` that belong to the eyeball."""
    pixels: dict[str, Tensor]
    """Per side, where these lie in a patch (R, 2) [px]."""
    verts: dict[str, Tensor]
    """Per side, vertices of the front half."""
    rest: dict[str, Tensor]
    """Per side, their places about the eyeball's centre on the model at rest [m]."""
    paint: np.ndarray
    """(PATCH, PATCH, 3) the lit eye without shadow and glint, 0..1."""

    def draw(self, view: View) -> np.ndarray:
        """Return the pictures (T, 2, PATCH, PATCH, 3) of left and right eye."""
        drawn = [self._draw(view, side) for side in SIDES]
        return np.stack(drawn, 1).astype(np.float32)

    def _draw(self, view: View, side: str) -> np.ndarray:
        turn, centre = _rigid(self.rest[side], view.verts_cam[:, self.verts[side]])
        lid = view.landmarks_cam[:, keypoint_slice("face")][:, UPPER_LIDS[side]]
        lid = ((lid - centre)[:, None] @ turn)[:, 0].numpy()
        to_light = np.asarray(KEY_LIGHT) / np.linalg.norm(KEY_LIGHT)
        to_viewer = -centre.numpy() / np.linalg.norm(centre.numpy(), axis=1, keepdims=True)
        half = to_viewer + to_light
        half = (half / np.linalg.norm(half, axis=1, keepdims=True))[:, None] @ turn.numpy()
        direction = _directions()
        below = np.arctan2(lid[:, 1], lid[:, 2])[:, None, None] - np.arctan2(direction[..., 1], direction[..., 2])
        light = SHADOW + (1 - SHADOW) * _smooth(below / SHADOW_REACH)
        away = np.arccos((direction @ half[:, 0].T).clip(-1, 1)).transpose(2, 0, 1)
        glint = GLINT_LIGHT * np.exp(-((away / GLINT) ** 2))[..., None]
        return (self.paint * light[..., None] * (1 - glint) + glint).clip(0, 1)


def fit_eyes(image: np.ndarray, view: View, body: EhmModel, K: np.ndarray) -> Eyes:
    """Find the eyeballs of a body model and take their colours from the picture that the body was fitted to.

    Args:
        image: (H, W, 3) uint8 RGB.
        view: the fit, one frame.
    """
    rows, pixels, verts, rest = {}, {}, {}, {}
    for side in SIDES:
        front, back = (body.face_part == body.part_names.index(f"eye_{half}.{side}") for half in ("front", "back"))
        ball = body.template[body.faces[front | back].unique()]
        centre = (ball.amin(0) + ball.amax(0)) / 2
        verts[side] = body.faces[front].unique()
        rest[side] = body.template[verts[side]] - centre
        rows[side], at = np.unique(body.face_uv[front | back].numpy(), return_index=True)
        owner = body.faces[front | back].flatten()[torch.as_tensor(at)]
        pixels[side] = torch.as_tensor(_to_patch((body.template[owner] - centre).numpy()), dtype=torch.float32)
    white, iris = _colors(image, view, verts, K)
    return Eyes(rows=rows, pixels=pixels, verts=verts, rest=rest, paint=_paint(white, iris))


def _colors(image: np.ndarray, view: View, verts: dict[str, Tensor], K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours (3,) of sclera and iris, 0..1: the bright and the dark pixels around the eyeballs' middles."""
    height, width = image.shape[:2]
    found = []
    for side in SIDES:
        middle = view.verts_cam[0, verts[side]].mean(0)
        x, y = project(middle[None].numpy(), K)[0]
        reach = max(1.5, 0.009 * K[0, 0] / float(middle[2].clip(min=0.05)))
        if 0 <= x < width and 0 <= y < height:
            part = image[int(max(0, y - 0.5 * reach)) : int(y + 0.5 * reach) + 1,
                         int(max(0, x - reach)) : int(x + reach) + 1]  # fmt: skip
            found.append(part.reshape(-1, 3) / 255)
    if not found:
        return WHITE, BROWN
    pixels = np.concatenate(found)
    order = np.argsort(pixels.mean(1))
    dark, bright = pixels[order[: len(order) // 4 + 1]].mean(0), pixels[order[-len(order) // 6 - 1 :]].mean(0)
    return (1 - LEAN) * np.maximum(bright, 0.75 * WHITE) + LEAN * WHITE, (1 - LEAN) * dark + LEAN * BROWN


def _paint(white: np.ndarray, iris: np.ndarray) -> np.ndarray:
    direction = _directions()
    angle = np.arccos(direction[..., 2].clip(-1, 1))[..., None]
    eye = white * (1 - 0.35 * _smooth((angle - 0.5) / 0.6))
    around = np.arctan2(direction[..., 1], direction[..., 0])[..., None]
    fibres = 1 + 0.12 * np.sin(17 * around) * np.sin(29 * around + 1)
    # The cornea gathers light on the side away from it: irises are brighter at the bottom.
    lit = 1.15 - 0.5 * direction[..., 1:2] / IRIS
    ring = 1 - 0.55 * _smooth((angle - 0.75 * IRIS) / (0.25 * IRIS))
    inner = iris * fibres * lit * ring
    eye += _inside(angle, IRIS) * (inner - eye)
    return (eye + _inside(angle, PUPIL) * (0.03 - eye)).clip(0, 1)


def _inside(angle: np.ndarray, radius: float) -> np.ndarray:
    return 1 - _smooth((angle - radius + EDGE) / (2 * EDGE))


def _smooth(x: np.ndarray) -> np.ndarray:
    """Return the cubic step from 0 at x ≤ 0 to 1 at x ≥ 1."""
    x = x.clip(0, 1)
    return x * x * (3 - 2 * x)


def _to_patch(places: np.ndarray) -> np.ndarray:
    """Return where points (N, 3) about the eyeball's centre lie in a patch (N, 2) [px]; the radius is the angle."""
    across = np.linalg.norm(places[:, :2], axis=1)
    radius = (np.arctan2(across, places[:, 2]) / WIDEST).clip(max=1 - 1.5 / PATCH) * PATCH / 2
    return PATCH / 2 + places[:, :2] * [1, -1] * (radius / across.clip(1e-6))[:, None]


def _directions() -> np.ndarray:
    """Return the direction (PATCH, PATCH, 3) from the eyeball's centre that each texel of a patch shows."""
    at = (np.arange(PATCH) + 0.5) / (PATCH / 2) - 1
    x, y = np.meshgrid(at, -at)
    radius = np.hypot(x, y)
    angle = radius * WIDEST
    share = np.sin(angle) / radius.clip(1e-6)
    return np.stack([x * share, y * share, np.cos(angle)], -1)


def _rigid(rest: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotations (T, 3, 3) and shifts (T, 3) that bring rest (N, 3) closest to places (T, N, 3) (Kabsch 1976)."""
    middle, here = rest.mean(0), places.mean(1)
    u, _, vt = torch.linalg.svd((places - here[:, None]).transpose(1, 2) @ (rest - middle))
    sign = torch.ones(len(places), 3)
    sign[:, 2] = torch.sign(torch.linalg.det(u @ vt))
    turn = (u * sign[:, None]) @ vt
    return turn, here - (turn @ middle)
