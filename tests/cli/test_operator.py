"""What a careful user and a batch operator rely on: options everywhere, nothing done unasked, nothing lost."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from emosh_core.workspace.artifact import Provenance, write


def check(result, code, *words):
    result.check(code, *words)


def contents(folder: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if ".emosh" not in path.parts}


def edit_attributes(artifact: Path, change):
    metadata = json.loads((artifact / "zarr.json").read_text())
    change(metadata["attributes"])
    (artifact / "zarr.json").write_text(json.dumps(metadata))


def track(tracked: Path, name: str) -> Path:
    return next((tracked / "ws" / "artifacts" / "track").glob(f"{name}-*.zarr"))


@pytest.mark.parametrize(
    "command",
    ["track", "retarget", "render-cond", "animate", "train", "eval", "export", "init", "status", "inspect", "doctor"],
)
def test_common_options_are_everywhere(emosh_here, command):
    text = emosh_here(command, "--help").out
    for option in ("-q", "-v", "-w", "--json"):
        assert f"{option} " in text or f"{option}," in text, option


def test_init_by_option(tmp_path, emosh_here):
    assert emosh_here("init", "-w", tmp_path / "ws", "-q").out == f"{tmp_path / 'ws'}\n"
    check(emosh_here("init"), 2, "a folder for the workspace is needed")


def test_a_mistyped_clip_leaves_no_workspace(tmp_path, emosh_here):
    check(emosh_here("track", tmp_path / "none.mp4", "-o", tmp_path / "ws"), 3, "no such file")
    assert not (tmp_path / "ws").exists()


def test_a_plan_changes_nothing(tracked, tmp_path, emosh_here):
    plan = emosh_here("track", tracked / "drive.mp4", "-o", tmp_path / "new", "--dry-run", "--json").json["plan"]
    assert [entry["state"] for entry in plan] == ["missing"] and not (tmp_path / "new").exists()
    shutil.copy(tracked / "still.png", tracked / "other.png")
    with (tracked / "other.png").open("ab") as file:
        file.write(b"another content")
    before = contents(tracked / "ws")
    plan = emosh_here("animate", tracked / "ws", "--ref", tracked / "other.png", "--dry-run", "--json").json["plan"]
    assert [entry["stage"] for entry in plan] == ["track", "track", "retarget", "render-cond", "animate"]
    plan = emosh_here("train", tracked / "ws", "--dry-run", "--json").json["plan"]
    assert [entry["stage"] for entry in plan] == ["track", "render-cond", "train"]
    assert contents(tracked / "ws") == before


@pytest.mark.parametrize("name", ["..", ".", "a/b", "", "/"])
def test_a_run_name_cannot_leave_its_folder(tracked, emosh_here, name):
    result = emosh_here("train", tracked / "ws", "--name", name, "--force", "--set", "steps=1")
    check(result, 2, "train.name must be a plain folder name", "--name first")
    assert track(tracked, "drive").is_dir()


@pytest.mark.parametrize("value", ["nan", "inf", "true", "x"])
def test_numbers_are_finite(tracked, emosh_here, value):
    result = emosh_here("track", tracked / "drive.mp4", "-o", tracked / "ws", "--set", f"focal={value}")
    check(result, 2, "track.focal must be a finite number")


def test_a_reference_that_is_a_video_is_known_before_the_work(tracked, emosh_here):
    result = emosh_here(
        "animate", tracked / "ws", "--ref", tracked / "drive.mp4", "--i-have-consent", "--set", "steps=2"
    )
    shutil.rmtree(track(tracked, "drive"))
    check(result, 3, "not an image that can be read", "drive.mp4")
    check(emosh_here("eval", tracked / "ws"), 3, "no tracked clip", "single frames", "--motion NAME")


def test_motion_is_chosen_by_name_and_never_by_chance(tracked, emosh_here):
    ws, drive = tracked / "ws", track(tracked, "drive")
    assert emosh_here("eval", ws, "--motion", "drive", "--json").json["artifact"] == str(drive)
    assert emosh_here("eval", ws, "--motion", drive, "--json").json["artifact"] == str(drive)
    check(emosh_here("eval", ws, "--motion", "nobody"), 3, "is named nobody", drive.name)
    other = drive.with_name("dance-0123456789ab.zarr")
    shutil.copytree(drive, other)
    edit_attributes(other, lambda a: a.update(fingerprint="0123456789ab", inputs=[{"role": "source", "sha256": "ff"}]))
    check(emosh_here("eval", ws), 2, "several clips are tracked", drive.name, other.name, "--motion")
    check(emosh_here("eval", ws, "--motion", "d"), 2, "names several artifacts", drive.name, other.name)
    shutil.copytree(drive, tracked / "elsewhere.zarr")
    check(emosh_here("eval", ws, "--motion", tracked / "elsewhere.zarr"), 3, "is named")


def test_status_names_what_cannot_be_read_and_shows_the_rest(tracked, emosh_here):
    edit_attributes(track(tracked, "still"), lambda a: a.update(schema_version=99))
    (track(tracked, "drive") / "zarr.json").write_text("{")
    result = emosh_here("status", tracked / "ws", "--json")
    rows = {row["name"]: row for row in result.json["artifacts"]}
    assert result.code == 0 and {row["state"] for row in rows.values()} == {"unreadable"}
    assert "schema 99" in rows["still"]["why"] and "damaged" in rows["drive"]["why"]
    assert "unreadable" in emosh_here("status", tracked / "ws").out


def test_status_sees_another_model(tracked, emosh_here):
    edit_attributes(track(tracked, "drive"), lambda a: a["models"].update(mediapipe="0.1"))
    rows = {row["name"]: row for row in emosh_here("status", tracked / "ws", "--json").json["artifacts"]}
    assert rows["drive"]["why"] == "another mediapipe model" and rows["still"]["state"] == "fresh"


def test_inspect_reads_what_an_older_version_wrote(tracked, emosh_here):
    drive = track(tracked, "drive")
    edit_attributes(drive, lambda a: [a.pop(key) for key in ("notes", "models", "device")])
    assert emosh_here("inspect", drive, "--json").json["notes"] == []
    assert emosh_here("retarget", tracked / "ws", "--ref", tracked / "still.png", "--dry-run").code == 0


def test_inspect_outside_a_workspace_draws_beside_the_artifact(tracked, tmp_path, emosh_here, make_shape):
    folder = tmp_path / "deep" / "er"
    loose = shutil.copytree(track(tracked, "drive"), folder / "loose.zarr")
    assert Path(emosh_here("inspect", loose, "--json").json["picture"]).parent == folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "tracked"]
    write(folder / "shape.zarr", make_shape(), Provenance(fingerprint="0" * 12))
    result = emosh_here("inspect", folder / "shape.zarr", "--json")
    assert result.code == 0, result.err
    assert result.json["picture"] is None
    named = emosh_here("inspect", "drive", "-w", tracked / "ws", "--json")
    assert named.json["artifact"] == str(track(tracked, "drive"))


def test_a_full_disk_is_no_bug(tracked, emosh_here, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "media/x.mp4")

    monkeypatch.setattr("emosh_core.previews.write_video", full)
    check(emosh_here("render-cond", tracked / "ws"), 3, "No space left", "media/x.mp4", "fix:")


def test_what_a_killed_encoder_left_goes_with_the_next_run(tracked, emosh_here):
    plan = emosh_here("render-cond", tracked / "ws", "--dry-run", "--json").json["plan"][-1]
    left = tracked / "ws" / "media" / f".{plan['name']}-{plan['fingerprint']}-cond.mp4.part123.mp4"
    left.write_text("half")
    assert emosh_here("render-cond", tracked / "ws").code == 0
    assert not left.exists()


def test_a_clip_of_one_frame_drives_when_named(tracked, make_motion, make_shape, emosh_here):
    result = emosh_here("render-cond", tracked / "ws", "--motion", "still", "--json")
    assert result.code == 0 and "still" in Path(result.json["artifact"]).name


def test_looking_at_a_workspace_needs_no_right_to_write(tracked, emosh_here, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tracked / "ws" / ".emosh" / "digests.json").unlink()
    monkeypatch.setattr("emosh_core.workspace.store.Digests._remember", refuse)
    assert emosh_here("status", tracked / "ws").code == 0


def test_lost_inputs_are_kept_again(tracked, emosh_here):
    shutil.rmtree(tracked / "ws" / "inputs")
    assert emosh_here("track", tracked / "drive.mp4", "-o", tracked / "ws", "--json").json["cached"] is True
    assert list((tracked / "ws" / "inputs").glob("*.mp4"))


def test_training_refuses_a_clip_that_was_changed(tracked, emosh_here):
    (kept,) = (tracked / "ws" / "inputs").glob("*.mp4")
    kept.write_bytes(kept.read_bytes() + b"more")
    options = [part for pair in ("base=scratch", "method=full", "filter=false") for part in ("--set", pair)]
    check(emosh_here("train", tracked / "ws", *options), 3, "was changed since", "track it again")
