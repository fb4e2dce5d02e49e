"""`emosh filter` by subprocess: finds motions below folders, names faults, survives damage, refuses emptiness."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np

from emosh_core.artifacts import keypoint_slice
from emosh_core.workspace.artifact import Provenance, write


def run(*words):
    command = [sys.executable, "-m", "emosh_cli", "filter", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_filter_judges_every_motion_below_a_folder(tmp_path, make_motion):
    motion = make_motion(12)
    points = motion.keypoints2d.copy()
    points[:, keypoint_slice("face"), 1] = np.linspace(100, 140, 478, dtype=np.float32)
    joints = motion.joints + np.linspace(0, 0.5, 12, dtype=np.float32)[:, None, None]
    good = replace(motion, keypoints2d=points, joints=joints)
    none = np.zeros(12, bool)
    values = {"good": good, "handless": replace(good, left_hand_valid=none, right_hand_valid=none), "torn": good}
    for name, value in values.items():
        write(tmp_path / "deep" / f"{name}.zarr", value, Provenance(fingerprint=name))
    write(tmp_path / ".unfinished" / "hidden.zarr", good, Provenance(fingerprint="hidden"))
    write(tmp_path / "deep" / "shape.zarr", good.shape, Provenance(fingerprint="shape"))
    shutil.rmtree(tmp_path / "deep" / "torn.zarr" / "joints")
    result = run(tmp_path, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["counts"]["clips"] == 2 and report["counts"]["kept"] == 1
    assert {clip["artifact"].split("/")[-1]: clip["reasons"] for clip in report["clips"]} == {
        "good.zarr": [], "handless.zarr": ["hands hidden"],
    }  # fmt: skip
    assert [path.split("/")[-1] for path in report["unreadable"]] == ["torn.zarr"]
    table = run(tmp_path, "--set", "hands=0").stdout
    assert "hands hidden" in table and "unreadable" in table and "kept" in table


def test_filter_says_when_there_is_nothing(tmp_path):
    empty, missing = run(tmp_path), run(tmp_path / "nowhere")
    assert empty.returncode == 3 and "no motion artifact" in empty.stderr and "emosh track" in empty.stderr
    assert missing.returncode == 3 and "no such folder" in missing.stderr
