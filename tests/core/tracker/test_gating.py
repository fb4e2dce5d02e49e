"""What is trusted: each reason for doubt alone, hysteresis, ramps, cuts."""

import numpy as np
import pytest

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.gating import RAMP, believe_all, judge

FRAMES, SIZE, FPS = 40, (640, 480), 30.0
FACE = keypoint_slice("face").start


def somebody() -> Detections:
    """Detections of a person who faces the camera and holds both hands out, in pixels."""
    points = np.zeros((FRAMES, sum(KEYPOINTS.values()), 2), np.float32)
    body = {0: (320, 80), 2: (330, 72), 5: (310, 72), 9: (326, 92), 10: (314, 92), 11: (370, 150), 12: (270, 150),
            13: (390, 220), 14: (250, 220), 15: (395, 290), 16: (245, 290), 23: (350, 290), 24: (290, 290),
            25: (350, 370), 26: (290, 370), 27: (350, 450), 28: (290, 450)}  # fmt: skip
    points[:, : KEYPOINTS["body"]] = (320, 240)
    for mark, place in body.items():
        points[:, mark] = place
    rng = np.random.default_rng(0)
    for side, wrist in (("left", 15), ("right", 16)):
        rows = keypoint_slice(f"{side}_hand")
        points[:, rows] = points[:, wrist, None] + rng.uniform(-12, 12, (21, 2))
        points[:, rows.start] = points[:, wrist]
    points[:, FACE:] = np.array([320, 80]) + rng.uniform(-15, 15, (478, 2))
    for mark, face in {33: (305, 72), 263: (335, 72), 10: (320, 55), 152: (320, 108)}.items():
        points[:, FACE + mark] = face
    for mark, face in {0: 1, 2: 473, 5: 468, 9: 291, 10: 61}.items():
        points[:, FACE + face] = points[:, mark]
    confidence = np.full(points.shape[:2], 0.9, np.float32)
    return Detections(points, np.zeros_like(confidence), confidence, np.zeros((FRAMES, 33, 3), np.float32),
                      np.ones(FRAMES, np.float32))  # fmt: skip


def trust_after(change) -> dict[str, float]:
    seen = somebody()
    change(seen)
    trust = judge(seen, SIZE, FPS)
    return {part: float(trust.of(part)[FRAMES // 2]) for part in ("person", "face", "left_hand", "right_hand",
                                                                   "left_arm", "right_leg")}  # fmt: skip


def moved(part, by):
    def change(seen):
        seen.keypoints2d[:, keypoint_slice(part)] += by

    return change


def in_depth(marks, depth):
    def change(seen):
        seen.depth[:, [FACE + m for m in marks]] = depth

    return change


def unsure(rows, value=0.1):
    def change(seen):
        seen.confidence[:, rows] = value

    return change


def shrunk(seen):
    part = keypoint_slice("face")
    seen.keypoints2d[:, part] = 320 + 0.15 * (seen.keypoints2d[:, part] - 320)
    seen.confidence[:, :11] = 0.1  # so far away the pose has no face points either


def one_hand_twice(seen):
    seen.keypoints2d[:, keypoint_slice("left_hand")] = seen.keypoints2d[:, keypoint_slice("right_hand")]
    seen.confidence[:, [13, 15]] = 0.3  # the arm is no help


def outside(seen):
    for rows in (slice(15, 16), keypoint_slice("left_hand")):
        seen.keypoints2d[:, rows, 0] += 260


def test_everything_is_trusted_when_nothing_speaks_against_it():
    assert set(trust_after(lambda seen: None).values()) == {1.0}


@pytest.mark.parametrize(
    ("change", "doubted"),
    [
        (unsure(keypoint_slice("face"), 0.0), {"face"}),
        (shrunk, {"face"}),
        (in_depth((33, 263), (-40, 40)), {"face"}),
        (in_depth((10, 152), (-60, 60)), {"face"}),
        (moved("face", (60, 0)), {"face"}),
        (unsure(keypoint_slice("left_hand"), 0.0), {"left_hand"}),
        (moved("left_hand", (0, -120)), {"left_hand"}),
        (outside, {"left_hand"}),
        (one_hand_twice, {"left_hand", "left_arm"}),
        (unsure([13]), {"left_arm"}),
        (unsure([28]), {"right_leg"}),
    ],
)
def test_each_reason_takes_trust_from_its_part_alone(change, doubted):
    trust = trust_after(change)
    assert {part for part, value in trust.items() if value == 0} == doubted
    assert all(value == 1 for part, value in trust.items() if part not in doubted)


def test_nobody_is_trusted_on_an_empty_picture():
    def empty(seen):  # the pose model invents somebody, on no segmented person, without a face
        seen.silhouette[:] = 0
        seen.confidence[:, keypoint_slice("face")] = 0

    assert set(trust_after(empty).values()) == {0.0}


def test_a_score_that_wavers_does_not_switch_and_trust_grows_and_fades():
    seen = somebody()
    rows = keypoint_slice("left_hand")
    seen.confidence[:10, rows] = 0
    seen.confidence[10:30, rows] = np.where(np.arange(20) % 2, 0.48, 0.9)[:, None]  # one good, one middling
    seen.confidence[30:, rows] = 0.3
    trust = judge(seen, SIZE, FPS).of("left_hand")
    assert (trust[:10] == 0).all() and (trust[30:] == 0).all() and (trust[10:30] > 0).all()
    ramp = int(RAMP * FPS)
    assert (np.diff(trust[10 : 10 + ramp]) > 0).all() and (np.diff(trust[30 - ramp : 30]) < 0).all()
    assert trust[10] < 0.5 and trust[20] == 1
    # What wavers below the upper threshold without ever reaching it is never trusted.
    seen.confidence[10:30, rows] = 0.5
    assert not judge(seen, SIZE, FPS).of("left_hand").any()


def test_trust_does_not_reach_across_a_cut():
    seen = somebody()
    rows = keypoint_slice("left_hand")
    seen.confidence[20:, rows] = 0.5  # middling: kept by hysteresis, but not in a new shot
    shot = (np.arange(FRAMES) >= 20).astype(int)
    assert judge(seen, SIZE, FPS).valid("left_hand").all()
    trust = judge(seen, SIZE, FPS, shot).of("left_hand")
    assert (trust[:20] == 1).all() and (trust[20:] == 0).all()  # and no ramp before the cut


def test_believing_everything_believes_it():
    seen = somebody()
    moved("left_hand", (0, -150))(seen)
    seen.confidence[:5, keypoint_slice("right_hand")] = 0
    trust = believe_all(seen)
    assert trust.valid("left_hand").all() and trust.valid("right_hand").sum() == FRAMES - 5
