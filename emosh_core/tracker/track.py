"""Track a person: frames → `Motion`, by detection, coarse initialisation and joint refinement."""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from emosh_core.artifacts import Motion, Shape, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.body.smplx import SmplxModel
from emosh_core.errors import ArtifactError
from emosh_core.geometry.camera import CAMERA_AT_ORIGIN, project
from emosh_core.segmentation import person_mask
from emosh_core.settings import TrackConfig
from emosh_core.tracker import initialize as init
from emosh_core.tracker import silhouette
from emosh_core.tracker.detect import detect
from emosh_core.tracker.detectors import Detections, Detector
from emosh_core.tracker.estimators.choose import Coarsely, choose_detector, choose_estimators
from emosh_core.tracker.estimators.protocol import Coarse, Start, deepen, merge
from emosh_core.tracker.fit_model import FitModel, at_rest, fit_model, has_eyelids, known_points
from emosh_core.tracker.gating import Trust, believe_all, judge
from emosh_core.tracker.intrinsics import find_intrinsics
from emosh_core.tracker.marks import on_body
from emosh_core.tracker.objective import SIGMA
from emosh_core.tracker.observe import expecting, observe, with_open_eyes
from emosh_core.tracker.parameters import Observations, Parameters
from emosh_core.tracker.pieces import keep, kept
from emosh_core.tracker.population import population_of
from emosh_core.tracker.refine import refine, subject
from emosh_core.tracker.shape import fit_shape
from emosh_core.tracker.sides import mend_sides
from emosh_core.tracker.survey import Survey, survey
from emosh_core.tracker.uncertainty import shape_std
from emosh_core.video_io import Source, open_source

CONFIDENT = 0.5  # points that the reprojection error is about
FIT_WINDOW = 160  # frames that are refined together
FIT_OVERLAP = 8  # frames of the window before that hold the next one's beginning
SHAPE_FRAMES = 40  # frames that the shape is estimated from
OUTLINE_FRAMES = 4  # of them, frames whose outline is looked at
PHASES = {"survey": (0, 80), "detect": (80, 560), "shape": (560, 640), "fit": (640, 1000)}  # of 1000 on the bar


Progress = Callable[[int, int], None]


def track(
    path: str | Path,
    body: EhmModel | SmplxModel,
    config: TrackConfig,
    *,
    detector: Detector | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Motion:
    """Fit the body model to every frame of a video, an image or a folder of images.

    Args:
        path: what to track.
        body: full body model.
        config: settings.
        detector: keypoint detector; the one that `config.estimator` names by default.
        scratch: folder for finished pieces; a later call with the same arguments continues from them.
        progress: called with (done, total).
        note: called with what a person should know about the result.

    Raises:
        ArtifactError: the file cannot be read, or nobody is in it.
    """
    source = open_source(path)
    detector = detector or choose_detector(config.estimator, static=not source.is_video)
    estimators = choose_estimators(config.estimator, Path(path), focal=config.focal, gvhmr_results=config.gvhmr_results)
    overview = _survey(source, config.person, scratch, _phase(progress, "survey"))
    seen, times, problems = detect(source, detector, overview, scratch, _phase(progress, "detect"))
    shot = overview.shot[np.minimum(np.arange(len(times)), len(overview.shot) - 1)]
    look = (source.width, source.height), source.fps, shot
    seen = mend_sides(seen, judge(seen, *look).valid("face"))
    trust = judge(seen, *look) if config.gating else believe_all(seen)
    if not trust.valid("person").any():
        looked = f"looked at frames 0–{len(times) - 1} ({len(times)} frames, {source.width}×{source.height})"
        raise ArtifactError(
            f"no person found in {path}",
            found="; ".join([looked, *problems]),
            fix="use a picture or a clip in which the person is visible and at least ~60 pixels tall",
        )  # fmt: skip
    K, how = find_intrinsics(source, config.focal)
    _tell(note, overview, problems, how)
    coarse = _estimate(source, estimators, seen, times, scratch)
    seen = deepen(seen, coarse, K.numpy())
    fit = fit_model(body)
    small = fit.linear.for_landmarks()
    known = replace(seen, confidence=known_points(fit, seen.confidence))
    observations = observe(known, trust, shot, times, K, source.fps)
    start = _start(known, trust, observations, small, coarse)
    observations = expecting(observations, coarse, start).at(start)
    start = _fit_shape(source, start, observations, trust, fit.linear, config, scratch, _phase(progress, "shape"))
    start = _placed(start, torch.from_numpy(trust.valid("person")), observations, small)
    observations = observations.at(start)
    if has_eyelids(fit):
        observations = with_open_eyes(observations, start, small, trust.valid("face"))
    fitted = _fit_windows(start, observations, small, config, scratch, _phase(progress, "fit"))
    return _to_motion(fitted, seen, trust, observations, times, source, fit)


def _phase(progress: Progress | None, name: str) -> Progress | None:
    low, high = PHASES[name]
    return (lambda done, total: progress(low + (high - low) * done // max(total, 1), 1000)) if progress else None


def _survey(source: Source, who: str, scratch: Path | None, progress: Progress | None) -> Survey:
    found = kept(scratch, "survey", Survey)
    if found is None:
        found = survey(source, who, progress)
        keep(scratch, "survey", asdict(found))
    return found


def _tell(note: Callable[[str], None], overview: Survey, problems: list[str], how: str) -> None:
    """Say what was assumed and what went wrong."""
    for problem in problems:
        note(problem)
    note(how)
    cuts = np.flatnonzero(np.diff(overview.shot)) + 1
    if len(cuts):
        more = "…" if len(cuts) > 10 else ""
        note(f"{len(cuts)} cuts: new shots begin at frames {', '.join(map(str, cuts[:10]))}{more}")
    if overview.people > 1:
        note(f"{overview.people} people at once; --person chooses whom to follow")


def _estimate(
    source: Source, estimators: Coarsely, seen: Detections, times: np.ndarray, scratch: Path | None
) -> Coarse:
    """Ask the chosen estimators; their answer is kept in `scratch`."""
    found = kept(scratch, "coarse", Coarse)
    if found is None:
        found = estimators.estimate(lambda: (image for _, image in source.frames()), seen, times)
        keep(scratch, "coarse", found.arrays())
    return found


def _start(seen: Detections, trust: Trust, observed: Observations, body: EhmModel, coarse: Coarse) -> Parameters:
    """Closed-form parameters for every frame, gaps filled from the neighbours; the shape is the population's mean."""
    known = torch.from_numpy(trust.valid("person"))
    frames, betas = len(known), population_of(body).split(body)
    rest = at_rest(body, *betas)
    marks = rest.landmarks()[0]
    root, pose = init.initialize(seen, rest.joints[0], marks[keypoint_slice("face")], observed.K)
    for side in ("left", "right"):
        part = keypoint_slice(f"{side}_hand")
        hand = torch.cat([observed.pixels[:, part], observed.depth[:, part, None]], -1)
        init.turn_wrists(pose, side, torch.from_numpy(trust.valid(f"{side}_hand")), hand, marks[part], root)
    sound = root.flatten(1).isfinite().all(-1) & pose.flatten(1).isfinite().all(-1)
    if not (known & sound).any():  # detections that no pose explains: stand upright and let the fit see
        root, pose = torch.eye(3).repeat(frames, 1, 1), init.priors.body_mean().repeat(frames, 1, 1)
        sound = torch.ones_like(sound)
    root, pose = init.fill_rotation_gaps(root, known & sound), init.fill_gaps(pose, known & sound)
    hands = {f"{s}_hand_pose": init.priors.hand_mean(s).repeat(frames, 1, 1) for s in ("left", "right")}
    expression = torch.zeros(frames, len(body.expression_names))
    merged = merge(coarse, Start(root=root, body_pose=pose, expression=expression, **hands), body.expression_names)
    start = Parameters(
        **vars(merged), eye_pose=torch.zeros(frames, 2, 3), transl=torch.zeros(frames, 3),
        betas_body=betas[0], betas_head=betas[1],
    )  # fmt: skip
    return _placed(start, known, observed, body)


def _placed(p: Parameters, known: Tensor, observed: Observations, body: EhmModel) -> Parameters:
    """Put the person where the pixels say, in closed form; frames that are not `known` (T,) lie between the others."""
    place = []
    for some in _slices(len(known)):
        part = p.frames(some)
        points = _posed(replace(part, transl=torch.zeros_like(part.transl)), body).landmarks() @ init.CAM_TO_WORLD
        weight = observed.weight[some] / SIGMA**2
        place.append(init.solve_translation(points, observed.pixels[some], weight, observed.K))
    place = torch.cat(place)
    place[:, 2] = place[:, 2].clip(min=0.2)
    return replace(p, transl=init.fill_gaps(place, known & place.isfinite().all(-1)) @ init.CAM_TO_WORLD.T)


def _fit_shape(source, start, seen, trust, body, config, scratch, progress) -> Parameters:
    """Estimate the shape from frames spread over the clip, some with their outlines; their poses are thrown away."""
    found = kept(scratch, "shape", dict)
    if found is None:
        known = np.flatnonzero(trust.valid("person"))
        chosen, outlined = (known[_spread(len(known), count)] for count in (SHAPE_FRAMES, OUTLINE_FRAMES))
        contours = silhouette.trace([person_mask(image) for image in _images(source, outlined)])
        rows = torch.tensor([int(np.abs(chosen - t).argmin()) for t in outlined])
        looks = seen.frames(chosen)
        looks = replace(looks, begins=torch.ones_like(looks.begins))  # they are no neighbours
        fitted = fit_shape(start.frames(chosen), looks, body, contours, rows, rounds=config.shape_rounds,
                           weights=config.weights, height=config.height, distance=config.distance,
                           progress=progress)  # fmt: skip
        found = {name: getattr(fitted, name).numpy() for name in ("betas_body", "betas_head")}
        keep(scratch, "shape", found)
    return replace(start, **{name: torch.from_numpy(value) for name, value in found.items()})


def _spread(total: int, count: int) -> np.ndarray:
    """At most `count` indices evenly over range(total), ends included."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))


def _slices(total: int) -> list[slice]:
    return [slice(begin, min(begin + FIT_WINDOW, total)) for begin in range(0, total, FIT_WINDOW)]


def _images(source: Source, wanted: np.ndarray) -> list[np.ndarray]:
    """Decode the wanted frames (ascending)."""
    picked = (image for t, (_, image) in enumerate(source.frames()) if t in set(wanted.tolist()))
    return list(islice(picked, len(wanted)))


def _posed(p: Parameters, body: EhmModel):
    return body.with_shape(p.betas_body, p.betas_head).with_rotmats(p.rotmats(), p.expression, p.transl)


def _fit_windows(start, seen, body, config, scratch, progress) -> Parameters:
    """Refine window after window; each begins on the last frames of the one before, held still."""
    total, who = len(start.transl), subject(body, start.betas)
    done = replace(start, **{k: v.clone() for k, v in vars(start).items()})
    for number, part in enumerate(_slices(total)):
        first = max(part.start - FIT_OVERLAP, 0)
        window = slice(first, part.stop)
        found = kept(scratch, f"fit-{number:05d}", dict)
        if found is None:
            inner = (
                (lambda i, n, b=part.start, e=part.stop: progress(b * n + (e - b) * i, total * n)) if progress else None
            )
            fitted = refine(done.frames(window), seen.frames(window), who, rounds=config.rounds,
                            weights=config.weights, frozen=part.start - first, progress=inner)  # fmt: skip
            found = {k: v.numpy() for k, v in vars(fitted).items() if not k.startswith("betas")}
            keep(scratch, f"fit-{number:05d}", found)
        for name, value in found.items():
            getattr(done, name)[window] = torch.from_numpy(value)
    return done


def _to_motion(p: Parameters, seen, trust: Trust, observed, times, source: Source, fit: FitModel) -> Motion:
    small, name = fit.linear.for_landmarks(), fit.model.name
    joints, error = [], []
    for some in _slices(len(times)):
        posed = _posed(p.frames(some), small)
        off = (project(on_body(posed) @ init.CAM_TO_WORLD, observed.K) - observed.pixels[some]).norm(dim=-1)
        counted = (observed.weight[some] > 0) & torch.from_numpy(seen.confidence[some] >= CONFIDENT)
        error.append(torch.where(counted.any(-1), (off * counted).sum(-1) / counted.sum(-1), torch.nan))
        joints.append(posed.joints)
    body_std, head_std = shape_std(p, observed, small)
    shape = Shape(
        betas_body=p.betas_body.numpy(), betas_head=p.betas_head.numpy(), betas_body_std=body_std,
        betas_head_std=head_std, head_scale=1.0, hand_scale=1.0, body_model=name,
    )  # fmt: skip
    return Motion(
        joints=torch.cat(joints).numpy(), global_orient=roma.rotmat_to_rotvec(p.root).numpy(),
        body_pose=p.body_pose.numpy(), left_hand_pose=p.left_hand_pose.numpy(),
        right_hand_pose=p.right_hand_pose.numpy(), eye_pose=p.eye_pose.numpy(), **fit.face(p.expression),
        transl=p.transl.numpy(),
        K=np.repeat(observed.K.numpy()[None], len(times), 0), w2c=np.repeat(CAMERA_AT_ORIGIN[None], len(times), 0),
        keypoints2d=seen.keypoints2d, confidence=seen.confidence, face_valid=trust.valid("face"),
        left_hand_valid=trust.valid("left_hand"), right_hand_valid=trust.valid("right_hand"),
        person_valid=trust.valid("person"), trust=trust.values, reprojection_error=torch.cat(error).numpy(), time=times,
        shape=shape, fps=source.fps, size=(source.width, source.height), body_model=name,
    )  # fmt: skip
