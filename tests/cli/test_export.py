"""`emosh export`: what it shows, in whose timing, and what it refuses."""

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from emosh_core.errors import ArtifactError
from emosh_core.export import _beside, newest_panels
from emosh_core.generate.preview import PreviewGenerator
from emosh_core.image_io import read_image
from emosh_core.line import Line
from emosh_core.video_io import open_source
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


@pytest.mark.parametrize(
    ("name", "codec", "inside"),
    [("a.mp4", "auto", "h264"), ("a.mov", "auto", "prores"), ("a.mp4", "h265", "hevc"), ("a.mov", "h264", "h264")],
)
def test_the_result_in_every_codec_has_the_drivers_times(animated, emosh_here, name, codec, inside):
    done = emosh_here("export", animated / "ws", "--what", "result", "-o", animated / name, "--codec", codec)
    assert done.code == 0, done.err
    with av.open(str(animated / name)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == inside
        assert stream.duration * stream.time_base == pytest.approx(6 / 30, abs=1e-4)
        assert "generator preview" in container.metadata["comment"]
    for (time, frame), (wanted, original) in zip(frames(animated / name), frames(animated / "out.mp4"), strict=True):
        assert time == pytest.approx(wanted, abs=1e-4) and distance(frame, original) < 3


def test_the_background_is_green_or_nothing_and_the_person_as_it_was(animated, emosh_here):
    ws = animated / "ws"
    for background, out in (("green", "g.png"), ("alpha", "a.png"), ("alpha", "a.mov")):
        done = emosh_here("export", ws, "--what", "result", "--background", background, "-o", animated / out)
        assert done.code == 0, done.err
    mask = np.asarray(newest_panels(Line(Workspace.open(ws))).cond.mask[3])
    far, inner = (cv2.erode(part.astype(np.uint8), np.ones((9, 9))) == 1 for part in (~mask, mask))
    original = frames(animated / "out.mp4")[3][1]
    green = read_image(animated / "g_00003.png")
    assert (green[far] == (0, 177, 64)).all() and np.array_equal(green[inner], original[inner])
    picture = cv2.imread(str(animated / "a_00003.png"), cv2.IMREAD_UNCHANGED)
    assert (picture[..., 3][far] == 0).all() and (picture[..., 3][inner] == 255).all()
    outline = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5))) == 1
    assert not np.isin(picture[..., 3][outline], (0, 255)).all() and np.isin(picture[..., 3][~outline], (0, 255)).all()
    assert np.array_equal(picture[..., 2::-1], original)
    with av.open(str(animated / "a.mov")) as container:
        rgba = list(container.decode(video=0))[3].to_ndarray(format="rgba")
    assert np.abs(rgba[..., 3].astype(int) - picture[..., 3]).max() <= 3


def test_the_drivers_sound_comes_along(animated, emosh_here, monkeypatch):
    heard = animated / "heard.mp4"
    with av.open(str(animated / "drive.mp4")) as source, av.open(str(heard), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream("aac", 48000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        noise = np.random.default_rng(0).normal(0, 0.1, (1, 48000)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, 0
        target.mux(audio.encode(frame))
        target.mux(audio.encode())
    monkeypatch.setattr(Line, "source", lambda line, motion: heard)
    still = ["--ref", animated / "still.png", "--generator", "preview", "--i-have-consent"]
    for command, name in ((["export", "--what", "result"], "a.mp4"), (["animate", *still], "b.mov")):
        done = emosh_here(command[0], animated / "ws", *command[1:], "--audio", "-o", animated / name)
        assert done.code == 0, done.err
        with av.open(str(animated / name)) as container:
            sound = container.streams.audio[0]
            assert sound.codec_context.name == "aac"
            assert sound.duration * sound.time_base == pytest.approx(6 / 30, abs=1e-3)


def test_animate_hands_out_in_other_forms_and_refuses_before_it_works(animated, emosh_here):
    ws = animated / "ws"
    animate = ["animate", ws, "--ref", animated / "still.png", "--generator", "preview", "--i-have-consent"]
    other = [*animate, "--set", "seed=1"]
    emosh_here(*other, "--audio", "-o", animated / "x.mp4").check(3, "the driver has no sound")
    emosh_here(*other, "--background", "green").check(2, "a place for the result is needed", "-o FILE.mp4")
    emosh_here(*other, "-o", animated / "x.avi").check(2, "neither video nor pictures")
    assert len(list((ws / "media").glob("*-clip.mp4"))) == 1
    done = emosh_here(*animate, "--background", "alpha", "-o", animated / "x.mov", "--json")
    assert done.code == 0 and done.json["video"] == str(animated / "x.mov") and done.json["cached"], done.err
    with av.open(str(animated / "x.mov")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "ap4h"


def test_eval_says_how_far_the_colours_of_later_chunks_are_from_the_first(animated, emosh_here, monkeypatch):
    ws = animated / "ws"
    assert "drift" not in emosh_here("eval", ws, "--json").json  # one chunk
    monkeypatch.setattr(PreviewGenerator, "window", 4)
    done = emosh_here(
        "animate", ws, "--ref", animated / "still.png", "--generator", "preview", "--i-have-consent", "--force"
    )
    assert done.code == 0, done.err
    report = emosh_here("eval", ws, "--json").json["drift"]
    assert report["difference"] == "CIEDE2000"
    first, second = report["chunks"]
    assert first == {"frames": [0, 4], "background": 0, "person": 0}
    assert second["frames"] == [4, 6] and 0 <= second["background"] < 3 and 0 <= second["person"] < 3
    assert "colour of chunk 2 from chunk 1, person" in emosh_here("eval", ws).out
    for video in (ws / "media").glob("*-clip.mp4"):
        video.unlink()
    without = emosh_here("eval", ws, "--json")
    assert "drift" not in without.json and "no colour drift: the newest clip's video is gone" in without.err


def test_panels_of_other_sizes_are_brought_to_the_results_height():
    row = [np.zeros((50, 40, 3), np.uint8), np.full((101, 60, 3), 90, np.uint8), np.full((80, 61, 3), 250, np.uint8)]
    joined = _beside(row)
    assert joined.shape == (80, (64 + round(60 * 80 / 101) + 61) // 2 * 2, 3)
    assert (joined[:, :64] == 0).all() and (joined[:, 64:100] == 90).all() and (joined[:, -50:] == 250).all()


def test_what_export_refuses(animated, tracked, emosh_here):
    ws = animated / "ws"
    emosh_here("export", ws).check(2, "a place for the export is needed")
    emosh_here("export", ws, "-o", "x.avi").check(2, "neither video nor pictures", "FILE.mp4")
    emosh_here("export", ws, "-o", "x.mp4", "--codec", "vp9").check(2, "codec is unknown", "h265")
    emosh_here("export", ws, "-o", "x.mp4", "--codec", "prores").check(2, "prores does not go into", ".mov")
    emosh_here("export", ws, "-o", "pictures", "--audio").check(2, "--audio is for a video")
    emosh_here("export", ws, "-o", "x.png", "--codec", "h264").check(2, "--codec is for a video")
    emosh_here("export", ws, "-o", "x.mp4", "--background", "blue").check(2, "--background is unknown", "green")
    emosh_here("export", ws, "-o", "x.mp4", "--background", "green").check(2, "only one picture", "--what result")
    alpha = ["--what", "result", "--background", "alpha"]
    emosh_here("export", ws, "-o", "x.mp4", *alpha).check(2, "h264 has no transparency", "FILE.mov")
    emosh_here("export", ws, "-o", "x.mp4", "--audio").check(3, "the driver has no sound", "leave out --audio")
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
