"""How far the tracker is from the truth, on synthetic clips of held-out people and motions.

`python tests/benchmarks/bench_track_accuracy.py [--assets PACK] [--split test|val]` runs the tracker's tests first,
makes the set (or takes it from --set), tracks every clip with its true focal length, prints the table with the
ablations and writes benchmarks/results/track_accuracy*.json. What is tuned is tuned on `val`; `test` is what is quoted.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from bench_synth import facing, heights
from machine import device_name
from rich.console import Console
from rich.table import Table

from emosh_core.artifacts import CONTACTS, Motion, Truth, keypoint_slice
from emosh_core.body.assets import load_body
from emosh_core.body.joints import HANDS, WRISTS
from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.camera import to_camera
from emosh_core.metrics.motion import jitter
from emosh_core.metrics.pose import amplitude, correlation, procrustes_aligned, root_aligned
from emosh_core.settings import SynthConfig, TrackConfig
from emosh_core.synth.clip import LIPS, MOUTH_CORNERS, Shooting, choose_scene
from emosh_core.synth.dice import PROTOCOL_CLIPS, Dice
from emosh_core.synth.make import Set, film_clip, make_clips, open_wardrobe, usual_workers
from emosh_core.synth.report import takes
from emosh_core.tracker.objective import BONES
from emosh_core.tracker.track import track
from emosh_core.workspace.artifact import read

ROOT = Path(__file__).parents[2]
BODY = 22
"""Joints of the body without hands and face."""
LIMBS = [4, 5, 7, 8, 16, 17, 18, 19, 20, 21, 1, 2]
"""The twelve limb joints: knees, ankles, shoulders, elbows, wrists, hips."""
HAND_PIXELS, FACE_PIXELS, LARGE_FACE = 24.0, 40.0, 100.0
"""Hands and faces smaller than this are not scored; in large faces eyelids are more than two pixels."""
HAND_SEEN = 0.8
"""Share of a hand's joints that must be visible for it to be scored."""
VARIANTS = {
    "full": {}, "known distance": {"distance": 1.0}, "init only": {"rounds": 0}, "no gating": {"gating": False},
    "no smoothness": {"lambda_smooth": 0.0}, "no hand 3-D": {"lambda_3d": 0.0},
}  # fmt: skip
IDENTITIES = 6
"""People who are tracked in two clips each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--clips", type=int, help="fewer than the whole set")
    parser.add_argument("--set", type=Path, help="folder that keeps the clips and what was detected in them")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--identities", type=int, default=IDENTITIES)
    parser.add_argument("--untested", action="store_true")
    options = parser.parse_args()
    if not options.untested:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "tests/core/tracker"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.set or Path(scratch)
        count = options.clips or PROTOCOL_CLIPS[options.split]
        set_ = Set.named(options.split, seed=None, others=0, assets=options.assets, config=SynthConfig(), device="cpu")
        list(make_clips(folder, set_, list(range(count)), workers=usual_workers(set_)))
        clips = takes(folder, range(count))
        table = {name: score(clips, folder / "tracked", name) for name in options.only}
        same = identities(folder / "identities", options) if options.identities else {}
    show(table, same)
    report = {
        "benchmark": "track_accuracy", "split": options.split, "clips": count, "assets": bool(options.assets),
        "variants": table, "identities": same, "device": device_name("cpu"), "load_average": os.getloadavg()[0],
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    name = f"track_accuracy_{options.split}" + ("_pack" if options.assets else "")
    out = ROOT / "benchmarks" / "results" / f"{name}.json"
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(out)


def follow(clip: Path, kept: Path, settings: dict) -> Motion:
    """Track a clip with its true focal length; detections are kept for the other variants."""
    true = read(clip / "motion.zarr", Motion)
    shared = kept / "detections" / clip.name
    with tempfile.TemporaryDirectory() as scratch:
        for piece in shared.glob("*.npz"):
            shutil.copy(piece, scratch)
        config = replace(TrackConfig(focal=float(np.median(true.K[:, 0, 0]))), **settings)
        if config.distance:  # the true one
            hips = to_camera(torch.from_numpy(true.joints[:, :1]), torch.from_numpy(true.w2c))
            config = replace(config, distance=float(hips[..., 2].mean()))
        motion = track(clip / "video.mp4", load_body(), config, scratch=Path(scratch))
        shared.mkdir(parents=True, exist_ok=True)
        for name in ("detect-*", "survey*"):
            for piece in Path(scratch).glob(name):
                shutil.copy(piece, shared)
    return motion


def score(clips: list[Path], kept: Path, name: str) -> dict[str, float]:
    """Return the medians over everything that is scored in the clips."""
    rows = []
    for clip in clips:
        true, truth = read(clip / "motion.zarr", Motion), read(clip / "truth.zarr", Truth)
        rows.append(compare(follow(clip, kept, VARIANTS[name]), true, truth))
        row = {key: float(np.nanmedian(v)) if np.size(v) else float("nan") for key, v in rows[-1].items()}
        print(name, clip.name, " ".join(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
    joined = {key: np.concatenate([np.atleast_1d(row[key]) for row in rows]) for key in rows[0]}
    courses = {key: joined.pop(key) for key in list(joined) if key.startswith("course_")}
    result = {key: round(float(np.nanmedian(values)), 4) for key, values in joined.items()}
    large = courses["course_size"] >= LARGE_FACE
    for what in ("blink", "mouth"):
        one, other = courses[f"course_{what}"], courses[f"course_true_{what}"]
        some = np.repeat(large, 2) if what == "blink" else large
        result[f"{what}_correlation"] = round(correlation(one, other), 4)
        result[f"{what}_correlation_large_face"] = round(correlation(one[some], other[some]), 4)
    result["frames_without_person_pct"] = round(100 * float(np.mean(1 - joined["person"])), 2)
    return result


def compare(motion: Motion, true: Motion, truth: Truth) -> dict[str, np.ndarray]:
    """Return every error of a clip: distances [mm], ratios and courses."""
    here, there = (to_camera(torch.from_numpy(m.joints), torch.from_numpy(m.w2c)).numpy() for m in (motion, true))
    body, seen = slice(0, BODY), truth.joint_visible[:, :BODY]
    placed, turned = root_aligned(here[:, body], there[:, body]), procrustes_aligned(here[:, body], there[:, body])
    limbs = procrustes_aligned(here[:, LIMBS], there[:, LIMBS], truth.joint_visible[:, LIMBS])
    rows = {
        "mpjpe": placed[seen] * 1e3, "mpjpe_all": placed.ravel() * 1e3, "pa": turned[seen] * 1e3,
        "pa_limbs": limbs[truth.joint_visible[:, LIMBS]] * 1e3,
        "jitter_ratio": _jitter(here, there, true.fps), "amplitude": amplitude(here, there, _visible_limbs(truth)),
        "person": motion.person_valid.astype(float),
    }  # fmt: skip
    rows["foot_slide_mm"] = _slide(here, true, truth)
    rows["hands_pa"] = _hands(here, there, true, truth) * 1e3
    rows |= _face(motion, true, truth)
    rows["proportions_pct"] = 100 * _proportions(motion, true)
    rows["stature_pct"] = 100 * abs(_stature(motion) / _stature(true) - 1)
    error = motion.reprojection_error[np.isfinite(motion.reprojection_error)]
    rows["reprojection_pct"] = 100 * np.median(error) / np.median(heights(true)["body"]) if len(error) else np.nan
    return rows


def _visible_limbs(truth: Truth) -> list[int]:
    return [joint for joint in LIMBS if truth.joint_visible[:, joint].mean() > HAND_SEEN]


def _jitter(here: np.ndarray, there: np.ndarray, fps: float) -> float:
    known = np.ones(len(here), bool)
    about = [points[:, LIMBS] - points[:, :1] for points in (here, there)]
    return jitter(about[0], fps, known) / max(jitter(about[1], fps, known), 1e-6)


def _slide(here: np.ndarray, true: Motion, truth: Truth) -> np.ndarray:
    """Return how far feet that stand on the floor move from frame to frame, in the true world (N,) [mm]."""
    turn, shift = true.w2c[:, :3, :3], true.w2c[:, :3, 3]
    world = np.einsum("tij,tkj->tki", turn.swapaxes(1, 2), here - shift[:, None])
    found = []
    for side, joint in (("left", 10), ("right", 11)):
        stands = truth.contacts[:, CONTACTS.index(f"{side}_foot-floor")] > 0.5
        both = stands[1:] & stands[:-1]
        found.append(np.linalg.norm(np.diff(world[:, joint], axis=0), axis=-1)[both])
    return np.concatenate(found) * 1e3


def _hands(here: np.ndarray, there: np.ndarray, true: Motion, truth: Truth) -> np.ndarray:
    """Return distances of hands' joints that are seen and large enough, each hand aligned by itself."""
    found = []
    for side, wrist in WRISTS.items():
        rows = [wrist, *HANDS[side]]
        pixels = np.ptp(true.keypoints2d[:, keypoint_slice(f"{side}_hand")], axis=1)
        asked = (truth.joint_visible[:, rows].mean(1) > HAND_SEEN) & (np.linalg.norm(pixels, axis=1) > HAND_PIXELS)
        found.append(procrustes_aligned(here[asked][:, rows], there[asked][:, rows]).ravel())
    return np.concatenate(found)


def _face(motion: Motion, true: Motion, truth: Truth) -> dict[str, np.ndarray]:
    asked = facing(true) & (heights(true)["face"] > FACE_PIXELS) & true.face_valid
    names = load_body().expression_names
    felt = [i for i, name in enumerate(names) if not name.startswith(("eyeLook", "tongue"))]
    opening = load_body().with_shape_of(motion.shape).with_pose(pose_from_motion(motion)).landmarks("face")
    gap, width = ((opening[:, a] - opening[:, b]).norm(dim=-1) for a, b in (LIPS, MOUTH_CORNERS))
    return {
        "expression_error": np.abs(motion.expression - true.expression)[asked][:, felt].mean(1),
        "course_blink": motion.eyelid[asked].ravel(), "course_true_blink": truth.blink[asked].ravel(),
        "course_mouth": (gap / width).numpy()[asked], "course_true_mouth": truth.mouth_open[asked],
        "course_size": heights(true)["face"][asked],
    }  # fmt: skip


def _stature(motion: Motion) -> float:
    rest = load_body().with_shape_of(motion.shape).rest_verts
    return float(rest[:, 1].amax() - rest[:, 1].amin())


def _proportions(motion: Motion, true: Motion) -> np.ndarray:
    """Return by how much bones are wrong, as shares of the stature (B,)."""
    shares = []
    for one in (motion, true):
        rest = load_body().with_shape_of(one.shape).rest_joints
        bones = (rest[BONES[:, 0]] - rest[BONES[:, 1]]).norm(dim=-1)
        shares.append(bones.numpy() / _stature(one))
    return np.abs(shares[0] - shares[1])


class OnePerson:
    """A wardrobe out of which always the same person comes."""

    def __init__(self, wardrobe, number: int, split: str) -> None:
        self._wardrobe, self._person = wardrobe, wardrobe.person(Dice(77, split, number).rng("person"), split)

    def person(self, rng, split):
        return self._person

    def __getattr__(self, name):
        return getattr(self._wardrobe, name)


def identities(folder: Path, options) -> dict[str, float]:
    """Track people in two clips each: how far apart are their shapes, beside those of different people?"""
    betas, wardrobe = [], open_wardrobe(str(options.assets or ""), "cpu")
    for number in range(options.identities):
        one = OnePerson(wardrobe, number, options.split)
        for take in range(2):
            clip = folder / f"person-{number}-{take}"
            if not (clip / "motion.zarr").exists():
                dice = Dice(78 + take, options.split, number)
                config = SynthConfig(framing=("full", "three-quarter")[take], frames=49)
                clip.mkdir(parents=True, exist_ok=True)
                scene = choose_scene(dice, config, one, load_body())
                film_clip(Shooting(scene, 0, wardrobe, load_body()), clip, "", config)
            motion = follow(clip, folder, {})
            betas.append(motion.shape.betas_body)
    betas = np.array(betas).reshape(options.identities, 2, -1)
    within = np.linalg.norm(betas[:, 0] - betas[:, 1], axis=-1)
    between = np.linalg.norm(betas[:, None, 0] - betas[None, :, 1], axis=-1)
    other = between[~np.eye(len(betas), dtype=bool)]
    nearest = (between.argmin(1) == np.arange(len(betas))).mean()
    return {"within": round(float(np.median(within)), 3), "between": round(float(np.median(other)), 3),
            "nearest_is_the_same_person": round(float(nearest), 3)}  # fmt: skip


def show(table: dict[str, dict[str, float]], same: dict[str, float]) -> None:
    """Print the variants side by side."""
    grid = Table("measure", *table)
    for key in next(iter(table.values())):
        grid.add_row(key, *(f"{row[key]:g}" for row in table.values()))
    Console().print(grid)
    Console().print(same)


if __name__ == "__main__":
    main()
