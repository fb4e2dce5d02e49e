"""Draws what is behind a person: a studio, a room, a street, a picture of the user's."""

from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.synth.scene.backdrop import Backdrop
from emosh_core.synth.scene.draws import draw, span
from emosh_core.synth.scene.outdoors import outdoors
from emosh_core.synth.scene.place import survey
from emosh_core.synth.scene.plates import Easel, Sheet, Surface, paint, set_up, sheet_of
from emosh_core.synth.scene.rooms import room
from emosh_core.synth.scene.shot import Shot
from emosh_core.synth.scene.studio import paper, sweep

Kind = Literal["plain", "studio", "room", "outdoor", "image"]
KINDS = {"plain": 0.1, "studio": 0.2, "room": 0.45, "outdoor": 0.25}
"""How often each kind is drawn."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""What names of a user's images end with."""
SHARP = 0.45
"""How often all is sharp."""
APERTURE = (0.002, 0.016)
"""Blur of what is infinitely far, over the focal length, where it is not."""


def choose_backdrop(
    rng: np.random.Generator, shot: Shot, pelvis: np.ndarray, *, kind: Kind | None = None, image: Path | None = None,
    device="cpu",
) -> Backdrop:  # fmt: skip
    """Draw what is behind a person, for one shot; no wall comes in front of the person or a camera.

    Args:
        shot: the cameras.
        pelvis: (T, 3) where the person is, world axes [m].
        kind: drawn without it.
        image: a picture, or a folder of pictures of which one is drawn, to show far behind the person.
        device: where `Backdrop.see` computes.

    Raises:
        ConfigError: the kind is unknown, or "image" without an image.
        ArtifactError: there is no picture, or it cannot be read.
    """
    if kind is not None and kind not in get_args(Kind):
        raise ConfigError("unknown kind of background", found=str(kind), fix=f"one of {', '.join(get_args(Kind))}")
    if kind == "image" and image is None:
        raise ConfigError("a background image is needed", found="kind 'image' and no path", fix="give a file or folder")
    drawn = draw(rng, KINDS)
    kind = kind or ("image" if image else drawn)
    aperture = 0.0 if rng.random() < SHARP else float(np.exp(rng.uniform(*np.log(APERTURE))))
    easel = set_up(shot, np.asarray(pelvis, np.float64), aperture)
    place = survey(shot, pelvis, np.radians(rng.normal(0, 12)))
    looks: dict[str, str | float] = {"kind": kind, "aperture": round(aperture, 4)}
    if kind == "image":
        path = _pick(rng, Path(image))
        beyond, sheets = _hang(_read(path), easel, distance=easel.focus + span(rng, (1.5, 4.0)))
        looks["image"] = path.name
        mood = "indoor"
    elif kind == "room":
        beyond, sheets, drawn_looks = room(rng, place, easel)
        looks |= drawn_looks
        mood = "indoor"
    elif kind == "outdoor":
        beyond, sheets, drawn_looks = outdoors(rng, place, easel)
        looks |= drawn_looks
        mood = "outdoor"
    else:
        contrast = 0.0 if kind == "plain" else span(rng, (0.35, 1.0))
        beyond, sheets = sweep(rng, place, paper(rng), contrast=contrast)
        mood = "studio"
    layers = paint(easel, beyond, sheets, device)
    return Backdrop(name=kind, mood=mood, layers=layers, K=easel.K, w2c=easel.w2c, looks=looks)


def _pick(rng: np.random.Generator, path: Path) -> Path:
    """Return the picture itself, or one of a folder."""
    if path.is_file():
        return path
    found = sorted(entry for entry in path.glob("*") if entry.suffix.lower() in PICTURES) if path.is_dir() else []
    if not found:
        raise ArtifactError("no background picture", found=str(path), fix=f"a file or folder with {' '.join(PICTURES)}")
    return found[rng.integers(len(found))]


def _read(path: Path) -> np.ndarray:
    """Return a picture (h, w, 3) uint8 RGB."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if image is None:
        raise ArtifactError(
            "a background picture cannot be read", found=str(path), fix="a picture that opens in a viewer"
        )
    return np.ascontiguousarray(image[..., ::-1])


def _hang(image: np.ndarray, easel: Easel, distance: float) -> tuple[np.ndarray, list[Sheet]]:
    """Hang a picture upright, facing the camera, so that it fills what the shot sees; the surplus is cut evenly."""
    shot, w2c = easel.shot, easel.w2c
    heading = np.arctan2(w2c[2, 0], w2c[2, 2])
    away, right = np.array([np.sin(heading), 0, np.cos(heading)]), np.array([-np.cos(heading), 0, np.sin(heading)])
    middle = easel.centre + distance * away
    rays = np.linalg.inv(shot.K.astype(np.float64))
    rim = np.array([[x, y, 1] for x in (0, shot.size[0]) for y in (0, shot.size[1])], np.float64)
    directions = np.einsum("tji,tjk,ck->tci", shot.w2c[:, :3, :3].astype(np.float64), rays, rim)
    reach = (distance - (shot.centres - easel.centre) @ away)[:, None] / np.maximum(directions @ away, 0.2)
    points = shot.centres[:, None] + reach[..., None] * directions - middle
    x, y = points @ right, points[..., 1]
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    aspect = image.shape[1] / image.shape[0]
    height = 1.02 * max(high[1] - low[1], (high[0] - low[0]) / aspect)
    size, centre = np.array([height * aspect, height]), (low + high) / 2
    corner = middle + right * (centre[0] - size[0] / 2) + np.array([0, centre[1] + size[1] / 2, 0])
    texture = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    surface = Surface(texture=texture, origin=corner, across=size[0] * right, down=np.array([0, -size[1], 0]))
    return cv2.resize(image, (4, 4), interpolation=cv2.INTER_AREA), [sheet_of(surface)]
