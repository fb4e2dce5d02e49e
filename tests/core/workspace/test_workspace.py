"""Workspaces: whole artifacts only, whoever is killed, and one writer at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emosh_core.errors import ArtifactError
from emosh_core.workspace import layout
from emosh_core.workspace.store import fingerprint
from emosh_core.workspace.workspace import Workspace

FP = "0123456789ab"

WRITER = """
import sys, time
from pathlib import Path
from emosh_core.workspace.workspace import Workspace

workspace = Workspace.open(Path(sys.argv[1]))
content, pause = sys.argv[2], float(sys.argv[3])

def write(folder):
    folder.mkdir(parents=True)
    for i in range(20):
        (folder / f"part{i}").write_text(content)
        time.sleep(pause)

with workspace.lock("track", "0123456789ab"):
    fresh = workspace.find("track", "0123456789ab")
    print("fresh" if fresh else "made", flush=True)
    if not fresh or content != "first":
        workspace.commit("track", "clip", "0123456789ab", write)
print("done", flush=True)
"""


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "ws")


def start(workspace, content, pause=0.0):
    command = [sys.executable, "-c", WRITER, str(workspace.root), content, str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def contents(path: Path) -> set[str]:
    assert len(list(path.iterdir())) == 20
    return {part.read_text() for part in path.iterdir()}


def test_create_fills_in_only_what_is_missing(tmp_path):
    root = tmp_path / "deep" / "ws"
    workspace = Workspace.create(root)
    assert all((root / folder).is_dir() for folder in layout.FOLDERS)
    assert not list((root / "inputs").rglob("*.mp4"))
    workspace.settings_file.write_text("# mine")
    Workspace.create(root, examples=True)
    assert workspace.settings_file.read_text() == "# mine"
    assert list((root / "inputs" / "driving").glob("*.mp4"))


def test_a_folder_that_is_no_workspace_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"no such workspace[\s\S]*no such folder[\s\S]*emosh init"):
        Workspace.open(tmp_path / "none")
    with pytest.raises(ArtifactError, match="without emosh.toml"):
        Workspace.open(tmp_path)


def test_unwritable_workspace_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write to the workspace") as caught:
        Workspace.create(tmp_path / "file" / "ws")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("attempt", range(4))
def test_killed_writer_leaves_the_old_artifact_or_none(workspace, attempt):
    old = {"first"} if attempt % 2 else None
    if old:
        assert start(workspace, "first").wait(20) == 0
    process = start(workspace, "second", pause=0.05)
    assert process.stdout.readline()
    time.sleep(0.1 + 0.25 * attempt)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    reopened = Workspace.open(workspace.root)
    found = reopened.find("track", FP)
    assert (contents(found) if found else None) in (old, {"second"})
    assert not any((workspace.root / ".emosh" / kind / f"track-{FP}").exists() for kind in ("tmp", "replaced"))
    assert start(workspace, "third").wait(20) == 0
    assert contents(reopened.find("track", FP)) == {"third"}


def test_kill_between_the_two_renames_of_a_replacement_is_repaired(workspace):
    assert start(workspace, "first").wait(20) == 0
    final = workspace.find("track", FP)
    waiting = workspace.root / ".emosh" / "replaced" / f"track-{FP}" / final.name
    waiting.parent.mkdir(parents=True)
    os.rename(final, waiting)
    assert contents(Workspace.open(workspace.root).find("track", FP)) == {"first"}
    assert not waiting.parent.exists()


def test_second_process_waits_and_finds_it_fresh(workspace):
    first = start(workspace, "first", pause=0.05)
    assert first.stdout.readline() == "made\n"
    second = start(workspace, "first")
    assert second.stdout.readline() == "fresh\n"
    assert first.wait(20) == 0 and second.wait(20) == 0
    assert len(workspace.artifacts("track")) == 1


def test_opening_leaves_a_living_writer_alone(workspace):
    process = start(workspace, "first", pause=0.05)
    assert process.stdout.readline() == "made\n"
    time.sleep(0.2)
    Workspace.open(workspace.root)
    assert process.wait(20) == 0
    assert contents(workspace.find("track", FP)) == {"first"}


def test_failed_write_keeps_the_scratch_and_no_artifact(workspace):
    (workspace.scratch("track", FP) / "window0").write_text("kept")

    def fail(folder):
        folder.mkdir()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        workspace.commit("track", "clip", FP, fail)
    assert workspace.find("track", FP) is None
    assert (workspace.scratch("track", FP) / "window0").read_text() == "kept"
    workspace.commit("track", "clip", FP, Path.mkdir)
    assert not list(workspace.scratch("track", FP).iterdir())


def test_inputs_are_named_by_content(workspace, tmp_path):
    for name, text in {"a/x.mp4": "one", "b/x.mp4": "two", "b/y.MP4": "one"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    one, two, same = (workspace.add_input(tmp_path / name) for name in ("a/x.mp4", "b/x.mp4", "b/y.MP4"))
    assert one.sha256 != two.sha256 and one.path != two.path
    assert one.path == same.path and one.path.read_text() == "one"
    assert (one.name, same.name) == ("x", "y")
    assert json.loads((workspace.root / "inputs" / "names.json").read_text())[one.path.name] == ["x.mp4", "y.MP4"]
    with pytest.raises(ArtifactError, match="no such file"):
        workspace.add_input(tmp_path / "none.mp4")


def test_an_input_changed_in_place_spoils_no_other(workspace, tmp_path):
    (tmp_path / "x.mp4").write_text("one")
    workspace.add_input(tmp_path / "x.mp4")
    (tmp_path / "x.mp4").write_text("three")  # the same file on disk: hard links see it too
    (tmp_path / "copy.mp4").write_text("one")
    assert workspace.add_input(tmp_path / "copy.mp4").path.read_text() == "one"
    assert workspace.add_input(tmp_path / "x.mp4").path.read_text() == "three"


def test_abandoned_temporary_files_are_swept(workspace, monkeypatch):
    left = [workspace.root / "inputs" / ".x.mp4.123", workspace.root / ".emosh" / ".tmp-digests.json-123"]
    left[1].parent.mkdir(exist_ok=True)
    for file in left:
        file.write_text("half")
    Workspace.open(workspace.root)
    assert all(file.exists() for file in left)  # perhaps somebody is writing them now
    monkeypatch.setattr("emosh_core.workspace.store.ABANDONED", -1)
    Workspace.open(workspace.root)
    assert not any(file.exists() for file in left)


def test_a_folder_of_images_is_an_input(workspace, tmp_path):
    folder = tmp_path / "shots"
    folder.mkdir()
    (folder / "0.png").write_text("zero")
    before = workspace.add_input(folder)
    assert before.name == "shots" and (before.path / "0.png").read_text() == "zero"
    (folder / "1.png").write_text("one")
    assert workspace.add_input(folder).sha256 != before.sha256


def test_digest_follows_the_content(workspace, tmp_path):
    file = tmp_path / "x"
    file.write_text("one")
    first = workspace.sha256(file)
    assert workspace.sha256(file) == first
    file.write_text("two!")
    assert workspace.sha256(file) != first


def test_fingerprint_depends_on_each_part_and_not_on_key_order():
    base = {
        "stage": "track", "schema": 1, "settings": {"a": 1, "b": (2, 3)}, "inputs": ["x", "y"], "models": {"body": "z"},
    }  # fmt: skip
    known = fingerprint(**base)
    assert len(known) == 12 and known == fingerprint(**{**base, "settings": {"b": [2, 3], "a": 1}})
    changes = {"stage": "animate", "schema": 2, "settings": {"a": 2, "b": (2, 3)}, "inputs": ["y", "x"], "models": {}}
    assert len({known} | {fingerprint(**{**base, key: value}) for key, value in changes.items()}) == 6


def test_consent_is_remembered(workspace):
    assert not workspace.has_consent()
    workspace.record_consent("option")
    assert Workspace.open(workspace.root).has_consent()
