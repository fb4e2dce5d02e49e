"""Whole clips: the truth agrees with the pictures, folders resume, the same seed gives the same bytes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from emosh_core.artifacts import KEYPOINTS, Motion, Shape, Truth
from emosh_core.body.pose import pose_from_motion
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.geometry.camera import project, to_camera
from emosh_core.image_io import read_image
from emosh_core.settings import SynthConfig
from emosh_core.synth.make import CLIPS, Set, begin, clip_name, make_clip, missing_clips
from emosh_core.synth.motion.statistics import ORDINARY, statistics
from emosh_core.synth.report import report, takes
from emosh_core.tracker.detectors import MediaPipeDetector
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read

SMALL = SynthConfig(frames=9, resolution=128, aspect="1:1", framing="full", motion="gesture", noise=0.2)


def make_set(config=SMALL, **options) -> Set:
    return Set.named("test", **({"seed": 3, "others": 0, "assets": None, "config": config, "device": "cpu"} | options))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """A clip and one pair of it, with its report."""
    folder, set_ = tmp_path_factory.mktemp("synth"), make_set(others=1)
    begin(folder, set_)
    make_clip(folder, set_, 0)
    report(folder, takes(folder, range(1)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_truth_is_what_the_body_model_says(pair, body):
    for take in takes(pair, range(1)):
        motion, truth = read(take / "motion.zarr", Motion), read(take / "truth.zarr", Truth)
        shape = read(take / "shape.zarr", Shape)
        assert (shape.betas_body == motion.shape.betas_body).all() and not shape.betas_body_std.any()
        posed = body.with_shape_of(shape).with_pose(pose_from_motion(motion))
        np.testing.assert_allclose(motion.joints, posed.joints.numpy(), atol=1e-5)
        pixels = project(to_camera(posed.landmarks().numpy(), motion.w2c), motion.K)
        np.testing.assert_allclose(motion.keypoints2d, pixels, atol=2e-3)
        assert (motion.confidence == truth.keypoint_visible).all() and len(motion.time) == SMALL.frames
        assert motion.keypoints2d.shape[1] == sum(KEYPOINTS.values())


def test_seen_points_lie_on_the_person_in_the_picture(pair):
    for take in takes(pair, range(1)):
        motion, truth = read(take / "motion.zarr", Motion), read(take / "truth.zarr", Truth)
        frames = [frame for _, frame in open_source(take / "video.mp4").frames()]
        assert len(frames) == SMALL.frames and frames[0].shape == (128, 128, 3)
        for t in range(SMALL.frames):
            place = motion.keypoints2d[t, truth.keypoint_visible[t]].astype(int)
            assert truth.mask[t][place[:, 1], place[:, 0]].mean() > 0.95
        assert 0.02 < truth.mask.mean() < 0.6
        still = read_image(take / "still.png")
        assert still.shape == (128, 128, 3) and np.abs(still.astype(int) - frames[0]).mean() < 60


def test_people_of_a_pair_do_the_same_before_the_same_camera(pair):
    one, other = (read(take / "motion.zarr", Motion) for take in takes(pair, range(1)))
    assert (one.K == other.K).all() and (one.w2c == other.w2c).all() and (one.expression == other.expression).all()
    upper = [2, 5, 8, 11, 14, 19, 20]  # spine, neck, head and wrists: not what feet and touches correct
    np.testing.assert_allclose(one.body_pose[:, upper], other.body_pose[:, upper], atol=1e-6)
    assert np.abs(one.shape.betas_body - other.shape.betas_body).max() > 0.1
    notes = [json.loads((take / "clip.json").read_text()) for take in takes(pair, range(1))]
    assert notes[0]["background"] == notes[1]["background"] and notes[0]["looks"] != notes[1]["looks"]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(pair, tmp_path):
    make_clip(tmp_path, make_set(others=1), 0)
    assert contents(tmp_path / CLIPS) == contents(pair / CLIPS)
    make_clip(tmp_path, make_set(others=1), 1)
    one, other = (tmp_path / CLIPS / clip_name(number) / "video.mp4" for number in (0, 1))
    assert one.read_bytes() != other.read_bytes()


def test_a_folder_of_another_set_is_refused(pair):
    with pytest.raises(ArtifactError, match="holds another set") as caught:
        begin(pair, make_set(others=1, seed=4))
    assert "seed" in caught.value.found
    with pytest.raises(ConfigError, match="--split is unknown"):
        Set.named("dev", seed=0, others=0, assets=None, config=SMALL, device="cpu")


def test_the_report_counts_and_shows_the_clips(pair):
    figures = json.loads((pair / "statistics.json").read_text())
    assert figures["clips"] == 2 and figures["filter"]["clips"] == 2
    assert figures["joints"]["left_elbow"]["range_deg"] > 1
    assert read_image(pair / "people.jpg").std() > 10 and read_image(pair / "strips.jpg").std() > 10


def test_random_clips_are_neither_frozen_nor_frantic(body):
    from emosh_core.synth.clip import choose_scene
    from emosh_core.synth.dice import Dice
    from emosh_core.synth.make import open_wardrobe

    motions, config = [], SynthConfig(frames=50, resolution=64, background="plain")
    for clip in range(16):
        scene = choose_scene(Dice(1, "train", clip), config, open_wardrobe("", "cpu"), body)
        pose, shape = scene.staged[0].pose, scene.people[0].shape
        joints = body.with_shape_of(shape).place_joints(pose.rotmats(), pose.transl)[1].numpy()
        fields = {name: getattr(pose, name).numpy() for name in vars(pose)}
        motions.append(_Bare(**fields, eyelid=np.zeros((50, 2)), joints=joints, time=np.arange(50) / 25, fps=25.0))
    figures = statistics(motions)
    for name, (low, high) in ORDINARY.items():
        assert low < figures[name] < high, (name, figures[name])


class _Bare:
    """What `statistics` reads of a motion."""

    def __init__(self, **fields):
        vars(self).update(fields)


def test_a_killed_run_leaves_no_half_clip_and_continues(tmp_path):
    command = [sys.executable, "-m", "emosh_cli", "synth", "-o", str(tmp_path), "-n", "3", "--workers", "1", "-q"]
    command += ["--set", "frames=40", "--set", "resolution=128", "--set", "background=plain"]
    process = subprocess.Popen(command)
    deadline = time.time() + 90
    while time.time() < deadline and not list((tmp_path / CLIPS).glob(".tmp-*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    half = list((tmp_path / CLIPS).glob(".tmp-*"))
    assert half and not (tmp_path / CLIPS / clip_name(0)).exists()
    result = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    made = json.loads(result.stdout)
    assert made["clips"] == made["made"] == 3 and made["frames"] == 120
    assert not list((tmp_path / CLIPS).glob(".tmp-*")) and not missing_clips(tmp_path, range(3))
    again = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert again["made"] == 0


def test_a_detector_takes_them_for_people(tmp_path):
    set_ = make_set(SynthConfig(frames=2, resolution=384, aspect="1:1", framing="three-quarter", motion="talk"))
    gaps = []
    for number in range(3):
        make_clip(tmp_path, set_, number)
        take = tmp_path / CLIPS / clip_name(number)
        motion = read(take / "motion.zarr", Motion)
        seen = MediaPipeDetector(static=True).detect(frame for _, frame in open_source(take / "video.mp4").frames())
        assert (seen.confidence[:, :33].max(1) > 0.5).all() and (seen.confidence[:, -478:].max(1) > 0.5).all()
        trunk = [11, 12, 23, 24]
        gaps.append(np.linalg.norm(seen.keypoints2d[:, trunk] - motion.keypoints2d[:, trunk], axis=-1))
    assert np.median(gaps) < 0.03 * 384
