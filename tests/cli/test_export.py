"""`emosh export`: what it shows, in whose timing, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from emosh_core.errors import ArtifactError
from emosh_core.export import _beside, newest_panels
from emosh_core.line import Line
from emosh_core.video_io import open_source, read_image
from emosh_core.workspace.workspace import Workspace

pytestmark = pytest.mark.e2e


def frames(path):
    return list(open_source(path).frames())


def distance(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_side_by_side_holds_driver_condition_and_result_in_this_order_and_in_the_drivers_time(animated, emosh_here):
    out = animated / "side.mp4"
    done = emosh_here("export", animated / "ws", "--what", "side-by-side", "-o", out, "--json")
    assert done.code == 0, done.err
    assert done.json == {"out": str(out), "what": "side-by-side", "frames": 6}
    made, driver, result = frames(out), frames(animated / "drive.mp4"), frames(animated / "out.mp4")
    assert [time for time, _ in made] == pytest.approx([time for time, _ in driver], abs=1e-3)
    height, width = result[0][1].shape[:2]
    assert made[0][1].shape == (height, 3 * width, 3)
    for (_, panels), (_, first), (_, last) in zip(made, driver, result, strict=True):
        assert distance(panels[:, :width], first) < 0.7 * distance(panels[:, :width], last)
        assert distance(panels[:, -width:], last) < 0.7 * distance(panels[:, -width:], first)


def test_one_panel_as_pictures_into_a_folder_or_under_a_name(animated, emosh_here):
    folder = animated / "pictures"
    assert emosh_here("export", animated / "ws", "--what", "cond", "-o", folder, "-q").out == f"{folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == [f"{t:05}.png" for t in range(6)]
    result = emosh_here("export", animated / "ws", "--what", "result", "-o", animated / "r.png")
    assert result.code == 0, result.err
    wanted = frames(animated / "out.mp4")
    for t, (_, frame) in enumerate(wanted):
        assert np.array_equal(read_image(animated / f"r_{t:05}.png"), frame)


def test_panels_of_other_sizes_are_brought_to_the_results_height():
    row = [np.zeros((50, 40, 3), np.uint8), np.full((101, 60, 3), 90, np.uint8), np.full((80, 61, 3), 250, np.uint8)]
    joined = _beside(row)
    assert joined.shape == (80, (64 + round(60 * 80 / 101) + 61) // 2 * 2, 3)
    assert (joined[:, :64] == 0).all() and (joined[:, 64:100] == 90).all() and (joined[:, -50:] == 250).all()


def test_what_export_refuses(animated, tracked, emosh_here):
    ws = animated / "ws"
    emosh_here("export", ws).check(2, "a place for the export is needed")
    emosh_here("export", ws, "-o", "x.avi").check(2, "neither video nor pictures", "FILE.mp4")
    emosh_here("export", ws, "-o", "x.mp4", "--what", "all").check(2, "--what is unknown", "side-by-side")
    emosh_here("export", tracked / "ws", "-o", "x.mp4").check(3, "there is no clip", "emosh animate")
    for video in (ws / "media").glob("*-clip.mp4"):
        video.unlink()
    emosh_here("export", ws, "-o", animated / "x.mp4").check(3, "video is gone")
    assert not (animated / "x.mp4").exists()


def test_a_driver_that_lost_frames_is_said(animated):
    panels = newest_panels(Line(Workspace.open(animated / "ws")))
    with pytest.raises(ArtifactError, match="driver's video is too short"):
        list(replace(panels, driver=animated / "still.png").frames("side-by-side"))
