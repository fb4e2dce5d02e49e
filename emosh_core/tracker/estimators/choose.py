"""From the settings' words to estimators that are ready: whatever is missing is known before the first frame."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emosh_core.tracker.detectors import Detections, Detector, MediaPipeDetector
from emosh_core.tracker.estimators.dwpose import DwposeDetector
from emosh_core.tracker.estimators.faces import FaceNetwork
from emosh_core.tracker.estimators.gvhmr import GvhmrFile, GvhmrPackage
from emosh_core.tracker.estimators.hands import HandNetwork
from emosh_core.tracker.estimators.names import parse_estimators
from emosh_core.tracker.estimators.protocol import Coarse, Estimator


def choose_detector(names: str, *, static: bool) -> Detector:
    """Return the keypoint detector.

    Raises:
        ConfigError: a name is unknown.
        AssetError: its weights are not registered; `fix` is the command that adds them.
        MissingDependencyError: its package is not installed.
    """
    if parse_estimators(names)["detector"] == "dwpose":
        return DwposeDetector.with_mediapipe(static=static)
    return MediaPipeDetector(static=static)


@dataclass(frozen=True)
class Coarsely:
    """The estimators of body, hands and face that were chosen; none at all is nothing to do.

    Args:
        body: makes the body's estimator once the frames' times (T,) [s] are known.
        parts: estimators that look at the pictures.
    """

    body: Callable[[np.ndarray], Estimator] | None
    parts: tuple[Estimator, ...]

    def __bool__(self) -> bool:
        return self.body is not None or bool(self.parts)

    def estimate(self, frames: Callable[[], Iterator[np.ndarray]], seen: Detections, times: np.ndarray) -> Coarse:
        """Ask each estimator in turn.

        Args:
            frames: starts the clip's frames from the beginning.
            seen: what the detector saw in them.
            times: (T,) s.
        """
        joined = Coarse()
        for estimator in (*([self.body(times)] if self.body else []), *self.parts):
            joined = joined.over(estimator.estimate(frames(), seen))
        return joined


def choose_estimators(names: str, clip: Path, *, focal: float, gvhmr_results: str) -> Coarsely:
    """Return the estimators of body, hands and face; for a still the body has none.

    Args:
        names: the choice as users write it.
        clip: what is tracked.
        focal: [px]; 0 takes the picture's diagonal.
        gvhmr_results: result file or folder of such; empty runs the package.

    Raises:
        ConfigError, AssetError, ArtifactError, MissingDependencyError: as the estimators say.
    """
    chosen = parse_estimators(names, clip)
    body = None
    if "body" in chosen and gvhmr_results:
        results = Path(gvhmr_results)
        GvhmrFile(results, clip, np.zeros(1))  # a missing or damaged file is known now

        def body(times: np.ndarray) -> Estimator:
            return GvhmrFile(results, clip, times)
    elif "body" in chosen:
        GvhmrPackage(clip, np.zeros(1), focal)

        def body(times: np.ndarray) -> Estimator:
            return GvhmrPackage(clip, times, focal)

    parts = [HandNetwork(chosen["hands"], focal)] if "hands" in chosen else []
    parts += [FaceNetwork(chosen["face"], focal)] if "face" in chosen else []
    return Coarsely(body, tuple(parts))
