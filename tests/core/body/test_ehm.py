"""Laws of the embedded body model."""

import dataclasses
from importlib.resources import files

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body import load_body, zero_pose
from emosh_core.body.joints import HEAD, JOINT_NAMES, PARENTS
from emosh_core.body.pose import pose_from_motion
from emosh_core.errors import AssetError
from emosh_core.render.keypoints import CONTOUR

MEDIAPIPE_BLENDSHAPES = (
    "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft "
    "cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight "
    "eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft "
    "eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft "
    "mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight "
    "mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft "
    "mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft "
    "noseSneerRight"
).split()


@pytest.fixture(scope="module")
def body():
    return load_body()


def average(body):
    return body.with_shape(torch.zeros(32), torch.zeros(64))


def random_pose(seed: int, frames: int = 2, dtype=torch.float32, size: float = 0.4):
    generator = torch.Generator().manual_seed(seed)
    pose = zero_pose(frames, dtype=dtype)
    return dataclasses.replace(pose, **{
        field.name: size * torch.randn(getattr(pose, field.name).shape, generator=generator, dtype=dtype)
        for field in dataclasses.fields(pose)
    })  # fmt: skip


def direction(joints, start: str, end: str):
    vector = joints[JOINT_NAMES.index(end)] - joints[JOINT_NAMES.index(start)]
    return vector / vector.norm()


def test_file_is_small_and_holds_no_pickle():
    path = files("emosh_core") / "assets" / "ehm_embedded.npz"
    content = path.read_bytes()
    assert len(content) <= 8e6
    with np.load(str(path), allow_pickle=False) as archive:
        assert all(archive[key].dtype != object for key in archive)


def test_topology_and_names(body):
    assert body.template.shape == (13718, 3) and body.faces.shape == (27420, 3)
    assert body.joint_names == JOINT_NAMES and len(JOINT_NAMES) == 55
    assert JOINT_NAMES[20:26] == ("left_wrist", "right_wrist", "jaw", "left_eye_smplhf", "right_eye_smplhf",
                                  "left_index1")
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert list(body.expression_names) == [*MEDIAPIPE_BLENDSHAPES, "tongueOut"]


def test_weights_sum_to_one(body):
    assert torch.allclose(body.lbs_weights.sum(1), torch.ones(13718), atol=1e-6) and body.lbs_weights.min() >= 0
    assert len(body.landmark_verts) == sum(KEYPOINTS.values())
    assert torch.allclose(body.landmark_weights.sum(1), torch.ones(553), atol=1e-5)
    assert body.landmark_weights.min() >= -1e-6


def test_head_identity_and_expression_move_no_body_vertex(body):
    pose, betas_body = random_pose(0), torch.randn(32)
    plain = dataclasses.replace(pose, expression=torch.zeros_like(pose.expression))
    before = body.with_shape(betas_body, torch.zeros(64)).with_pose(plain).verts
    after = body.with_shape(betas_body, torch.randn(64)).with_pose(pose).verts
    outside = body.head_mask == 0
    assert outside.sum() > 8000
    assert (after - before)[:, outside].abs().max() == 0
    assert (after - before)[:, ~outside].abs().max() > 0.005


def test_body_identity_keeps_the_head_shape(body):
    betas_head = torch.randn(64)
    first = body.with_shape(torch.zeros(32), betas_head).rest_verts
    second = body.with_shape(2 * torch.randn(32), betas_head).rest_verts
    head = body.head_mask == 1
    turn, shift = roma.rigid_points_registration(first[head], second[head])
    assert (first[head] @ turn.T + shift - second[head]).norm(dim=1).max() < 1e-4
    assert (first - second)[~head].abs().max() > 0.01


def test_zero_pose_is_a_t_pose(body):
    joints = average(body).with_pose(zero_pose()).joints[0]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("middle1", "middle3")):
            assert sign * direction(joints, f"{side}_{start}", f"{side}_{end}")[0] > np.cos(np.radians(2))
        for start, end in (("hip", "knee"), ("knee", "ankle")):
            assert direction(joints, f"{side}_{start}", f"{side}_{end}")[1] < -np.cos(np.radians(2))
        toes = direction(joints, f"{side}_ankle", f"{side}_foot")
        assert toes[2] > 0.8
        palm = torch.linalg.cross(direction(joints, f"{side}_wrist", f"{side}_index1"),
                                  direction(joints, f"{side}_wrist", f"{side}_pinky1"))
        assert sign * palm[1] / palm.norm() > 0.95  # the back of the hand looks up, the thumb forwards
    assert joints[0].abs().max() < 1e-6


def test_skin_follows_the_bones_into_the_t_pose(body):
    posed = average(body).with_pose(zero_pose())
    for side in ("left", "right"):
        elbow, wrist = (JOINT_NAMES.index(f"{side}_{name}") for name in ("elbow", "wrist"))
        forearm = posed.verts[0, body.lbs_weights[:, elbow] > 0.95]
        middle = (posed.joints[0, elbow] + posed.joints[0, wrist]) / 2
        assert len(forearm) > 100 and (forearm[:, 1:] - middle[1:]).norm(dim=1).max() < 0.06


def test_translation_moves_the_pelvis_and_orientation_turns_about_it(body):
    pose = dataclasses.replace(random_pose(1), transl=torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
    joints = body.with_shape(torch.randn(32), torch.randn(64)).with_pose(pose).joints
    assert torch.allclose(joints[:, 0], pose.transl, atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), angles=st.tuples(*[st.floats(-3, 3)] * 3), shift=st.tuples(*[st.floats(-5, 5)] * 3))
def test_skinning_commutes_with_rigid_motion(seed, angles, shift):
    body = load_body().for_landmarks()
    shaped = body.with_shape(torch.randn(32), torch.randn(64))
    pose = random_pose(seed)
    turn = roma.rotvec_to_rotmat(torch.tensor(angles, dtype=torch.float32))
    rotmats = pose.rotmats()
    moved_rotmats = torch.cat([turn @ rotmats[:, :1], rotmats[:, 1:]], 1)
    plain = shaped.with_rotmats(rotmats, pose.expression, pose.transl)
    moved = shaped.with_rotmats(moved_rotmats, pose.expression, pose.transl @ turn.T + torch.tensor(shift))
    assert torch.allclose(plain.verts @ turn.T + torch.tensor(shift), moved.verts, atol=2e-5)
    assert torch.allclose(plain.joints @ turn.T + torch.tensor(shift), moved.joints, atol=2e-5)


def test_gradients_are_right():
    body = load_body(dtype=torch.float64).for_landmarks()
    few = torch.tensor([3, 40, 500, 900])
    inside = torch.full((len(body.template),), -1)
    inside[few] = torch.arange(4)
    small = dataclasses.replace(
        body, template=body.template[few], lbs_weights=body.lbs_weights[few], body_dirs=body.body_dirs[few],
        head_mask=body.head_mask[few], head_verts=inside[body.head_verts[inside[body.head_verts] >= 0]],
        head_dirs=body.head_dirs[inside[body.head_verts] >= 0],
        expression_verts=inside[body.expression_verts[inside[body.expression_verts] >= 0]],
        expression_dirs=body.expression_dirs[inside[body.expression_verts] >= 0],
    )  # fmt: skip
    assert len(small.head_verts) and len(small.expression_verts)
    pose = random_pose(3, 1, torch.float64)

    def posed(betas_body, betas_head, head_scale, hand_scale, body_pose, expression, transl):
        shaped = small.with_shape(betas_body, betas_head, head_scale, hand_scale)
        new = dataclasses.replace(pose, body_pose=body_pose, expression=expression, transl=transl)
        result = shaped.with_pose(new)
        return result.verts, result.joints[:, ::9]

    inputs = [torch.randn(32), torch.randn(64), torch.tensor(1.1), torch.tensor(0.9),
              pose.body_pose, pose.expression, pose.transl]  # fmt: skip
    inputs = [value.double().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(posed, inputs, fast_mode=True)


def test_gradients_at_the_zero_pose_are_finite(body):
    pose = zero_pose(2)
    pose.body_pose.requires_grad_()
    average(body.for_landmarks()).with_pose(pose).verts.square().sum().backward()
    assert pose.body_pose.grad.isfinite().all() and pose.body_pose.grad.abs().max() > 0


def test_landmark_body_equals_the_full_one(body):
    identity = torch.randn(32), torch.randn(64), 1.1, 0.9
    pose = random_pose(5, 3)
    full, cheap = (model.with_shape(*identity).with_pose(pose) for model in (body, body.for_landmarks()))
    assert torch.allclose(full.landmarks(), cheap.landmarks(), atol=1e-6)
    assert torch.allclose(full.joints, cheap.joints, atol=1e-6)
    assert cheap.verts.shape[1] < 3000
    assert torch.equal(full.landmarks("left_hand"), full.landmarks()[:, keypoint_slice("left_hand")])


def test_identity_may_change_per_frame(body):
    betas_body, betas_head, pose = torch.randn(2, 32), torch.randn(2, 64), random_pose(7)
    light = body.for_landmarks()
    together = light.with_shape(betas_body, betas_head, torch.tensor([1.0, 1.2])).with_pose(pose).verts
    second = light.with_shape(betas_body[1], betas_head[1], 1.2).with_pose(pose).verts
    assert torch.allclose(together[1], second[1], atol=1e-5)


def test_scales_enlarge_head_and_hands_only(body):
    small, large = average(body), body.with_shape(torch.zeros(32), torch.zeros(64), head_scale=1.2, hand_scale=1.5)
    head = body.head_mask == 1
    height = lambda shaped: float(shaped.rest_verts[head, 1].max() - shaped.rest_joints[HEAD, 1])  # noqa: E731
    assert height(large) == pytest.approx(1.2 * height(small), rel=1e-4)
    wrist, tip = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("left_middle3")
    reach = lambda shaped: float((shaped.rest_joints[tip] - shaped.rest_joints[wrist]).norm())  # noqa: E731
    assert reach(large) == pytest.approx(1.5 * reach(small), rel=1e-4)
    torso = body.lbs_weights[:, [0, 3, 6]].sum(1) > 0.99
    assert torch.equal(large.rest_verts[torso], small.rest_verts[torso])


def test_blinking_closes_the_eye_and_the_jaw_opens_the_mouth(body):
    face = keypoint_slice("face").start
    pose = zero_pose(3)
    pose.expression[1, body.expression_names.index("eyeBlinkLeft")] = 1
    pose.expression[2, body.expression_names.index("jawOpen")] = 1
    points = average(body).with_pose(pose).landmarks()[:, face:]
    opening = lambda upper, lower: (points[:, upper] - points[:, lower]).norm(dim=-1)  # noqa: E731
    left_eye, right_eye, mouth = opening(386, 374), opening(159, 145), opening(13, 14)
    assert left_eye[1] < 0.5 * left_eye[0] and right_eye[1] > 0.8 * right_eye[0]
    assert mouth[2] > mouth[0] + 0.015
    assert torch.allclose(points[0, 473, 0], torch.tensor(0.031), atol=0.008)  # the left iris is on the left


def test_landmarks_are_mirror_symmetric(body):
    points = average(body).with_pose(zero_pose()).landmarks()[0]
    reflected = points * torch.tensor([-1.0, 1.0, 1.0])
    limbs = points[keypoint_slice("body")]
    assert (limbs[1:4] - reflected[4:7]).norm(dim=1).max() < 0.004
    assert (limbs[7::2] - reflected[8:33:2]).norm(dim=1).max() < 0.006
    hands = points[keypoint_slice("left_hand")] - reflected[keypoint_slice("right_hand")]
    assert hands.norm(dim=1).max() < 0.004
    nearest = torch.cdist(points[keypoint_slice("face")], reflected[keypoint_slice("face")]).min(1).values
    assert nearest.median() < 0.001 and nearest.max() < 0.006


@pytest.mark.parametrize("smile", [0.0, 1.0])
def test_outline_of_the_face_is_smooth_and_symmetric(body, smile):
    pose = zero_pose()
    for side in ("Left", "Right"):
        pose.expression[0, body.expression_names.index(f"mouthSmile{side}")] = smile
    points = average(body).with_pose(pose).landmarks("face")[0, list(CONTOUR)]
    step = np.diff(points[:, :2].double().numpy() @ [1, 1j])  # seen from the front
    turns = np.degrees(np.angle(step / np.roll(step, 1)))
    assert turns.sum() == pytest.approx(-360) and np.abs(turns).max() < 35  # once round, no zigzag
    mirrored = points.flip(0) * torch.tensor([-1.0, 1.0, 1.0])
    assert (points - mirrored).norm(dim=1).max() < 0.002


def test_the_lower_lip_goes_down_with_the_jaw_and_the_upper_one_stays(body):
    upper, lower = [191, 80, 81, 82, 13, 312, 311, 310, 415], [95, 88, 178, 87, 14, 317, 402, 318, 324]
    pose = zero_pose(2)
    pose.expression[1, body.expression_names.index("jawOpen")] = 0.6
    closed, opened = body.with_shape(torch.zeros(32), torch.zeros(64)).with_pose(pose).landmarks("face")
    drop = (closed - opened)[:, 1]
    assert drop[upper].max() < 0.006 and drop[lower].min() > 0.01
    assert drop[lower][4] == drop[lower].max()  # most in the middle


def test_left_is_the_subjects_left(body):
    points = average(body).with_pose(zero_pose()).landmarks()[0]
    limbs = points[keypoint_slice("body")]
    assert (limbs[11::2, 0] > 0).all() and (limbs[12::2, 0] < 0).all()
    assert points[keypoint_slice("left_hand"), 0].min() > 0.5


def test_same_arguments_give_the_same_object_and_unknown_names_fail():
    assert load_body() is load_body() and len(load_body().fingerprint) == 64
    with pytest.raises(AssetError, match="no body model named"):
        load_body("nobody")


def test_pose_reads_motion_fields(body):
    pose = random_pose(9)
    names = [field.name for field in dataclasses.fields(pose)]
    eyelid = np.float32([[0.2, 0.7]])
    motion = type("Motion", (), {name: getattr(pose, name).numpy() for name in names} | {"eyelid": eyelid})
    copied = pose_from_motion(motion)
    assert torch.equal(copied.eyelid, torch.from_numpy(eyelid))
    assert all(torch.equal(getattr(copied, name), getattr(pose, name)) for name in names)
