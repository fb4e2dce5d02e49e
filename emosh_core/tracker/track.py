"""Track a person: frames → `Motion`, by detection, coarse initialisation and joint refinement."""

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, Motion, Shape, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.body.pose import zero_pose
from emosh_core.errors import ArtifactError
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, default_intrinsics, project
from emosh_core.segmentation import person_mask
from emosh_core.settings import TrackConfig
from emosh_core.tracker import initialize as init
from emosh_core.tracker import losses, silhouette
from emosh_core.tracker.detectors import Detections, Detector, MediaPipeDetector
from emosh_core.tracker.gating import Validity, judge
from emosh_core.tracker.refine import BONE_MARKS, Observations, Parameters, refine
from emosh_core.tracker.sides import mend_sides
from emosh_core.tracker.uncertainty import shape_std
from emosh_core.video_io import Source, open_source

DETECT_WINDOW = 120  # frames per resumable piece of detection
CONFIDENT = 0.5  # points that the reprojection error is about
FIT_WINDOW = 160  # frames that are refined together
FIT_OVERLAP = 8  # frames of the window before that hold the next one's beginning
SHAPE_FRAMES = 40  # frames that the shape is estimated from
OUTLINE_FRAMES = 4  # of them, frames whose outline is looked at
OUTLINE_REACH = (0.3, 0.2, 0.15, 0.12, 0.1)  # [m] per round of matching
PHASES = {"detect": (0, 400), "shape": (400, 600), "fit": (600, 1000)}  # of 1000 on the progress bar


Progress = Callable[[int, int], None]


def track(
    path: str | Path,
    body: EhmModel,
    config: TrackConfig,
    *,
    detector: Detector | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Motion:
    """Fit the body model to every frame of a video, an image or a folder of images.

    Args:
        path: what to track.
        body: full body model.
        config: settings.
        detector: keypoint detector; MediaPipe by default.
        scratch: folder for finished pieces; a later call with the same arguments continues from them.
        progress: called with (done, total).

    Raises:
        ArtifactError: the file cannot be read, or nobody is in it.
    """
    source = open_source(path)
    detector = detector or MediaPipeDetector(static=not source.is_video)
    seen, times = _detect(source, detector, scratch, _phase(progress, "detect"))
    seen = mend_sides(seen, judge(seen).face)
    valid = judge(seen)
    if not valid.person.any():
        raise ArtifactError(
            f"no person found in {path}",
            found=f"looked at frames 0–{len(times) - 1} ({len(times)} frames, {source.width}×{source.height})",
            fix="use a picture or a clip in which the person is visible and at least ~60 pixels tall",
        )
    K = torch.from_numpy(default_intrinsics(source.width, source.height, config.focal or None))
    small = body.for_landmarks()
    observations = _observe(seen, valid, K, source.fps)
    start = _start(seen, valid, observations, small)
    start = _fit_shape(source, start, observations, valid, body, config, scratch, _phase(progress, "shape"))
    fitted = _fit_windows(start, observations, small, config, scratch, _phase(progress, "fit"))
    return _to_motion(fitted, seen, valid, observations, times, source, body)


def _phase(progress: Progress | None, name: str) -> Progress | None:
    low, high = PHASES[name]
    return (lambda done, total: progress(low + (high - low) * done // max(total, 1), 1000)) if progress else None


def _detect(source: Source, detector: Detector, scratch: Path | None, progress: Progress | None):
    """Detect window by window; finished windows are kept in `scratch` and not detected again."""
    frames, pieces, times = source.frames(), [], []
    while batch := list(islice(frames, DETECT_WINDOW)):
        times += [t for t, _ in batch]
        piece = _kept(scratch, f"detect-{len(pieces):05d}", Detections)
        if piece is None:
            piece = detector.detect(image for _, image in batch)
            _keep(scratch, f"detect-{len(pieces):05d}", asdict(piece))
        pieces.append(piece)
        if progress:
            progress(len(times), max(source.count, len(times)))
    if not times:
        raise ArtifactError(f"the video has zero frames that can be decoded: {source.path}")
    return Detections.concatenate(pieces), np.array(times)


def _observe(seen: Detections, valid: Validity, K: Tensor, fps: float) -> Observations:
    """Weigh every detected point: 0 where its part is not trusted."""
    weight = seen.confidence**2 * valid.person[:, None]
    for part, count in KEYPOINTS.items():
        trusted = getattr(valid, part) if part != "body" else valid.person
        weight[:, keypoint_slice(part)] *= trusted[:, None] * losses.EFFECTIVE_POINTS[part] / count
    weight[:, 0:11] *= np.where(valid.face, 0.0, 0.5)[:, None]  # the face points say it better
    weight[:, 17:23] *= 0.3  # the pose model's own finger points are rough
    weight[:, 29:31] *= 0.3  # heels are seen from behind only
    start, end = (seen.body3d[:, [m[i] for m in BONE_MARKS]] for i in (0, 1))
    confidence = np.minimum(*(seen.confidence[:, [m[i] for m in BONE_MARKS]] for i in (0, 1)))
    directions = torch.nn.functional.normalize(torch.from_numpy(end - start), dim=-1)
    return Observations(
        pixels=torch.from_numpy(seen.keypoints2d),
        weight=torch.from_numpy(weight.astype(np.float32)),
        depth=torch.from_numpy(seen.depth),
        directions=directions,
        direction_weight=torch.from_numpy((confidence**2 * valid.person[:, None]).astype(np.float32)),
        K=K,
        rate=fps / 30,
    )


def _start(seen: Detections, valid: Validity, observed: Observations, body: EhmModel) -> Parameters:
    """Closed-form parameters for every frame, gaps filled from the neighbours."""
    frames, known = len(valid.person), torch.from_numpy(valid.person)
    betas = torch.zeros(body.body_dirs.shape[-1]), torch.zeros(body.head_dirs.shape[-1])
    rest = body.with_shape(*betas).with_pose(zero_pose())
    marks = rest.landmarks()[0]
    root, pose = init.initialize(seen, rest.joints[0], marks[keypoint_slice("face")], observed.K)
    for side in ("left", "right"):
        part = keypoint_slice(f"{side}_hand")
        hand = torch.cat([observed.pixels[:, part], observed.depth[:, part, None]], -1)
        init.turn_wrists(pose, side, torch.from_numpy(getattr(valid, f"{side}_hand")), hand, marks[part], root)
    root, pose = init.fill_rotation_gaps(root, known), init.fill_gaps(pose, known)
    hands = {f"{s}_hand_pose": init.priors.hand_mean(s).repeat(frames, 1, 1) for s in ("left", "right")}
    start = Parameters(
        root=root, body_pose=pose, **hands, eye_pose=torch.zeros(frames, 2, 3),
        expression=torch.zeros(frames, len(body.expression_names)), transl=torch.zeros(frames, 3),
        betas_body=betas[0], betas_head=betas[1],
    )  # fmt: skip
    points = _posed(start, body).landmarks() @ init.CAM_TO_WORLD
    place = init.solve_translation(points, observed.pixels, observed.weight, observed.K)
    place[:, 2] = place[:, 2].clip(min=0.2)
    return replace(start, transl=init.fill_gaps(place, known & place.isfinite().all(-1)) @ init.CAM_TO_WORLD.T)


def _fit_shape(source, start, seen, valid, body, config, scratch, progress) -> Parameters:
    """Estimate the shape from frames spread over the clip; their poses are thrown away.

    First from keypoints alone, then with the outlines of a few frames, matched again in each round.
    """
    kept = _kept(scratch, "shape", dict)
    if kept is None:
        known = np.flatnonzero(valid.person)
        chosen, outlined = (known[_spread(len(known), count)] for count in (SHAPE_FRAMES, OUTLINE_FRAMES))
        # The chosen frames are not neighbours: no smoothness between them.
        options = {"weights": replace(config, lambda_smooth=0.0).weights, "fit_shape": True}
        small = body.for_landmarks(silhouette.rim_candidates(body))
        fitted = refine(
            start.frames(chosen), seen.frames(chosen), body.for_landmarks(), steps=config.shape_steps,
            progress=(lambda i, n: progress(i, 2 * n)) if progress else None, **options,
        )  # fmt: skip
        contours = silhouette.trace([person_mask(image) for image in _images(source, outlined)])
        fitted = fitted.frames([int(np.abs(chosen - t).argmin()) for t in outlined])
        for turn, reach in enumerate(OUTLINE_REACH):
            with torch.no_grad():
                matches = silhouette.match(contours, _posed(fitted, body).verts, body, small, seen.K, reach)
            fitted = refine(
                fitted, seen.frames(outlined), small, steps=config.shape_steps // len(OUTLINE_REACH),
                reach=1.0, outlines=matches, **options,
            )  # fmt: skip
            if progress:
                progress(len(OUTLINE_REACH) + turn + 1, 2 * len(OUTLINE_REACH))
        kept = {name: getattr(fitted, name).numpy() for name in ("betas_body", "betas_head")}
        _keep(scratch, "shape", kept)
    return replace(start, **{name: torch.from_numpy(value) for name, value in kept.items()})


def _spread(total: int, count: int) -> np.ndarray:
    """At most `count` indices evenly over range(total), ends included."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))


def _images(source: Source, wanted: np.ndarray) -> list[np.ndarray]:
    """Decode the wanted frames (ascending)."""
    picked = (image for t, (_, image) in enumerate(source.frames()) if t in set(wanted.tolist()))
    return list(islice(picked, len(wanted)))


def _posed(p: Parameters, body: EhmModel):
    return body.with_shape(p.betas_body, p.betas_head).with_rotmats(p.rotmats(), p.expression, p.transl)


def _fit_windows(start, seen, body, config, scratch, progress) -> Parameters:
    """Refine window after window; each begins on the last frames of the one before, held still."""
    done, total = start, len(start.transl)
    for number, begin in enumerate(range(0, total, FIT_WINDOW)):
        first, end = max(begin - FIT_OVERLAP, 0), min(begin + FIT_WINDOW, total)
        window = slice(first, end)
        kept = _kept(scratch, f"fit-{number:05d}", dict)
        if kept is None:
            inner = (lambda i, n, b=begin, e=end: progress(b * n + (e - b) * i, total * n)) if progress else None
            fitted = refine(
                done.frames(window), seen.frames(window), body, steps=config.steps, weights=config.weights,
                fit_shape=False, frozen=begin - first, progress=inner,
            )  # fmt: skip
            kept = {k: v.numpy() for k, v in vars(fitted).items() if not k.startswith("betas")}
            _keep(scratch, f"fit-{number:05d}", kept)
        values = {k: getattr(done, k).clone() for k in kept}
        for name, value in kept.items():
            values[name][window] = torch.from_numpy(value)
        done = replace(done, **values)
    return done


def _to_motion(p: Parameters, seen, valid, observed, times, source: Source, body: EhmModel) -> Motion:
    small = body.for_landmarks()
    posed = _posed(p, small)
    error = (project(posed.landmarks() @ init.CAM_TO_WORLD, observed.K) - observed.pixels).norm(dim=-1)
    trusted = (observed.weight > 0) & torch.from_numpy(seen.confidence >= CONFIDENT)
    error = torch.where(trusted.any(-1), (error * trusted).sum(-1) / trusted.sum(-1), torch.nan)
    blink = [body.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    body_std, head_std = shape_std(p, observed, small)
    shape = Shape(
        betas_body=p.betas_body.numpy(), betas_head=p.betas_head.numpy(), betas_body_std=body_std,
        betas_head_std=head_std, head_scale=1.0, hand_scale=1.0, body_model=body.name,
    )  # fmt: skip
    return Motion(
        joints=posed.joints.numpy(),
        global_orient=roma.rotmat_to_rotvec(p.root).numpy(),
        body_pose=p.body_pose.numpy(),
        left_hand_pose=p.left_hand_pose.numpy(),
        right_hand_pose=p.right_hand_pose.numpy(),
        jaw_pose=np.zeros((len(times), 3), np.float32),
        eye_pose=p.eye_pose.numpy(),
        eyelid=p.expression[:, blink].clip(0, 1).numpy(),
        expression=p.expression.clip(0, 1).numpy(),
        transl=p.transl.numpy(),
        K=np.repeat(observed.K.numpy()[None], len(times), 0),
        w2c=np.repeat(CAMERA_AT_ORIGIN[None], len(times), 0),
        keypoints2d=seen.keypoints2d,
        confidence=seen.confidence,
        face_valid=valid.face,
        left_hand_valid=valid.left_hand,
        right_hand_valid=valid.right_hand,
        person_valid=valid.person,
        reprojection_error=error.numpy(),
        time=times,
        shape=shape,
        fps=source.fps,
        size=(source.width, source.height),
        body_model=body.name,
    )


def _keep(scratch: Path | None, name: str, values: dict[str, np.ndarray]) -> None:
    """Save a finished piece so that a killed process leaves either all of it or nothing."""
    if scratch is None:
        return
    part = scratch / f".{name}.{os.getpid()}.npz"
    np.savez(part, **values)
    os.replace(part, scratch / f"{name}.npz")


def _kept(scratch: Path | None, name: str, kind):
    """Load a piece that an earlier run finished, or None."""
    if scratch is None or not (scratch / f"{name}.npz").exists():
        return None
    with np.load(scratch / f"{name}.npz", allow_pickle=False) as data:
        return kind(**{k: data[k] for k in data.files})
