"""Body pose by GVHMR: result files of the original code and of the package, or the package itself."""

import importlib.util
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp

from emosh_core.errors import ArtifactError, MissingDependencyError
from emosh_core.models import require
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.estimators.names import GVHMR_RESULT, find_result
from emosh_core.tracker.estimators.protocol import Coarse

FPS = 30.0  # GVHMR brings every video to this rate first
PELVIS = np.array([0.0031, -0.3514, 0.0120])
"""[m] the mean SMPL-X body's pelvis from its model's origin. Other shapes' differ by centimetres; the
tracker finds the place again from keypoints, so that this only has to be near."""
SLACK = 2  # [frames] by which re-sampling tools disagree about a video's length
FIELDS = ("global_orient", "body_pose", "transl")
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip
"""What numpy and torch raise on a file that is damaged, or is something else."""


@dataclass(frozen=True)
class Result:
    """What GVHMR found in L frames, camera axes.

    Attributes:
        global_orient: (L, 3) axis-angle [rad].
        body_pose: (L, 21, 3) axis-angle [rad].
        transl: (L, 3) m: X_cam = R (v − pelvis) + pelvis + transl.
        K: (L, 3, 3) px.
        fps: of these L frames.
    """

    global_orient: np.ndarray
    body_pose: np.ndarray
    transl: np.ndarray
    K: np.ndarray
    fps: float = FPS


class GvhmrFile:
    """A result that is already there.

    Args:
        path: `hmr4d_results.pt`, an `.npz` of the package, or a folder with one of these per clip
            (`CLIP/hmr4d_results.pt`, as GVHMR writes them, `CLIP.pt` or `CLIP.npz`).
        clip: the video that is tracked.
        times: (T,) s, when the frames that are tracked are shown.

    Raises:
        ArtifactError: there is no such file, or it is no result.
    """

    name = "gvhmr"

    def __init__(self, path: Path, clip: Path, times: np.ndarray):
        self._result, self._times = read_result(find_result(path, clip)), times

    def estimate(self, frames: Iterator[np.ndarray], seen: Detections) -> Coarse:
        """Return the result at the frames' times; the pictures are not looked at."""
        return to_coarse(self._result, self._times)


class GvhmrPackage:
    """The package `gvhmr` with the user's checkpoint; the camera is taken to stand still, as the tracker's does.

    The package looks for the networks of its own first steps (person detector, 2-D pose, image features) itself.

    Args:
        clip: the video that is tracked.
        times: (T,) s, when the frames that are tracked are shown.
        focal: [px]; 0 leaves it to the package (the picture's diagonal unless the file says more).

    Raises:
        AssetError: no checkpoint is registered; `fix` is the command that adds it.
        MissingDependencyError: the package is not installed.
    """

    name = "gvhmr"

    def __init__(self, clip: Path, times: np.ndarray, focal: float = 0.0):
        self._checkpoint = require("gvhmr").path
        if importlib.util.find_spec("gvhmr") is None:
            fix = '.venv/bin/pip install -e ".[gvhmr]", or name a result file'
            raise MissingDependencyError("the package gvhmr is needed to run GVHMR", fix=fix)
        self._clip, self._times, self._focal = clip, times, focal

    def estimate(self, frames: Iterator[np.ndarray], seen: Detections) -> Coarse:
        """Run the package on the video file."""
        import gvhmr

        options = {"f_px": self._focal} if self._focal else {}
        found = gvhmr.recover(
            str(self._clip), ckpt_path=self._checkpoint, static_camera=True, progress=False, **options
        )
        values = {name: found.smpl_params_camera[name] for name in FIELDS}
        return to_coarse(_result(values, found.intrinsics, found.fps), self._times)


def read_result(path: Path) -> Result:
    """Read a result file without running any code that may be in it.

    Raises:
        ArtifactError: it is damaged, holds something else, or needs code to be read.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                values = {name: data[f"camera_{name}"] for name in FIELDS}
                return _result(values, data["intrinsics"], float(data["fps"]) if "fps" in data else FPS)
        data = torch.load(path, map_location="cpu", weights_only=True)
        return _result({name: data["smpl_params_incam"][name] for name in FIELDS}, data["K_fullimg"], FPS)
    except UNREADABLE as error:
        raise ArtifactError(
            f"not a GVHMR result that can be read: {path}",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=f"name {GVHMR_RESULT} or what MotionResult.save_npz wrote",
        ) from error


def _result(values: dict, K, fps: float) -> Result:
    """Check shapes; what does not fit raises ValueError."""
    arrays = {name: np.asarray(value, np.float64) for name, value in values.items()}
    length = len(arrays["transl"])
    K = np.asarray(K, np.float64)
    K = np.broadcast_to(K, (length, 3, 3))
    shapes = {"global_orient": (length, 3), "body_pose": (length, 63), "transl": (length, 3)}
    for name, shape in shapes.items():
        if name == "body_pose" and arrays[name].shape == (length, 21, 3):
            continue
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
    if not length or not all(np.isfinite(array).all() for array in [*arrays.values(), K]):
        raise ValueError("empty, or not finite")
    return Result(arrays["global_orient"], arrays["body_pose"].reshape(length, 21, 3), arrays["transl"], K, fps)


def to_coarse(result: Result, times: np.ndarray) -> Coarse:
    """Take a result at the times of T frames.

    Raises:
        ArtifactError: it is longer or shorter than the clip.
    """
    at = _positions(len(result.transl), result.fps, times)
    pelvis = np.stack([np.interp(at, np.arange(len(result.transl)), axis) for axis in result.transl.T], -1) + PELVIS
    pose = np.stack([rotvec_at(result.body_pose[:, j], at) for j in range(21)], 1)
    return Coarse(
        K=np.median(result.K, 0).astype(np.float32),
        body_known=np.ones(len(times), bool),
        root=Rotation.from_rotvec(rotvec_at(result.global_orient, at)).as_matrix().astype(np.float32),
        body_pose=pose.astype(np.float32),
        transl=pelvis.astype(np.float32),
    )


def _positions(length: int, fps: float, times: np.ndarray) -> np.ndarray:
    """Where among a result's frames each of the clip's frames lies (T,).

    As many frames as the clip has are taken one for one; else they are a re-sampled video of the same duration.
    """
    if length == len(times):
        return np.arange(length, dtype=float)
    at = (times - times[0]) * fps
    step = (at[-1] - at[0]) / max(len(at) - 1, 1)  # the last frame lasts as long as the others
    expected = at[-1] + step
    if abs(length - expected) > SLACK:
        clip = f"the clip's {len(times)} frames over {expected / fps:.2f} s make {expected:.0f} at {fps:g} fps"
        fix = "run GVHMR on the whole clip, uncut"
        raise ArtifactError("the GVHMR result is not of this clip", found=f"{length} frames; {clip}", fix=fix)
    return at.clip(0, length - 1)


def rotvec_at(rotvecs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate rotations (L, 3) [rad] along the shortest way at fractional frames (T,)."""
    if len(rotvecs) == 1:
        return np.repeat(rotvecs, len(at), 0)
    return Slerp(np.arange(len(rotvecs)), Rotation.from_rotvec(rotvecs))(at).as_rotvec()
