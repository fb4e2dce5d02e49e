"""Touches found on constructed drivers are kept on other bodies; measured on the full mesh, apart from the code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from constructed_motions import HOLDS, make_motion, make_shape, random_shapes, standing, touching, walking
from contact_measure import contact_errors, frames_of, skates, surfaces

from emosh_core.artifacts import CONTACTS, keypoint_slice
from emosh_core.body.ik import LIMBS
from emosh_core.body.pose import pose_from_motion
from emosh_core.geometry.spans import fade
from emosh_core.retarget import RetargetConfig, retarget
from emosh_core.retarget.hands import hand_moves
from emosh_core.retarget.root import leg_length
from emosh_core.retarget.touches import Touch

PLAIN = RetargetConfig(root="driver", contacts="off")
ARMS, LEGS = [15, 16, 17, 18, 19, 20], [0, 1, 3, 4, 6, 7]  # rows of body_pose that a correction may turn


@pytest.fixture(scope="module")
def shapes():
    return random_shapes(2, seed=5)


@pytest.fixture(scope="module", params=["clap", "hand_to_cheek", "hands_on_hips"])
def held(request, body, shapes):
    """Name, driver, plain target and corrected target of a motion with a touch."""
    driver = touching(body, shapes[:1], request.param)[0]
    reference = make_motion(body, shapes[1], standing()[None])
    return (
        request.param,
        driver,
        retarget(driver, reference, body, PLAIN),
        retarget(driver, reference, body, RetargetConfig()),
    )


@pytest.fixture(scope="module")
def walk(body, shapes):
    """A walk, its true stands, and the reference of another build."""
    return *walking(body, shapes[0]), make_motion(body, make_shape([2.5, 1.0]), standing()[None])


def row(contact):
    return CONTACTS.index(contact)


def test_the_hand_touches_where_the_drivers_does(held, body):
    name, driver, plain, corrected = held
    for hold in HOLDS[name]:
        some = slice(None, None, 2)
        seen, before, after = (surfaces(frames_of(m, some), body, hold.contact) for m in (driver, plain, corrected))
        before, after = contact_errors(seen, before), contact_errors(seen, after)
        assert len(before["frames"]) >= 5
        assert before["error"].max() > 0.020, "the pair shows nothing"
        assert after["error"].max() < 0.015 < before["error"].max() and np.median(after["gap"]) < 0.003
        np.testing.assert_array_equal(corrected.contacts[some][before["frames"], row(hold.contact)], 1)


def test_frames_without_a_touch_and_other_joints_stay_bit_for_bit(held):
    _, driver, _, corrected = held
    for limbs, contacts in ((ARMS, slice(0, 5)), (LEGS, slice(5, 7))):
        free = np.ix_(~corrected.contacts[:, contacts].any(1), limbs)
        np.testing.assert_array_equal(corrected.body_pose[free], driver.body_pose[free])
    assert not corrected.contacts[:, :5].all(0).any()
    others = [j for j in range(21) if j not in ARMS + LEGS]
    np.testing.assert_array_equal(corrected.body_pose[:, others], driver.body_pose[:, others])
    for field in ("global_orient", "left_hand_pose", "right_hand_pose", "jaw_pose", "expression", "K", "w2c", "time"):
        np.testing.assert_array_equal(getattr(corrected, field), getattr(driver, field))


def test_shape_is_the_references_and_joints_are_those_of_the_parameters(held, shapes, body):
    corrected = held[3]
    assert corrected.shape.betas_body.tobytes() == shapes[1].betas_body.tobytes()
    assert corrected.shape.betas_head.tobytes() == shapes[1].betas_head.tobytes()
    posed = body.for_landmarks().with_shape_of(corrected.shape).with_pose(pose_from_motion(corrected))
    np.testing.assert_allclose(posed.joints.numpy(), corrected.joints, atol=1e-5)


def test_hands_keep_their_direction(held, body):
    _, _, plain, corrected = held
    turns = [
        body.for_landmarks().with_shape_of(m.shape).with_pose(pose_from_motion(m)).rotmats[:, [20, 21]]
        for m in (plain, corrected)
    ]
    torch.testing.assert_close(*turns, atol=2e-4, rtol=0)


def test_nothing_pops(held):
    """The correction itself moves no faster than its size fades in, half as much again at its steepest."""
    _, _, plain, corrected = held
    wrists = [m.joints[:, [20, 21]] - m.joints[:, :1] for m in (plain, corrected)]
    change = wrists[1] - wrists[0]
    size = np.linalg.norm(change, axis=-1).max()
    speed = np.linalg.norm(np.diff(change, axis=0), axis=-1).max() * corrected.fps
    assert size > 0.01 and speed < 1.5 * size / 0.15 * 1.3


def test_uneven_frame_times_change_nothing_but_the_frames(held, body, shapes):
    name, driver, _, corrected = held
    kept = np.sort(np.random.default_rng(0).permutation(len(driver.time))[:45])
    reference = make_motion(body, shapes[1], standing()[None])
    target = retarget(frames_of(driver, kept), reference, body, RetargetConfig())
    contact = row(HOLDS[name][0].contact)
    both = (target.contacts[:, contact] == 1) & (corrected.contacts[kept, contact] == 1)
    assert both.sum() >= 4
    # The foot's mean place, and so the legs, depend on the frames that are there; arms do not.
    np.testing.assert_allclose(target.body_pose[both][:, ARMS], corrected.body_pose[kept][both][:, ARMS], atol=0.02)


def test_switched_off_there_is_no_correction(held, body, shapes):
    driver = held[1]
    target = retarget(driver, make_motion(body, shapes[1], standing()[None]), body, RetargetConfig(contacts="off"))
    assert not target.contacts.any()
    np.testing.assert_array_equal(target.body_pose, driver.body_pose)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_still_and_two_frames(held, body, shapes, frames):
    name, driver, _, corrected = held
    touched = np.flatnonzero(corrected.contacts[:, row(HOLDS[name][0].contact)] == 1)
    middle = 0 if name == "clap" else int(np.median(touched))
    part = frames_of(driver, slice(middle, middle + frames))
    target = retarget(part, make_motion(body, shapes[1], standing()[None]), body, RetargetConfig())
    assert np.isfinite(target.joints).all() and np.isfinite(target.body_pose).all()
    assert (target.contacts[:, row(HOLDS[name][0].contact)] == 1).all()


def test_nobody_there_is_left_alone(held, body, shapes):
    driver = replace(held[1], person_valid=np.zeros(len(held[1].time), bool))
    target = retarget(driver, make_motion(body, shapes[1], standing()[None]), body, RetargetConfig())
    assert not target.contacts.any() and np.isfinite(target.joints).all()
    np.testing.assert_array_equal(target.body_pose, driver.body_pose)


def test_frames_in_which_the_person_was_lost_lean_on_their_neighbours(held, body, shapes):
    name, driver, _, corrected = held
    touched = np.flatnonzero(corrected.contacts[:, row(HOLDS[name][0].contact)] == 1)
    lost = touched[len(touched) // 2] + np.arange(2) if name != "clap" else np.array([15])
    valid = driver.person_valid.copy()
    valid[lost] = False
    reference = make_motion(body, shapes[1], standing()[None])
    target = retarget(replace(driver, person_valid=valid), reference, body, RetargetConfig())
    np.testing.assert_allclose(target.contacts[lost, row(HOLDS[name][0].contact)], 1, atol=1e-6)
    np.testing.assert_allclose(target.body_pose[lost][:, ARMS], corrected.body_pose[lost][:, ARMS], atol=0.05)


def test_folded_hands_rest_on_the_belly_together():
    """Each touch is met: the hands meet each other halfway and both move with the torso."""
    always = np.ones(1, bool)
    wanted = {
        "left_hand-right_hand": torch.tensor([[0.02, 0.0, 0.0]]),
        "left_hand-torso": torch.tensor([[0.0, 0.0, 0.03]]), "right_hand-torso": torch.tensor([[0.0, 0.0, 0.03]]),
    }  # fmt: skip
    alike = {"flags": always, "fade": fade(always, np.zeros(1)), "rows": (), "shares": torch.ones(1, 1)}
    firmness = {name: torch.tensor([1e-3 if "torso" in name else 1.0]) for name in wanted}
    touches = {
        name: Touch(sides=tuple(name.split("-")), firmness=firmness[name], gap=torch.zeros(1), **alike)
        for name in wanted
    }
    joints = torch.zeros(1, 55, 3)
    for hand in ("left_hand", "right_hand"):
        _, elbow, wrist = LIMBS[hand].joints
        joints[0, elbow], joints[0, wrist] = torch.tensor([[0.0, -0.3, 0.0], [0.0, -0.3, 0.25]])
    moves = hand_moves(touches, wanted, joints)
    torch.testing.assert_close(moves["left_hand"], torch.tensor([[0.01, 0.0, 0.03]]), atol=2e-4, rtol=0)
    torch.testing.assert_close(moves["right_hand"], torch.tensor([[-0.01, 0.0, 0.03]]), atol=2e-4, rtol=0)


def test_an_arm_counts_without_its_fingers_but_not_unseen(held, body, shapes):
    name, driver, _, _ = held
    reference = make_motion(body, shapes[1], standing()[None])
    never = np.zeros(len(driver.time), bool)
    lost = replace(driver, left_hand_valid=never, right_hand_valid=never)
    contact = row(HOLDS[name][0].contact)
    assert (retarget(lost, reference, body, RetargetConfig()).contacts[:, contact] == 1).any()
    confidence = lost.confidence.copy()
    confidence[:, keypoint_slice("body").start + np.array([15, 16])] = 0.1
    unseen = retarget(replace(lost, confidence=confidence), reference, body, RetargetConfig())
    assert not unseen.contacts[:, :5].any()


def test_a_walk_of_another_build_does_not_slide(walk, body):
    driver, stands, reference = walk
    assert skates(driver, body, stands).max() < 1e-5
    plain = skates(retarget(driver, reference, body, PLAIN), body, stands)
    scaled = skates(retarget(driver, reference, body, RetargetConfig(contacts="off")), body, stands)
    corrected = retarget(driver, reference, body, RetargetConfig())
    assert np.median(plain) > 0.05 and np.median(scaled) < 0.5 * np.median(plain)
    assert skates(corrected, body, stands).max() < 0.002
    for k, foot in enumerate(("left_foot-floor", "right_foot-floor")):
        assert (corrected.contacts[stands[:, k], row(foot)] == 1).mean() > 0.9
    others = [j for j in range(21) if j not in LEGS]
    np.testing.assert_array_equal(corrected.body_pose[:, others], driver.body_pose[:, others])


def test_feet_stay_on_the_floor_in_a_squat_that_is_too_deep_for_the_legs(walk, body, shapes):
    """With the driver's own path the short legs would be pushed through the floor."""
    driver, stands = walking(body, shapes[0], squat=0.25)
    spread = []
    for contacts in ("off", "on"):
        target = retarget(driver, walk[2], body, RetargetConfig(root="driver", contacts=contacts))
        verts = body.with_shape_of(target.shape).with_pose(pose_from_motion(target)).verts
        spread.append(float(np.ptp(verts[..., 1].amin(1).numpy())))
    assert stands.all() and spread[0] > 0.08
    assert spread[1] < 0.5 * spread[0]  # not all: upright, these legs are too short to reach down to the mean floor


def test_a_slide_of_the_drivers_is_kept(walk, body):
    """A moonwalk is no fault: what the driver's foot slides while it stands, the target's slides at its scale."""
    driver, stands, reference = walk
    drift = np.stack([0.1 * driver.time, 0 * driver.time, 0 * driver.time], 1).astype(np.float32)
    sliding = replace(driver, transl=driver.transl + drift, joints=driver.joints + drift[:, None])
    wanted = skates(sliding, body, stands)
    target = retarget(sliding, reference, body, RetargetConfig())
    rest = [body.with_shape_of(m.shape) for m in (driver, reference)]
    ratio = leg_length(rest[1]) / leg_length(rest[0])
    assert wanted.min() > 0.01 and ratio < 0.7
    np.testing.assert_allclose(skates(target, body, stands) / wanted, ratio, atol=0.03)


def test_legs_out_of_the_picture_stay_bit_for_bit_and_the_path_unscaled(walk, body):
    driver, _, reference = walk
    confidence = driver.confidence.copy()
    confidence[:, keypoint_slice("body")][:, 25:33] = 0.1
    target = retarget(replace(driver, confidence=confidence), reference, body, RetargetConfig())
    np.testing.assert_array_equal(target.body_pose[:, LEGS], driver.body_pose[:, LEGS])
    np.testing.assert_allclose(target.transl[:, [0, 2]], driver.transl[:, [0, 2]], atol=1e-6)
    assert not target.contacts[:, row("left_foot-floor") :].any()
