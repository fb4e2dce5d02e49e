"""The commands on a workspace that holds tracks: what runs, what is fresh, what is printed."""

import json
from pathlib import Path

import pytest

from emosh_core.artifacts import Clip, Cond, Motion, Target
from emosh_core.image_io import read_image
from emosh_core.video_io import open_source
from emosh_core.workspace.artifact import read, read_header

pytestmark = pytest.mark.e2e


def artifacts(folder: Path, stage: str) -> list[Path]:
    return sorted((folder / "ws" / "artifacts" / stage).glob("*.zarr"))


def test_animate_runs_what_is_missing(animated):
    result = json.loads((animated / "animate.json").read_text())
    assert {"artifact", "fingerprint", "cached", "seconds", "video"} <= set(result)
    assert result["cached"] is False and result["video"].endswith("out.mp4")
    assert [len(artifacts(animated, stage)) for stage in ("track", "retarget", "cond", "animate")] == [2, 1, 1, 1]
    motion = next(m for m in (read(p, Motion) for p in artifacts(animated, "track")) if len(m.time) > 1)
    target = read(artifacts(animated, "retarget")[0], Target)
    assert (target.shape.betas_body[:2] == [1.5, -1]).all() and (target.body_pose == motion.body_pose).all()
    assert read(artifacts(animated, "cond")[0], Cond).mask.any()
    clip = read(artifacts(animated, "animate")[0], Clip)
    assert clip.generator == "preview" and (animated / "ws" / clip.video).is_file()
    notes = read_header(artifacts(animated, "animate")[0])["notes"]
    assert any("the clip's own moment at 0.00 s" in note for note in notes)
    video = open_source(animated / "out.mp4")
    assert len(list(video.frames())) == len(motion.time) and video.fps == motion.fps


def test_second_call_is_cached_and_quick(animated, emosh):
    arguments = ["animate", animated / "ws", "--ref", animated / "still.png", "--generator", "preview"]
    result = emosh(*arguments, "--json").json
    assert result["cached"] is True and result["seconds"] < 1 and Path(result["video"]).is_file()
    plain = emosh(*arguments, "-q")
    assert plain.out == result["artifact"] + "\n" and plain.err == ""
    plan = emosh(*arguments, "--dry-run", "--json").json
    assert {entry["state"] for entry in plan["plan"]} == {"fresh"} and plan["seconds"] == 0


def test_lost_video_is_made_again(animated, emosh_here):
    arguments = ["animate", animated / "ws", "--ref", animated / "still.png", "--json"]
    for video in (animated / "ws" / "media").glob("*-clip.mp4"):
        video.unlink()
    assert "its video is gone" in emosh_here("status", animated / "ws").out
    result = emosh_here(*arguments).json
    assert result["cached"] is False and Path(result["video"]).is_file()


def test_changed_setting_makes_stale_says_why_and_force_makes_again(animated, emosh_here):
    workspace = animated / "ws"
    arguments = ["retarget", workspace, "--ref", animated / "still.png"]
    assert emosh_here(*arguments, "--json").json["cached"] is True
    assert emosh_here(*arguments, "--force", "--json").json["cached"] is False
    plan = emosh_here(*arguments, "--set", "anchor=none", "--dry-run", "--json").json["plan"]
    assert plan[-1]["state"] == "stale" and "anchor 'face' → 'none'" in plan[-1]["why"]
    (workspace / "emosh.toml").write_text('[retarget]\nanchor = "none"\n')
    rows = {row["stage"]: row for row in emosh_here("status", workspace, "--json").json["artifacts"]}
    assert rows["track"]["state"] == "fresh"
    assert rows["retarget"]["state"] == "stale" and "anchor" in rows["retarget"]["why"]
    assert rows["render-cond"]["why"] == "its target is stale"


@pytest.mark.parametrize("command", ["retarget", "render-cond", "animate"])
def test_contacts_can_be_switched_off_on_every_command_that_retargets(animated, emosh_here, command):
    arguments = [command, animated / "ws", "--ref", animated / "still.png"]
    for switch, state in (("on", "fresh"), ("off", "stale")):
        plan = emosh_here(*arguments, "--contacts", switch, "--dry-run", "--json").json["plan"]
        row = next(entry for entry in plan if entry["stage"] == "retarget")
        assert row["state"] == state and ("contacts 'on' → 'off'" in row["why"]) == (switch == "off")
    emosh_here(*arguments, "--contacts", "maybe").check(2, "retarget.contacts is unknown", "maybe")


def test_contacts_without_a_still_say_nothing(animated, emosh_here):
    emosh_here("render-cond", animated / "ws", "--contacts", "off").check(2, "a still", "--ref IMAGE")


def test_a_setting_without_influence_changes_nothing(tracked, emosh_here):
    arguments = ["track", tracked / "drive.mp4", "-o", tracked / "ws", "--json"]
    assert emosh_here(*arguments, "--set", "preview=false").json["cached"] is True


def test_render_cond_draws_the_newest_target_or_the_clips_own_person(animated, emosh_here):
    newest = emosh_here("render-cond", animated / "ws", "--json").json
    assert newest["cached"] is True
    own = emosh_here("render-cond", animated / "ws", "--self", "--json").json
    assert own["cached"] is False and own["artifact"] != newest["artifact"]


def test_inspect_shows_arrays_provenance_and_a_picture(animated, emosh_here):
    for stage, shown in {"track": "keypoints2d", "cond": "mask", "animate": "latents"}.items():
        result = emosh_here("inspect", artifacts(animated, stage)[0], "--json").json
        assert Path(result["picture"]).is_file() and shown in {row["name"] for row in result["arrays"]}
    text = emosh_here("inspect", artifacts(animated, "retarget")[0]).out
    for word in ("global_orient", "rad", "shape/betas_body", "vertical_offset", "anchor", "reference"):
        assert word in text


def test_inspect_draws_the_curves_of_a_motion(animated, emosh_here):
    result = emosh_here("inspect", artifacts(animated, "track")[0], "--json").json
    picture, page = (Path(path) for path in result["curves"])
    assert read_image(picture).std() > 10
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "<svg" in text and "http" not in text.split("<svg")[0]
    assert emosh_here("inspect", artifacts(animated, "cond")[0], "--json").json["curves"] == []


def test_track_takes_a_choice_of_person_and_a_focal_length(animated, emosh_here):
    wrong = emosh_here("track", animated / "drive.mp4", "-o", animated / "ws", "--person", "left")
    assert wrong.code == 2 and "no such choice of a person" in wrong.err and "--person 2" in wrong.err
    given = ["--person", "2", "--focal", "900", "--dry-run"]
    plan = emosh_here("track", animated / "drive.mp4", "-o", animated / "ws", *given)
    assert plan.code == 0


def test_eval_of_videos_and_of_a_workspace(animated, emosh_here):
    same = emosh_here("eval", animated / "out.mp4", animated / "out.mp4", "--json").json
    assert same["clip"] == {"psnr": 100.0, "l1": 0.0, "ssim": pytest.approx(1)} and same["frames"] == 6
    other = emosh_here("eval", animated / "out.mp4", animated / "drive.mp4", "-o", animated / "report.json")
    assert "psnr" in other.out and json.loads((animated / "report.json").read_text())["clip"]["psnr"] < 50
    motion = emosh_here("eval", animated / "ws", "--json").json
    assert motion["frames"] == 6 and motion["tracked"]["person"] == 1 and motion["jitter"] == pytest.approx(0, abs=1e-2)


TINY = (
    "base=scratch", "method=full", "steps=2", "vae_steps=2", "resolution=32", "layers=1", "heads=1", "vae_width=8",
    "window=5", "overlap=1", "batch=1", "filter=false", "pictures=false", "sampling_steps=1",
)  # fmt: skip


def settings(*pairs):
    return [part for pair in pairs for part in ("--set", pair)]


def test_train_then_animate_with_the_run_then_train_on(tracked, emosh_here):
    trained = emosh_here("train", tracked / "ws", "--name", "tiny", *settings(*TINY), "--json")
    assert trained.code == 0, trained.err
    assert "memory of each process (full, fp32, 1 process, ZeRO 0)" in trained.err
    assert "GPU of 80 GB fits" in trained.err
    assert len(trained.json["losses"]) == trained.json["step"] == 4 and Path(trained.json["artifact"]).is_dir()
    assert trained.json["clips"]["clips"] == trained.json["clips"]["kept"] + 1 == 1  # static, yet wanted
    clip = emosh_here(
        "animate", tracked / "ws", "--ref", tracked / "still.png", "--generator", "runs/tiny", "--i-have-consent",
        "--chunks", "1", "--json",
    )  # fmt: skip
    assert clip.code == 0, clip.err
    assert len(list(open_source(clip.json["video"]).frames())) == 5
    assert "plan: 1 chunk of 5 frames, overlap 1, for 5 frames; " in clip.err and "tokens, about" in clip.err
    again = emosh_here("train", tracked / "ws", "--name", "tiny", *settings(*TINY), "--json").json
    assert again["cached"] is True and again["losses"] == []
    assert "runs/tiny" in emosh_here("status", tracked / "ws").out


def test_training_leaves_out_clips_that_are_not_worth_it(tracked, emosh_here):
    result = emosh_here("train", tracked / "ws", *settings(*TINY, "filter=true"))
    result.check(3, "no clip is worth training on", "static 1", "--set filter=false")


def test_training_on_synthetic_people_needs_no_clip(tmp_path, emosh_here):
    assert emosh_here("init", tmp_path / "ws").code == 0
    people = settings(*TINY, "people=2", "resolution=64", "pictures=true")
    trained = emosh_here("train", tmp_path / "ws", "--name", "people", *people, "--json")
    assert trained.code == 0, trained.err
    run = tmp_path / "ws" / "runs" / "people"
    assert len(list((run / "samples").glob("*.safetensors"))) == 2 and list((run / "pictures").glob("*.png"))
    assert trained.json["clips"] == {} and trained.json["step"] == 4

def test_layers_and_camera_are_options_and_an_orbit_is_flagged(animated, emosh_here):
    workspace = animated / "ws"
    lines = emosh_here("render-cond", workspace, "--layers", "keypoints", "--camera", "0:1,5:2", "--json").json
    cond = read(Path(lines["artifact"]), Cond)
    assert cond.K[5, 0, 0] == pytest.approx(2 * cond.K[0, 0, 0]) and lines["notes"] == []
    orbit = emosh_here("render-cond", workspace, "--camera", "orbit 0:0,5:30", "--json").json
    assert "the camera orbits" in orbit["notes"][0] and orbit["fingerprint"] != lines["fingerprint"]
    emosh_here("render-cond", workspace, "--camera", "fast").check(2, "FRAME:VALUE", "fix:")
    emosh_here("render-cond", workspace, "--layers", "bones").check(2, "render.layers", "skeleton2d")
