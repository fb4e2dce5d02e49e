"""Measure where MediaPipe's body points lie on the body and how far off they are: the tables of tracker/marks.py.

`python scripts/calibrate_marks.py --assets PACK` makes synthetic clips of the `train` split (or takes those of --set),
detects in them, and solves for one offset per point in the axes of the joint that holds it, left and right together.
Nothing of `val` or `test` is looked at.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from emosh_core.artifacts import KEYPOINTS, Motion, Truth, keypoint_slice
from emosh_core.body.assets import load_body
from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.camera import to_camera
from emosh_core.quiet import quiet_native_stderr
from emosh_core.settings import SynthConfig
from emosh_core.synth.make import Set, make_clips, usual_workers
from emosh_core.synth.report import takes
from emosh_core.tracker.detectors import MediaPipeDetector
from emosh_core.tracker.gating import judge
from emosh_core.tracker.marks import holders
from emosh_core.tracker.points import landmarks_of
from emosh_core.tracker.sides import PARTNER, mend_sides
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read

CLIPS, SEED, SURE, ENOUGH = 24, 7, 0.6, 5
MIRROR = np.array([-1.0, 1.0, 1.0])
MARKS = KEYPOINTS["body"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--set", type=Path, help="folder that keeps the clips")
    parser.add_argument("--clips", type=int, default=CLIPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.set or Path(scratch)
        set_ = Set.named("train", seed=SEED, others=0, assets=options.assets, config=SynthConfig(), device="cpu")
        list(make_clips(folder, set_, list(range(options.clips)), workers=usual_workers(set_)))
        looks = [look(clip) for clip in takes(folder, range(options.clips))]
    offset = np.array([solve(looks, mark) for mark in range(MARKS)])
    offset = (offset + offset[PARTNER] * MIRROR) / 2
    systematic, white = errors(looks, offset)
    for mark in range(MARKS):
        if mark <= PARTNER[mark]:
            place = ", ".join(f"{v * 1e3:.0f}" for v in offset[mark])
            print(f"{mark}: ({place}), systematic {systematic[mark] * 1e3:.0f}, white {white[mark] * 1e3:.0f}  [mm]")


def look(clip: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return residuals (T, 33, 2) [m at the point's depth], their slopes (T, 33, 2, 3) and what counts (T, 33)."""
    true, truth, source = (
        read(clip / "motion.zarr", Motion),
        read(clip / "truth.zarr", Truth),
        open_source(clip / "video.mp4"),
    )
    with quiet_native_stderr():
        seen = MediaPipeDetector().detect(frame for _, frame in source.frames())
    seen = mend_sides(seen, judge(seen, true.size, true.fps).valid("face"))
    body = load_body()
    posed = body.with_shape_of(true.shape).with_pose(pose_from_motion(true))
    w2c, K, rows = torch.from_numpy(true.w2c), torch.from_numpy(true.K), keypoint_slice("body")
    points = to_camera(posed.landmarks()[:, rows], w2c)
    turned = w2c[:, None, :3, :3] @ posed.rotmats[:, holders(landmarks_of(body)[0])[rows]]
    flat = points[..., :2] / points[..., 2:]
    focal, centre = K[:, None, [0, 1], [0, 1]], K[:, None, :2, 2]
    residual = ((torch.from_numpy(seen.keypoints2d[:, rows]) - centre) / focal - flat) * points[..., 2:]
    slope = turned[..., :2, :] - flat[..., None] * turned[..., 2:, :]
    counts = (seen.confidence[:, rows] > SURE) & truth.keypoint_visible[:, rows]
    return residual.numpy(), slope.numpy(), counts


def solve(looks, mark: int) -> np.ndarray:
    """Return the offset (3,) [m] that explains a point's residuals best; every clip weighs the same."""
    normal, right = np.eye(3) * 1e-3, np.zeros(3)
    for residual, slope, counts in looks:
        some = counts[:, mark]
        if some.sum() >= ENOUGH:
            rows, values = slope[some, mark], residual[some, mark]
            normal += np.einsum("tai,taj->ij", rows, rows) / some.sum()
            right += np.einsum("tai,ta->i", rows, values) / some.sum()
    return np.linalg.solve(normal, right)


def errors(looks, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what of the error stays the same through a clip and what is around it (33,) [m per axis]."""
    same, around = [[[] for _ in range(MARKS)] for _ in range(2)]
    for residual, slope, counts in looks:
        left = residual - np.einsum("tnai,ni->tna", slope, offset)
        for mark in range(MARKS):
            some = counts[:, mark]
            if some.sum() >= ENOUGH:
                middle = np.median(left[some, mark], 0)
                same[mark].append((middle**2).mean())
                around[mark].append((1.48 * np.median(np.abs(left[some, mark] - middle))) ** 2)
    both = lambda values: np.sqrt((values + values[PARTNER]) / 2)  # noqa: E731
    return tuple(both(np.array([np.mean(clips) for clips in kind])) for kind in (same, around))


if __name__ == "__main__":
    main()
