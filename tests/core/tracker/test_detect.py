"""Windows of detection: whatever a detector does, every frame gets an answer and finished pieces are kept."""

import numpy as np
import pytest

from emosh_core.artifacts import keypoint_slice
from emosh_core.image_io import write_image
from emosh_core.tracker import detect as detection
from emosh_core.tracker.detect import WARM_UP, WINDOW, detect, nobody
from emosh_core.tracker.survey import Survey, crop, crop_box
from emosh_core.video_io import open_source

SIZE, FRAMES = (96, 64), 2 * WINDOW + 20


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A film whose frames tell their number by their brightness."""
    folder = tmp_path_factory.mktemp("film")
    for t in range(FRAMES):
        write_image(folder / f"{t:04d}.png", np.full((SIZE[1], SIZE[0], 3), t + 20, np.uint8))
    return open_source(folder)


def whole(frames=FRAMES, cuts=()) -> Survey:
    shot = np.zeros(frames, np.int32)
    for cut in cuts:
        shot[cut:] += 1
    return Survey(shot=shot, circle=np.full((frames, 3), np.nan, np.float32), people=np.int32(1))


class Reader:
    """Says in x what it saw: the brightness of each frame."""

    name = "reader"

    def __init__(self, fails=lambda first: False, nan_at=()):
        self.calls, self.fails, self.nan_at = [], fails, nan_at

    def detect(self, frames):
        brightness = np.array([round(float(frame.mean())) - 20 for frame in frames])
        self.calls.append(brightness.tolist())
        if self.fails(brightness[-1]):
            raise RuntimeError("the graph broke")
        found = nobody(len(brightness))
        found.confidence[:] = 1
        found.keypoints2d[..., 0] = brightness[:, None]
        for t in self.nan_at:
            found.keypoints2d[brightness == t] = np.nan
        return found


def numbers(seen) -> list[int]:
    return seen.keypoints2d[:, 0, 0].round().astype(int).tolist()


def test_windows_are_complete_in_order_and_warmed_up(source):
    reader = Reader()
    seen, times, problems = detect(source, reader, whole(), None)
    assert numbers(seen) == list(range(FRAMES)) and len(times) == FRAMES and not problems
    starts = sorted((call[0], len(call)) for call in reader.calls)
    assert starts == [(0, WINDOW), (WINDOW - WARM_UP, WINDOW + WARM_UP), (2 * WINDOW - WARM_UP, 20 + WARM_UP)]


def test_no_window_reaches_across_a_cut(source):
    reader = Reader()
    seen, _, _ = detect(source, reader, whole(cuts=[31]), None)
    assert numbers(seen) == list(range(FRAMES))
    assert not any(30 in call and 31 in call for call in reader.calls)


def test_a_window_that_fails_once_is_tried_again(source):
    tried = []
    reader = Reader(fails=lambda last: last == WINDOW - 1 and not tried.append(last) and len(tried) == 1)
    seen, _, problems = detect(source, reader, whole(), None)
    # A window's frames are gone once they are read: the second try reads them anew.
    assert numbers(seen) == list(range(FRAMES)) and not problems and len(tried) == 2


def test_a_window_that_fails_twice_is_empty_and_said(source, tmp_path):
    seen, _, problems = detect(source, Reader(fails=lambda last: last == WINDOW - 1), whole(), tmp_path)
    assert not seen.confidence[:WINDOW].any() and numbers(seen)[WINDOW:] == list(range(WINDOW, FRAMES))
    assert len(problems) == 1 and f"frames 0–{WINDOW - 1}" in problems[0] and "the graph broke" in problems[0]
    # It was not kept: the next run tries it again, and it alone.
    reader = Reader()
    seen, _, problems = detect(source, reader, whole(), tmp_path)
    assert numbers(seen) == list(range(FRAMES)) and not problems and [c[0] for c in reader.calls] == [0]


def test_numbers_that_are_none_are_points_not_found(source):
    seen, _, _ = detect(source, Reader(nan_at=[7]), whole(), None)
    assert np.isfinite(seen.keypoints2d).all() and not seen.confidence[7].any() and seen.confidence[8].all()


def test_crops_follow_the_person_and_points_come_back(source, monkeypatch):
    survey = whole()
    survey.circle[:] = np.stack([np.linspace(20, 70, FRAMES), np.full(FRAMES, 30), np.full(FRAMES, 8)], -1)

    class Middle(Reader):
        def detect(self, frames):
            shapes = [frame.shape for frame in frames]
            assert set(shapes) == {(24, 24, 3)}  # 2 × 1.5 radii
            found = nobody(len(shapes))
            found.confidence[:], found.keypoints2d[:], found.depth[:] = 1, 12, 5
            return found

    seen, _, _ = detect(source, Middle(), survey, None)
    assert np.abs(seen.keypoints2d[:, 0] - survey.circle[:, :2]).max() < 1.01 and (seen.depth == 5).all()
    monkeypatch.setattr(detection, "LONGEST", 12)  # pictures are shrunk to half

    class Corner(Reader):
        def detect(self, frames):
            shapes = [frame.shape for frame in frames]
            assert set(shapes) == {(12, 12, 3)}
            found = nobody(len(shapes))
            found.confidence[:], found.keypoints2d[:], found.depth[:] = 1, (-6, 6), 5
            return found

    seen, _, _ = detect(source, Corner(), survey, None)
    body, face = (seen.keypoints2d[:, keypoint_slice(part).start] for part in ("body", "face"))
    assert np.abs(body - (survey.circle[:, :2] - [24, 0])).max() < 1.01 and (seen.depth == 10).all()
    outside = body[:, 0] < 0
    assert outside.any() and (seen.confidence[outside, 0] < 1).all() and (seen.confidence[~outside, 0] == 1).all()
    np.testing.assert_array_equal(face, body)


def test_a_crop_beyond_the_frame_is_grey():
    frame = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)
    piece = crop(frame, np.array([-2, 3, 4, 9]))
    assert piece.shape == (6, 6, 3) and (piece[:, :2] == 127).all() and (piece[3:] == 127).all()
    np.testing.assert_array_equal(piece[:3, 2:], frame[3:, :4])
    assert (crop(frame, np.array([20, 0, 26, 6])) == 127).all()


def test_a_large_person_needs_no_crop():
    circle = np.array([[50, 50, 40]] * 3, np.float32)
    assert crop_box(circle, (100, 90)) is None and crop_box(circle * np.nan, (100, 90)) is None
    boxes = crop_box(np.array([[50, 50, 10], [np.nan] * 3, [60, 50, 8]], np.float32), (100, 90))
    assert (boxes[:, 2:] - boxes[:, :2] == 30).all() and boxes[:, 0].tolist() == [35, 40, 45]
