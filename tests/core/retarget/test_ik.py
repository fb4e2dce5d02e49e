"""Bending a limb puts its end where it should go, turns nothing else, and knows its reach."""

import numpy as np
import pytest
import roma
import torch
from constructed_motions import make_motion, make_shape, standing
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.body.ik import LIMBS, LONGEST, move_end, shortest_arc, within_reach
from emosh_core.body.joints import PARENTS
from emosh_core.body.pose import pose_from_motion

LIMB = st.sampled_from(sorted(LIMBS))


def pose_body(body, body_pose):
    motion = make_motion(body, make_shape([0.5]), body_pose)
    return body.for_landmarks().with_shape_of(motion.shape), pose_from_motion(motion)


def after(shaped, pose, limb, turns):
    """Pose the body again with the limb's three new rotations."""
    rotmats = pose.rotmats().clone()
    rotmats[:, list(limb.joints)] = turns
    return shaped.with_rotmats(rotmats, pose.expression, pose.transl)


def random_pose(seed, frames=4):
    pose = standing() + 0.4 * np.random.default_rng(seed).standard_normal((frames, 21, 3)).astype(np.float32)
    pose[:, [17, 18], 1] += [-0.9, 0.9]  # elbows bent forward
    pose[:, [3, 4], 0] += 0.9  # knees bent
    return pose


@given(seed=st.integers(0, 10_000), name=LIMB)
@settings(max_examples=25, deadline=None)
def test_the_end_arrives_with_its_direction_and_nothing_else_turns(body, seed, name):
    shaped, pose = pose_body(body, random_pose(seed))
    limb, posed = LIMBS[name], shaped.with_pose(pose)
    wish = torch.from_numpy(0.1 * np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32))
    delta = within_reach(posed.joints, limb, wish)
    new = after(shaped, pose, limb, move_end(posed.rotmats, posed.joints, limb, delta))
    end = limb.joints[2]
    torch.testing.assert_close(new.joints[:, end], posed.joints[:, end] + delta, atol=2e-4, rtol=0)
    torch.testing.assert_close(new.rotmats[:, end], posed.rotmats[:, end], atol=1e-4, rtol=0)
    still = [j for j in range(55) if j not in limb.joints[1:] and PARENTS[j] not in limb.joints and j < 22]
    torch.testing.assert_close(new.joints[:, still], posed.joints[:, still], atol=1e-5, rtol=0)


@given(seed=st.integers(0, 10_000), name=LIMB)
@settings(max_examples=15, deadline=None)
def test_no_move_is_no_turn(body, seed, name):
    shaped, pose = pose_body(body, random_pose(seed))
    posed, limb = shaped.with_pose(pose), LIMBS[name]
    nothing = torch.zeros(4, 3)
    torch.testing.assert_close(within_reach(posed.joints, limb, nothing), nothing, atol=1e-6, rtol=0)
    turns = move_end(posed.rotmats, posed.joints, limb, nothing)
    torch.testing.assert_close(turns, pose.rotmats()[:, list(limb.joints)], atol=5e-4, rtol=0)


@pytest.mark.parametrize("bend", [0.0, 0.02, 0.06, 0.09])
def test_no_move_is_no_turn_however_straight_the_arm_and_wherever_it_bends(body, bend):
    flat = np.zeros((1, 21, 3), np.float32)
    flat[0, 17] = [0.0, 0.3 * bend, bend]  # the left elbow, not about its hinge
    shaped, pose = pose_body(body, flat)
    posed, limb = shaped.with_pose(pose), LIMBS["left_hand"]
    turns = move_end(posed.rotmats, posed.joints, limb, torch.zeros(1, 3))
    torch.testing.assert_close(turns, pose.rotmats()[:, list(limb.joints)], atol=2e-3, rtol=0)


@given(seed=st.integers(0, 10_000), name=LIMB, far=st.floats(0.5, 3.0))
@settings(max_examples=15, deadline=None)
def test_out_of_reach_the_limb_points_there(body, seed, name, far):
    shaped, pose = pose_body(body, random_pose(seed))
    posed, limb = shaped.with_pose(pose), LIMBS[name]
    root, middle, end = (posed.joints[:, j] for j in limb.joints)
    whole = (middle - root).norm(dim=-1) + (end - middle).norm(dim=-1)
    goal = root + torch.nn.functional.normalize(end - root, dim=-1) * (whole + far)[:, None]
    line = end + within_reach(posed.joints, limb, goal - end) - root
    longest = torch.maximum(LONGEST * whole, (end - root).norm(dim=-1))  # a limb that is straighter may stay so
    assert (line.norm(dim=-1) <= longest + 1e-5).all() and (line.norm(dim=-1) >= 0.98 * whole).all()
    torch.testing.assert_close(torch.linalg.cross(line, goal - root), torch.zeros(4, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "forward"), [("left_hand", 1.0), ("right_hand", 1.0), ("left_foot", -1.0)])
def test_a_straight_limb_bends_the_way_its_hinge_does(body, name, forward):
    shaped, pose = pose_body(body, np.zeros((1, 21, 3), np.float32))
    posed, limb = shaped.with_pose(pose), LIMBS[name]
    root, _, end = limb.joints
    delta = 0.1 * torch.nn.functional.normalize(posed.joints[:, root] - posed.joints[:, end], dim=-1)
    new = after(shaped, pose, limb, move_end(posed.rotmats, posed.joints, limb, delta))
    middle = limb.joints[1]
    moved = new.joints[0, middle] - posed.joints[0, middle]
    # Elbows go backward when the forearm comes forward; knees go forward.
    assert moved[2] * forward < -0.05 and abs(moved[2]) > 0.9 * moved[:2].norm()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_shortest_arc_turns_one_direction_into_the_other(seed):
    a, b = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, 5, 3)))
    turn = shortest_arc(a, b)
    arrived = (turn @ (a / a.norm(dim=-1, keepdim=True))[..., None])[..., 0]
    torch.testing.assert_close(arrived, b / b.norm(dim=-1, keepdim=True), atol=1e-6, rtol=0)
    axis = roma.rotmat_to_rotvec(turn)
    angle = torch.acos(torch.nn.functional.cosine_similarity(a, b, dim=-1))
    torch.testing.assert_close(axis.norm(dim=-1), angle, atol=1e-5, rtol=0)
