"""Make the README's picture from the demo's workspaces: driver, condition and result side by side, twice.

    make demo demo-head && .venv/bin/python scripts/readme_picture.py demo_workspace demo_workspace_head docs/demo.gif
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from emosh_core.image_io import read_image
from emosh_core.video_io import open_source

WIDTH = 640  # [px]
FRAMES = 22
STEP = 3  # every third frame: 10 frames/s
COLORS = 128


def row(workspace: Path, driver: str, reference: str) -> list[np.ndarray]:
    """Return FRAMES pictures: still, driving video, condition, result."""
    (condition,) = workspace.glob("media/*-cond.mp4")
    paths = [workspace / "inputs/driving" / driver, condition, workspace / "demo.mp4"]
    clips = [[frame for _, frame in open_source(path).frames()][::STEP][:FRAMES] for path in paths]
    still = read_image(workspace / "inputs/reference" / reference)
    return [to_width(np.hstack([fit(p) for p in (still, *pictures)])) for pictures in zip(*clips, strict=True)]


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
    top = row(body, "demo_fullbody_jumping_jack.mp4", "ref_short_heavy.jpg")
    bottom = row(head, "demo_head_single_face.mp4", "astronaut_halfbody.png")
    pictures = [np.vstack(pair) for pair in zip(top, bottom, strict=True)]
    palette = Image.fromarray(np.vstack(pictures[:: FRAMES // 4])).quantize(COLORS)
    frames = [Image.fromarray(p).quantize(COLORS, palette=palette, dither=Image.Dither.NONE) for p in pictures]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=100, loop=0, optimize=True)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
