"""Laws of FLAME's head on SMPL-X's body, on made-up files of the real structure."""

import dataclasses

import numpy as np
import pytest
import roma
import torch
from licensed_files import FLAME_VERTS, LEFT_EYE, RIGHT_EYE, humanoid, lower_head, write_folder

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body import zero_pose
from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, JOINT_NAMES, WRISTS
from emosh_core.body.pose import MotionPose
from emosh_core.body.smplx import read_smplx
from emosh_core.body.smplx.assemble import replaced
from emosh_core.body.smplx.load import HeadFiles

BODY = humanoid()
IDENTITY = torch.randn(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
HEAD_IDENTITY = torch.randn(300, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def random_pose(seed=0, frames=2, size=0.4, **given):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda value: size * torch.randn(value.shape, generator=generator, dtype=torch.float64)  # noqa: E731
    fields = {name: draw(value) for name, value in vars(zero_pose(frames, dtype=torch.float64)).items()}
    fields |= {"expression": 2 * torch.randn(frames, 100, generator=generator, dtype=torch.float64)}
    eyelid = torch.rand(frames, 2, generator=generator, dtype=torch.float64)
    return MotionPose(**(fields | {"eyelid": eyelid} | given))


def still(frames=1, **given):
    """The T-pose but for what is given."""
    fields = vars(zero_pose(frames, dtype=torch.float64)) | {"eyelid": torch.zeros(frames, 2).double()}
    return MotionPose(**(fields | given))


def test_dimensions_and_names(smplx_body):
    assert smplx_body.template.shape == (10475, 3) and smplx_body.faces.shape == (20908, 3)
    assert smplx_body.joint_names == JOINT_NAMES and len(smplx_body.expression_names) == 100
    assert smplx_body.body_dirs.shape == (10475, 3, 300) and smplx_body.head_dirs.shape == (4805, 3, 300)


def test_replaced_vertices_are_all_of_flame_but_the_lower_head(smplx_body):
    expected = np.delete(BODY.vertex_ids, lower_head(BODY))
    assert len(expected) == FLAME_VERTS - 218 == 4805
    assert smplx_body.head_verts.tolist() == expected.tolist()
    assert smplx_body.head_mask.nonzero()[:, 0].tolist() == expected.tolist()


def test_without_the_list_the_skin_weights_say_where_the_head_begins():
    files = HeadFiles(vertex_ids=BODY.vertex_ids, lower_head=None, eyelid_dirs=None, face_points=None)
    rows = replaced(files, BODY.weights)
    owner = BODY.owner[BODY.vertex_ids[rows]]
    assert set(owner) == {HEAD, JAW, *EYES}
    assert len(rows) == np.isin(BODY.owner, [HEAD, JAW, *EYES]).sum()


@pytest.mark.parametrize("head_scale", [1.0, 1.3])
def test_middles_of_the_eyes_coincide(smplx_body, head_scale):
    """Whatever the two identities, the size of the head and the expression are."""
    neutral = smplx_body.with_shape(IDENTITY, torch.zeros(1).double())
    shaped = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, head_scale)
    own = smplx_body.body.shaped(IDENTITY)[1][list(EYES)].mean(0)
    for person in (neutral, shaped):
        assert torch.allclose(person.rest_joints[list(EYES)].mean(0), own, atol=1e-12)
    face = still(2, expression=random_pose().expression)
    posed = shaped.with_pose(face)
    head = smplx_body.head
    _, joints = head.expressed(*head.shaped(HEAD_IDENTITY), face.expression)
    middle = joints[:, 3:5].mean(1, keepdim=True)
    verts, _ = head.expressed(*head.shaped(HEAD_IDENTITY), face.expression)
    assert torch.allclose(posed.verts[:, smplx_body.head_verts], own + head_scale * (verts - middle), atol=1e-12)
    assert (middle[0] - middle[1]).norm() > 1e-4  # the expression does move FLAME's eyes, and that is taken out


def test_head_grows_about_the_middle_of_the_eyes(smplx_body):
    small, large = (smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, scale) for scale in (1.0, 1.25))
    centre = small.rest_joints[list(EYES)].mean(0)
    head = smplx_body.head_verts
    assert torch.allclose(large.rest_verts[head] - centre, 1.25 * (small.rest_verts[head] - centre), atol=1e-12)
    face = [JAW, *EYES]
    assert torch.allclose(large.rest_joints[face] - centre, 1.25 * (small.rest_joints[face] - centre), atol=1e-12)
    # A turned jaw and an expression grow too; nothing is left behind where FLAME's origin was.
    pose = still(jaw_pose=torch.tensor([[0.3, 0.0, 0.0]]).double(), expression=random_pose().expression[:1])
    one, two = (person.with_pose(pose).verts[0, head] - centre for person in (small, large))
    assert torch.allclose(two, 1.25 * one, atol=1e-12)


def test_head_touches_neither_the_seam_nor_the_skeleton(smplx_body):
    plain = smplx_body.with_shape(IDENTITY, torch.zeros(300).double())
    other = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, 1.2)
    own, joints = smplx_body.body.shaped(IDENTITY)
    kept = smplx_body.head_mask == 0
    assert torch.equal(other.rest_verts[kept], own[kept]) and torch.equal(plain.rest_verts[kept], own[kept])
    rows = [j for j in range(55) if j not in (JAW, *EYES)]
    assert torch.allclose(other.rest_joints[rows], joints[rows], atol=1e-12)
    body = random_pose()
    face = dataclasses.replace(body, **{name: 0 * getattr(body, name) for name in ("expression", "jaw_pose", "eyelid")})
    seam = torch.from_numpy(BODY.vertex_ids[lower_head(BODY)])
    assert len(seam) == 218 and kept[seam].all()
    assert torch.equal(other.with_pose(body).verts[:, kept], other.with_pose(face).verts[:, kept])
    assert (other.with_pose(body).verts - other.with_pose(face).verts)[:, ~kept].abs().max() > 1e-3


def test_zero_pose_is_the_resting_body(smplx_body):
    shaped = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, 1.1, 0.9)
    posed = shaped.with_pose(still(2))
    assert torch.allclose(posed.verts, shaped.rest_verts.expand(2, -1, -1), atol=1e-12)
    assert torch.allclose(posed.joints, shaped.rest_joints.expand(2, -1, -1), atol=1e-12)
    assert torch.equal(posed.verts, shaped.with_pose(zero_pose(2, dtype=torch.float64)).verts)  # 52 units, no eyelids
    assert shaped.rest_joints[0].abs().max() < 1e-12  # the pelvis, for every identity


def test_a_head_cut_from_the_same_body_changes_nothing(tmp_path):
    """FLAME as a piece of SMPL-X, in other axes' origin: the graft must put it back where it was."""
    body = read_smplx(write_folder(tmp_path, different=False, extras=False), dtype=torch.float64)
    rest = body.with_shape(torch.zeros(1).double(), torch.zeros(1).double())
    assert (rest.rest_verts - body.template).abs().max() < 1e-9
    assert (rest.rest_joints - body.body.joints).abs().max() < 1e-9
    assert body.eyelid_dirs.abs().max() == 0
    face = keypoint_slice("face")
    assert not body.landmark_present[face].any() and body.landmark_present[: face.start].all()


def test_hands_grow_about_their_wrists(smplx_body):
    small, large = (smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, hand_scale=scale) for scale in (1.0, 1.4))
    for side, wrist in WRISTS.items():
        assert torch.equal(small.rest_joints[wrist], large.rest_joints[wrist])
        hand = list(HANDS[side])
        one, two = (person.rest_joints[hand] - person.rest_joints[wrist] for person in (small, large))
        assert torch.allclose(two, 1.4 * one, atol=1e-12)
        share = smplx_body.lbs_weights[:, [wrist, *hand]].sum(1)
        one, two = (person.rest_verts[share == 1] - person.rest_joints[wrist] for person in (small, large))
        assert len(one) > 1000 and torch.allclose(two, 1.4 * one, atol=1e-12)
    away = smplx_body.lbs_weights[:, [20, 21, *range(25, 55)]].sum(1) == 0
    assert torch.equal(small.rest_verts[away], large.rest_verts[away])
    # A wrist stays where the arm puts it, in any pose.
    pose = random_pose()
    one, two = small.with_pose(pose), large.with_pose(pose)
    assert torch.allclose(one.joints[:, :22], two.joints[:, :22], atol=1e-12)
    # Bent fingers are the same hand but larger: pose correctives grow with it.
    hand = smplx_body.lbs_weights[:, [WRISTS["left"], *HANDS["left"]]].sum(1) == 1
    wrist = one.joints[:, WRISTS["left"], None]
    assert torch.allclose(two.verts[:, hand] - wrist, 1.4 * (one.verts[:, hand] - wrist), atol=1e-12)


def test_jaw_and_eyes_are_flames_and_the_head_carries_them(smplx_body):
    shaped, pose = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY), random_pose()
    turned = dataclasses.replace(pose, jaw_pose=pose.jaw_pose + 0.3, eye_pose=pose.eye_pose + 0.3)
    one, two = shaped.with_pose(pose), shaped.with_pose(turned)
    assert torch.equal(one.joints, two.joints)  # they end no chain that others hang on
    expected = one.rotmats[:, HEAD] @ roma.rotvec_to_rotmat(turned.jaw_pose)
    assert torch.allclose(two.rotmats[:, JAW], expected, atol=1e-12)
    # Seen from the front of a still body, an eyeball turns as its joint does (pose correctives are noise on it).
    gaze = torch.tensor([[[0.0, 0.4, 0.0], [0.2, -0.3, 0.0]]]).double()
    ahead, aside = (shaped.with_pose(still(eye_pose=turn)).verts[0] for turn in (0 * gaze, gaze))
    for eye, turn in zip((LEFT_EYE, RIGHT_EYE), gaze[0]):
        found, _ = roma.rigid_points_registration(ahead[eye], aside[eye])
        assert roma.rotmat_geodesic_distance(found, roma.rotvec_to_rotmat(turn)) < 0.02


def test_eyelids_are_added_before_flame_is_skinned(smplx_body):
    """So that what the jaw carries turns with it; and they grow with the head."""
    shaped, jaw = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, 1.2), torch.tensor([[0.3, 0.1, 0.0]]).double()
    turn = torch.tensor([[0.3, 0.4, 0.5]]).double()
    opened, closed = (
        shaped.with_pose(still(eyelid=torch.tensor([[lid, 0.0]]).double(), jaw_pose=jaw, global_orient=turn)).verts[0]
        for lid in (0.0, 1.0)
    )
    weight = smplx_body.head.lbs_weights[:, 2, None, None]
    skin = (1 - weight) * torch.eye(3).double() + weight * roma.rotvec_to_rotmat(jaw)
    expected = (1.2 * roma.rotvec_to_rotmat(turn) @ skin @ smplx_body.eyelid_dirs[..., :1])[..., 0]
    moved = (closed - opened)[smplx_body.head_verts]
    assert torch.allclose(moved, expected, atol=1e-12)
    carried = (weight[:, 0, 0] > 0.5) & (expected.norm(dim=1) > 0)
    assert carried.sum() == 10 and moved.abs().max() > 1e-3


def test_rigid_motion_moves_everything_alike(smplx_body):
    shaped, pose = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY, 1.1, 0.9), random_pose()
    turn, shift = roma.rotvec_to_rotmat(torch.tensor([0.5, -1.0, 0.3]).double()), torch.tensor([1.0, 2.0, 3.0]).double()
    plain = shaped.with_pose(pose)
    local = pose.rotmats()
    moved = shaped.with_rotmats(
        torch.cat([turn @ local[:, :1], local[:, 1:]], 1), pose.expression, pose.transl @ turn.T + shift, pose.eyelid
    )
    for name in ("verts", "joints"):
        assert torch.allclose(getattr(plain, name) @ turn.T + shift, getattr(moved, name), atol=1e-10)
    assert torch.allclose(plain.landmarks() @ turn.T + shift, moved.landmarks(), atol=1e-10)


def test_identity_and_sizes_may_change_per_frame(smplx_body):
    light, pose = smplx_body.for_landmarks(), random_pose()
    both, scales = torch.stack([IDENTITY, 0 * IDENTITY]), torch.tensor([1.0, 1.2]).double()
    together = light.with_shape(both, HEAD_IDENTITY, scales, scales).with_pose(pose)
    second = light.with_shape(both[1], HEAD_IDENTITY, 1.2, 1.2).with_pose(pose)
    assert torch.allclose(together.verts[1], second.verts[1], atol=1e-12)
    with pytest.raises(ValueError, match="betas_body has 301 components, the model 300"):
        light.with_shape(torch.zeros(301).double(), HEAD_IDENTITY)


def test_landmarks_follow_mediapipes_layout(smplx_body):
    posed = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY).with_pose(random_pose())
    points = posed.landmarks()
    assert points.shape == (2, sum(KEYPOINTS.values()), 3) and points.isfinite().all()
    assert torch.allclose(smplx_body.landmark_weights.sum(1), torch.ones(553).double())
    body, joint = posed.landmarks("body"), lambda name: posed.joints[:, JOINT_NAMES.index(name)]
    for row, name in ((11, "left_shoulder"), (14, "right_elbow"), (15, "left_wrist"), (24, "right_hip"),
                      (25, "left_knee"), (28, "right_ankle")):  # fmt: skip
        assert torch.equal(body[:, row], joint(name))
    assert torch.equal(body[:, 0], posed.verts[:, 9120]) and torch.equal(body[:, 29], posed.verts[:, 8846])
    for side, tip in (("left", 4933), ("right", 7669)):
        hand = posed.landmarks(f"{side}_hand")
        assert torch.equal(hand[:, 0], joint(f"{side}_wrist")) and torch.equal(hand[:, 13], joint(f"{side}_ring1"))
        assert torch.equal(hand[:, 5], joint(f"{side}_index1")) and torch.equal(hand[:, 8], posed.verts[:, tip])


def test_face_points_are_those_of_the_embedding_and_the_others_are_flagged(smplx_body, licensed):
    posed = smplx_body.with_shape(IDENTITY, HEAD_IDENTITY).with_pose(random_pose())
    with np.load(licensed / "mediapipe_landmark_embedding.npz") as embedding:
        which, face, bary = (embedding[key] for key in ("landmark_indices", "lmk_face_idx", "lmk_b_coords"))
    present = smplx_body.landmark_present[keypoint_slice("face")].numpy()
    assert np.flatnonzero(present).tolist() == which.tolist() and len(which) == 105
    faces = BODY.faces[np.isin(BODY.faces, BODY.vertex_ids).all(1)].astype(np.int64)
    corners = torch.from_numpy(np.resize(faces, (9976, 3))[face])  # FLAME's triangles by SMPL-X's vertices
    expected = (posed.verts[:, corners] * torch.from_numpy(bary)[..., None]).sum(-2)
    points = posed.landmarks("face")
    assert torch.allclose(points[:, which], expected, atol=1e-12)
    absent = points[:, ~present]
    assert torch.equal(absent, posed.joints[:, HEAD, None].expand_as(absent))


def test_landmark_body_equals_the_full_one(smplx_body):
    identity, pose = (IDENTITY, HEAD_IDENTITY, 1.1, 0.9), random_pose()
    extra = torch.tensor([3, 5000, 10000])
    light = smplx_body.for_landmarks(extra)
    full, cheap = (model.with_shape(*identity) for model in (smplx_body, light))
    one, two = full.with_pose(pose), cheap.with_pose(pose)
    assert torch.allclose(one.landmarks(), two.landmarks(), atol=1e-12) and two.verts.shape[1] < 500
    assert torch.allclose(one.joints, two.joints, atol=1e-12)
    assert torch.allclose(one.verts[:, light.kept_verts], two.verts, atol=1e-12)
    assert torch.isin(extra, light.kept_verts).all()
    assert torch.equal(full.thinned(light).with_pose(pose).verts, two.verts)


@pytest.mark.parametrize("size", [0.0, 0.4])
def test_gradients_reach_every_parameter_and_are_finite(smplx_body, size):
    """Also at the zero pose, where a rotation's axis is not defined."""
    light, pose = smplx_body.for_landmarks(), random_pose(size=size)
    shape = [IDENTITY.clone(), HEAD_IDENTITY.clone(), torch.tensor(1.1).double(), torch.tensor(0.9).double()]
    inputs = {f"shape{k}": value for k, value in enumerate(shape)} | dict(vars(pose))
    for value in inputs.values():
        value.requires_grad_()
    posed = light.with_shape(*shape).with_pose(pose)
    points = torch.cat([posed.verts, posed.landmarks()], 1)
    (points * torch.randn(points.shape).double()).sum().backward()
    for name, value in inputs.items():
        assert value.grad.isfinite().all() and value.grad.abs().max() > 0, name


def test_gradients_are_right(smplx_body):
    full = smplx_body.for_landmarks(smplx_body.head_verts[100:110])
    few = torch.cat([torch.arange(0, len(full.template), 60), torch.nonzero(full.head_mask)[:4, 0]]).unique()
    place = torch.full((len(full.template),), -1)
    place[few] = torch.arange(len(few))
    head = place[full.head_verts] >= 0
    small = dataclasses.replace(
        full, body=full.body.at(few), head=full.head.at(head), head_verts=place[full.head_verts[head]],
        eyelid_dirs=full.eyelid_dirs[head], head_mask=full.head_mask[few],
    )  # fmt: skip
    pose = random_pose(frames=1)

    def posed(betas_body, betas_head, head_scale, hand_scale, body_pose, jaw_pose, expression, eyelid):
        new = dataclasses.replace(pose, body_pose=body_pose, jaw_pose=jaw_pose, expression=expression, eyelid=eyelid)
        result = small.with_shape(betas_body, betas_head, head_scale, hand_scale).with_pose(new)
        return result.verts, result.joints[:, ::9]

    inputs = [IDENTITY, HEAD_IDENTITY, torch.tensor(1.1).double(), torch.tensor(0.9).double(), pose.body_pose,
              pose.jaw_pose, pose.expression, pose.eyelid]  # fmt: skip
    inputs = [value.detach().clone().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(posed, inputs, fast_mode=True)
