"""Many clips in one call, their parts on several machines, and the plan that comes before a clip."""

import shutil

import cv2
import pytest

from emosh_core.shards import parse_shard

PREVIEW = ("--generator", "preview", "--i-have-consent")


@pytest.fixture
def several(tracked):
    """Two workspaces with a tracked clip, one without, and two stills that differ by one pixel."""
    shutil.copytree(tracked / "ws", tracked / "ws2")
    image = cv2.imread(str(tracked / "still.png"))
    image[0, 0] = 0
    cv2.imwrite(str(tracked / "still2.png"), image)
    return tracked


def test_every_job_belongs_to_one_shard():
    jobs = list(range(10))
    parts = [jobs[parse_shard(f"{i}/4")] for i in range(1, 5)]
    assert sorted(job for part in parts for job in part) == jobs and [len(part) for part in parts] == [3, 3, 2, 2]


def test_a_shard_makes_its_part_of_the_clips_and_one_that_fails_stops_no_other(several, emosh_here):
    assert emosh_here("init", several / "empty").code == 0
    places = [several / "ws", several / "empty", several / "ws2"]
    still = several / "still.png"
    one = emosh_here("animate", *places, "--ref", still, *PREVIEW, "--json", "--shard", "1/2")
    assert one.code == 0, one.err
    assert (one.json["jobs"], one.json["here"]) == (3, 2) and one.json["failed"] == []
    assert [clip["workspace"] for clip in one.json["clips"]] == [str(several / "ws"), str(several / "ws2")]
    two = emosh_here("animate", *places, "--ref", still, *PREVIEW, "--json", "--shard", "2/2")
    assert two.code == 3 and two.json["clips"] == []
    assert two.json["failed"][0]["workspace"] == str(several / "empty") and "no tracked clip" in two.err
    every = emosh_here("animate", *places, "--ref", still, *PREVIEW, "--json")
    assert every.code == 3 and [clip["cached"] for clip in every.json["clips"]] == [True, True]


def test_stills_and_workspaces_are_multiplied_and_planned_without_a_trace(several, emosh_here):
    stills = ["--ref", several / "still.png", "--ref", several / "still2.png"]
    arguments = ["animate", several / "ws", several / "ws2", *stills, "--generator", "preview", "--dry-run", "--json"]
    plan = emosh_here(*arguments).json["plan"]
    assert sum(entry["stage"] == "animate" for entry in plan) == 4
    assert len(plan) == len({(entry["stage"], entry["fingerprint"]) for entry in plan}) * 2  # equal in both workspaces
    part = emosh_here(*arguments, "--shard", "4/4").json["plan"]
    assert sum(entry["stage"] == "animate" for entry in part) == 1
    assert emosh_here(*arguments, "--shard", "5/5").code == 0


def test_what_a_batch_refuses(several, emosh_here):
    pair = [several / "ws", several / "ws2", "--ref", several / "still.png", "-o", several / "out.mp4"]
    emosh_here("animate", *pair, *PREVIEW).check(2, "-o is for one clip", "2 clips")
    emosh_here("animate", several / "ws", "--ref", several / "still.png", "--shard", "3/2").check(2, "I/N")


def test_the_plan_is_said_before_the_work_and_kept(tracked, emosh_here):
    arguments = ["animate", tracked / "ws", "--ref", tracked / "still.png", *PREVIEW, "--json"]
    made = emosh_here(*arguments, "--chunks", "4f")
    assert made.code == 0, made.err
    assert "plan: 2 chunks of 4 frames, overlap 0, for 6 frames; no networks" in made.err
    assert any(note.startswith("plan: 2 chunks") for note in made.json["notes"])
    assert "plan: 1 chunk of 16 frames" in emosh_here(*arguments, "--chunks", "auto").err


def test_several_gpus_that_are_not_there_are_refused_before_the_work(several, emosh_here):
    still = ["--ref", several / "still.png", "--set", "parallel=context:2", *PREVIEW]
    emosh_here("animate", several / "ws", *still, "--device", "cpu").check(5, "context:2 needs 2 GPUs")
    emosh_here("animate", several / "ws", several / "ws2", *still).check(2, "one clip at a time")
    assert emosh_here("animate", several / "ws", *still, "--dry-run").code == 0


@pytest.mark.parametrize("text", ["0", "x", "0f", "f", "-1", "1.5", "²f"])
def test_chunks_that_mean_nothing(tracked, emosh_here, text):
    result = emosh_here("animate", tracked / "ws", "--ref", tracked / "still.png", f"--chunks={text}", *PREVIEW)
    result.check(2, "--chunks takes", "77f")
