"""Make the README's picture from the demo's workspaces: still, driver, condition, mini and preview, twice.

    make demo demo-head && .venv/bin/python scripts/readme_picture.py demo_workspace demo_workspace_head docs/demo.gif
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from emosh_core.image_io import read_image
from emosh_core.video_io import open_source

WIDTH = 760  # [px]
FRAMES = 22
STEP = 3  # every third frame: 10 frames/s
COLORS = 128
PANELS = 4


def row(workspace: Path, reference: str) -> list[np.ndarray]:
    """Return FRAMES pictures: the still, and the panels of `emosh export`."""
    frames = [frame for _, frame in open_source(workspace / "side_by_side.mp4").frames()][::STEP][:FRAMES]
    still = read_image(workspace / "inputs/reference" / reference)
    return [to_width(np.hstack([fit(p) for p in (still, *np.split(frame, PANELS, axis=1))])) for frame in frames]


def fit(picture: np.ndarray) -> np.ndarray:
    """Cut to at most 4:3 around the middle and scale to one height."""
    height, width = picture.shape[:2]
    half = min(width, height * 4 // 3) // 2
    picture = picture[:, width // 2 - half : width // 2 + half]
    return cv2.resize(picture, (round(2 * half * 300 / height), 300), interpolation=cv2.INTER_AREA)


def to_width(picture: np.ndarray) -> np.ndarray:
    """Scale to WIDTH."""
    return cv2.resize(picture, (WIDTH, round(300 * WIDTH / picture.shape[1])), interpolation=cv2.INTER_AREA)


def main() -> None:
    body, head, out = map(Path, sys.argv[1:])
    top, bottom = row(body, "ref_short_heavy.jpg"), row(head, "astronaut_halfbody.png")
    pictures = [np.vstack(pair) for pair in zip(top, bottom, strict=True)]
    palette = Image.fromarray(np.vstack(pictures[:: FRAMES // 4])).quantize(COLORS)
    frames = [Image.fromarray(p).quantize(COLORS, palette=palette, dither=Image.Dither.NONE) for p in pictures]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=100, loop=0, optimize=True)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
