"""Curves of a motion over time, as a picture or a page: how fast, what the face does, how far to trust it."""

import io
from pathlib import Path

import numpy as np

from emosh_core.artifacts import TRUST_PARTS, Motion
from emosh_core.body.joints import JOINT_NAMES

JOINTS = ("pelvis", "head", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
"""Joints whose speed is drawn."""
FACE = ("jawOpen", "mouthSmileLeft", "browInnerUp")
"""Units of the expression that are drawn beside the eyelids, where the body model has them."""
SIZE = (11, 10)
"""Inches, at 100 px each."""


def draw_curves(motion: Motion, path: Path, units: tuple[str, ...] = ()) -> None:
    """Draw a motion's curves; the suffix chooses .png, or .html (one page, nothing to load).

    Args:
        units: names of the expression's units.
    """
    from matplotlib.figure import Figure  # slow to load, and wanted here only

    figure = Figure(figsize=SIZE, dpi=100, layout="constrained")
    axes = figure.subplots(5, 1, sharex=True, height_ratios=(2, 2, 2, 1.5, 2))
    time = motion.time
    _speeds(axes[0], motion)
    _lines(axes[1], time, motion.joints[:, 0].T, ("x", "y", "z"), "pelvis [m]")
    known = [name for name in FACE if name in units]
    face = [motion.eyelid[:, 0], motion.eyelid[:, 1], *(motion.expression[:, units.index(name)] for name in known)]
    _lines(axes[2], time, face, ("left eyelid", "right eyelid", *known), "face [0..1]")
    _lines(axes[3], time, [motion.reprojection_error], ("mean distance",), "off the detections [px]")
    _trust(axes[4], motion)
    axes[-1].set_xlabel("time [s]")
    if path.suffix == ".html":
        text = io.StringIO()
        figure.savefig(text, format="svg")
        drawing = text.getvalue()
        page = "<!doctype html><meta charset=utf-8><title>{0}</title><body style='margin:2em'>{1}"
        path.write_text(page.format(path.stem, drawing[drawing.index("<svg") :]), encoding="utf-8")
    else:
        figure.savefig(path)


def _speeds(axis, motion: Motion) -> None:
    if len(motion.time) > 1:
        places = motion.joints[:, [JOINT_NAMES.index(name) for name in JOINTS]]
        speed = np.linalg.norm(np.gradient(places, motion.time, axis=0), axis=-1)
        _lines(axis, motion.time, speed.T, JOINTS, "speed [m/s]")


def _lines(axis, time: np.ndarray, courses, names, label: str) -> None:
    for course, name in zip(courses, names, strict=True):
        axis.plot(time, course, label=name, linewidth=1.2, marker="." if len(time) < 3 else "")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.legend(loc="upper right", fontsize=7, ncols=len(names))


def _trust(axis, motion: Motion) -> None:
    """Draw a row per part, dark where it is not trusted."""
    step = float(np.median(np.diff(motion.time))) if len(motion.time) > 1 else 1.0
    extent = (motion.time[0] - step / 2, motion.time[-1] + step / 2, len(TRUST_PARTS), 0)
    axis.imshow(motion.trust.T, aspect="auto", cmap="viridis", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    axis.set_yticks(np.arange(len(TRUST_PARTS)) + 0.5, TRUST_PARTS, fontsize=7)
    axis.set_ylabel("trust")
