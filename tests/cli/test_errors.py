"""Each promised error: its exit code, what it says and what it tells to do."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from emosh_cli import interrupt
from emosh_cli.console import Console
from emosh_core.video_io import VideoWriter
from emosh_core.workspace.workspace import template_folder


def check(result, code, *words):
    result.check(code, *words)


def test_no_such_file(tmp_path, emosh):
    check(emosh("track", tmp_path / "none.mp4", "-o", tmp_path / "ws"), 3, "no such file", "none.mp4", "fix:")


def test_not_a_video(tmp_path, emosh):
    (tmp_path / "text.mp4").write_text("not a video")
    check(emosh("track", tmp_path / "text.mp4", "-o", tmp_path / "ws"), 3, "not a video that can be read", "fix:")


def test_zero_frames(tmp_path, emosh):
    import av

    with av.open(str(tmp_path / "empty.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    check(emosh("track", tmp_path / "empty.mkv", "-o", tmp_path / "ws"), 3, "fix:")


@pytest.mark.e2e
def test_nobody_in_the_clip(tmp_path, emosh):
    with VideoWriter(tmp_path / "grey.mp4", 30, (96, 96)) as writer:
        for _ in range(3):
            writer.write(np.full((96, 96, 3), 128, np.uint8))
    result = emosh("track", tmp_path / "grey.mp4", "-o", tmp_path / "ws", "-q")
    assert result.code == 3 and "no person" in result.err and "frames 0–2" in result.err, result.err
    assert not list((tmp_path / "ws" / "artifacts" / "track").iterdir())


@pytest.mark.e2e
def test_damaged_tail_keeps_the_good_frames_and_says_so(tmp_path, emosh):
    clip = template_folder() / "inputs" / "driving" / "demo_head_single_face.mp4"
    data = bytearray(clip.read_bytes())
    data[150_000:160_000] = bytes(10_000)  # the index at the end of the file stays whole
    (tmp_path / "cut.mp4").write_bytes(data)
    quick = ["--set", "rounds=1", "--set", "shape_rounds=1", "--set", "preview=false"]
    result = emosh("track", tmp_path / "cut.mp4", "-o", tmp_path / "ws", *quick, "--json")
    assert result.code == 0, result.err
    assert "good frames were kept" in result.err and result.json["notes"]


def test_unwritable_workspace(tmp_path, emosh):
    (tmp_path / "file").write_text("")
    result = emosh("track", tmp_path / "file", "-o", tmp_path / "file" / "ws")
    check(result, 3, "cannot write to the workspace", "fix:")


@pytest.mark.parametrize("command", ["status", "retarget", "render-cond", "animate", "train", "eval"])
def test_no_such_workspace(tmp_path, tracked_template, emosh_here, command):
    still = ["--ref", tracked_template / "still.png"] if command in ("retarget", "animate") else []
    check(emosh_here(command, tmp_path / "none", *still), 3, "there is no such workspace", "emosh init")
    check(emosh_here(command, tracked_template / "still.png", *still), 2 if command == "eval" else 3)
    check(emosh_here(command, tmp_path, *still), 3, "not a workspace", "without emosh.toml")


def test_newer_schema(tracked, emosh):
    artifact = next((tracked / "ws" / "artifacts" / "track").glob("drive-*.zarr"))
    metadata = json.loads((artifact / "zarr.json").read_text())
    metadata["attributes"]["schema_version"] = 99
    (artifact / "zarr.json").write_text(json.dumps(metadata))
    for arguments in (["inspect", artifact], ["eval", tracked / "ws"]):
        check(emosh(*arguments), 3, "newer EMOSH", "schema 99", "upgrade")


def test_unknown_setting_names_the_nearest(tracked, emosh):
    retarget = ["retarget", tracked / "ws", "--ref", tracked / "still.png"]
    check(emosh(*retarget, "--set", "ancor=none"), 2, "unknown setting retarget.ancor", "did you mean anchor?")
    (tracked / "ws" / "emosh.toml").write_text("[track]\nround = 3\n")
    check(emosh(*retarget), 2, "unknown setting track.round", "did you mean rounds?", "emosh.toml")


def test_consent_is_needed_without_a_terminal(tracked, emosh):
    result = emosh("animate", tracked / "ws", "--ref", tracked / "still.png")
    check(result, 2, "consent", "--i-have-consent")


def test_no_reference(tracked, emosh):
    check(emosh("animate", tracked / "ws"), 2, "a still of the person is needed", "--ref")


def test_no_tracked_clip(tmp_path, tracked, emosh):
    assert emosh("init", tmp_path / "new").code == 0
    result = emosh("retarget", tmp_path / "new", "--ref", tracked / "still.png")
    check(result, 3, "no tracked clip", "emosh track")


def test_generator_that_was_never_trained(tracked, emosh):
    arguments = ["animate", tracked / "ws", "--ref", tracked / "still.png", "--i-have-consent"]
    check(emosh(*arguments, "--generator", "runs/none"), 4, "no trained generator 'runs/none'", "emosh train")


def test_devices(tracked, emosh):
    retarget = ["retarget", tracked / "ws", "--ref", tracked / "still.png"]
    check(emosh(*retarget, "--device", "gpu"), 2, "unknown device", "cuda:1")
    check(emosh(*retarget, "--device", "cuda:99"), 5, "there is no device cuda:99", "--device cpu")


def test_usage_errors_exit_2(emosh):
    assert emosh("track").code == 2
    assert emosh("dance").code == 2


@pytest.mark.parametrize(
    "command",
    ["track", "retarget", "render-cond", "animate", "train", "eval", "init", "status", "inspect", "doctor", "models"],
)
def test_help_teaches_with_an_example(emosh, command):
    text = emosh(command, "--help").out
    assert f"Example: emosh {command}" in text


@pytest.mark.e2e
def test_a_swallowed_interrupt_comes_back_with_the_next_progress():
    before = signal.getsignal(signal.SIGINT)
    try:
        interrupt.install()
        with pytest.raises(KeyboardInterrupt), Console(quiet=True).progress("x") as progress:
            with suppress(KeyboardInterrupt):  # as some libraries do while they are imported
                signal.raise_signal(signal.SIGINT)
            progress(1, 2)
        interrupt.install()
        interrupt.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_interrupted_run_can_be_resumed(tmp_path):
    with VideoWriter(tmp_path / "noise.mp4", 30, (192, 192)) as writer:
        rng = np.random.default_rng(0)
        for _ in range(360):
            writer.write(rng.integers(0, 256, (192, 192, 3), np.uint8))
    command = [sys.executable, "-m", "emosh_cli", "track", str(tmp_path / "noise.mp4"), "-o", str(tmp_path / "ws")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    deadline = time.monotonic() + 60
    # By the first finished piece every library is loaded: some swallow a Ctrl-C while they are imported.
    while not list((tmp_path / "ws" / ".emosh" / "work").glob("*/detect-00000.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "resumable: run the same command again" in process.stderr.read()
    assert not list((tmp_path / "ws" / "artifacts" / "track").iterdir())
    assert list((tmp_path / "ws" / ".emosh" / "work").iterdir())
