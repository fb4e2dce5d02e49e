"""Camera moves by key frames, as a user writes them: `0:1.0,76:1.6` or `zoom 0:1,76:1.6; dolly 0:0,40:0.5`."""

import re
from dataclasses import dataclass
from itertools import pairwise

from emosh_core.errors import ConfigError

Keys = tuple[tuple[int, float], ...]
"""(frame, value) in ascending order of frames."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
LIMITS = {"zoom": (0.1, 20.0), "dolly": (-100.0, 100.0), "orbit": (-3600.0, 3600.0)}
FIX = 'for example "0:1.0,76:1.6" (zoom), "dolly 0:0,76:0.5" or "zoom 0:1,40:1.3; orbit 0:0,76:20"'


@dataclass(frozen=True)
class CameraMoves:
    """How the camera departs from the driver's; empty keys mean that it does not."""

    zoom: Keys = ()
    """Factor on the focal length, about the principal point; between keys it grows by equal factors."""
    dolly: Keys = ()
    """Metres forward along the optical axis."""
    orbit: Keys = ()
    """Degrees about the vertical through the person; positive turns the camera to the person's left side."""


def parse_camera(text: str) -> CameraMoves:
    """Read camera moves; without a word in front the keys are a zoom.

    Raises:
        ConfigError: it does not read as key frames, or a value is out of its range.
    """
    moves: dict[str, Keys] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(r"([A-Za-z]+)\s+(.*)", part)
        word, keys = match.groups() if match else ("zoom", part)
        if word not in LIMITS or word in moves:
            raise ConfigError("render.camera has an unknown or repeated move", found=repr(part), fix=FIX)
        moves[word] = _keys(word, keys, part)
    return CameraMoves(**moves)


def _keys(word: str, text: str, part: str) -> Keys:
    keys = []
    for entry in text.split(","):
        match = re.fullmatch(rf"(\d+):({NUMBER})", entry.strip())
        if not match:
            raise ConfigError("render.camera is not a list of FRAME:VALUE", found=repr(part), fix=FIX)
        keys.append((int(match[1]), float(match[2])))
    low, high = LIMITS[word]
    if any(not low <= value <= high for _, value in keys):
        raise ConfigError(f"a {word} is out of range", found=repr(part), fix=f"{low:g} to {high:g}")
    if any(b[0] <= a[0] for a, b in pairwise(keys)):
        raise ConfigError("the frames of render.camera must rise", found=repr(part), fix=FIX)
    return tuple(keys)
