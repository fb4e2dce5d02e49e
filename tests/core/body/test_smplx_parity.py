"""Our forward pass of SMPL-X's and FLAME's files against the smplx package's (its code is for research: tests only)."""

import pickle

import numpy as np
import pytest
import torch
from licensed_files import chumpy_pickle, flame_arrays

from emosh_core.body.smplx.landmarks import VERTS
from emosh_core.body.smplx.load import FLAME, read_model

smplx = pytest.importorskip("smplx", reason="the smplx package is not installed (extra: smplx)")
FILE = "SMPLX_NEUTRAL_2020.npz"
FRAMES, TOLERANCE = 3, 1e-5  # [m]


def draw(*shape, size=1.0, seed=0):
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotmats(axis_angle):
    return smplx.lbs.batch_rodrigues(axis_angle.reshape(-1, 3)).unflatten(0, (FRAMES, -1))


def same(name, got, want):
    worst = (got - want).abs().max()
    assert worst < TOLERANCE, f"{name} differ by {worst} m"


def moving(rig, betas, expression, axis_angle):
    rig = type(rig)(**{k: v.float() if isinstance(v, torch.Tensor) else v for k, v in vars(rig).items()})
    verts, joints = rig.expressed(*rig.shaped(betas), expression)
    return rig.posed(verts, joints, rotmats(axis_angle))


@pytest.mark.parametrize("shared", [True, False], ids=["one identity", "an identity per frame"])
def test_smplx_equals_the_package(licensed, smplx_file, shared):
    package = smplx.create(
        str(licensed / FILE), model_type="smplx", use_pca=False, flat_hand_mean=True, num_betas=300,
        num_expression_coeffs=100, batch_size=FRAMES,
    )  # fmt: skip
    betas, expression = draw(FRAMES, 300, seed=1), draw(FRAMES, 100, seed=2)
    betas = betas[:1].expand(FRAMES, -1) if shared else betas
    pose = draw(FRAMES, 55, 3, size=0.5, seed=3)
    parts = {"global_orient": slice(0, 1), "body_pose": slice(1, 22), "jaw_pose": slice(22, 23),
             "leye_pose": slice(23, 24), "reye_pose": slice(24, 25), "left_hand_pose": slice(25, 40),
             "right_hand_pose": slice(40, 55)}  # fmt: skip
    want = package(betas=betas, expression=expression, **{k: pose[:, rows].flatten(1) for k, rows in parts.items()})
    verts, joints = moving(smplx_file.rig, betas, expression, pose)
    same("vertices", verts, want.vertices)
    same("joints", joints, want.joints[:, :55])
    assert (verts - smplx_file.rig.template).abs().max() > 0.1


def test_pose_correctives_and_expression_are_part_of_it(smplx_file):
    """What parity would not notice if both terms were too small to see."""
    rig = smplx_file.rig
    turned = rotmats(draw(FRAMES, 55, 3, size=0.5, seed=3)).double()
    assert rig.correctives(turned).abs().max() > 1e-3
    moved, _ = rig.expressed(rig.template, rig.joints, draw(FRAMES, 100).double())
    assert (moved - rig.template).abs().max() > 1e-3


def test_flame_equals_the_package(tmp_path):
    arrays = flame_arrays()
    folder = tmp_path / "flame"
    folder.mkdir()
    plain = arrays | {"J_regressor": arrays["J_regressor"].toarray()}
    (folder / "FLAME_NEUTRAL.pkl").write_bytes(pickle.dumps(plain))
    embedding = {"lmk_face_idx": np.zeros(51, np.int64), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(embedding))
    package = smplx.create(
        str(tmp_path), model_type="flame", num_betas=300, num_expression_coeffs=100, use_face_contour=False,
        batch_size=FRAMES,
    )  # fmt: skip
    held = read_model(chumpy_pickle(arrays), "generic_model.pkl", FLAME)
    betas, expression, pose = draw(FRAMES, 300, seed=4), draw(FRAMES, 100, seed=5), draw(FRAMES, 5, 3, size=0.4, seed=6)
    names = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")
    want = package(betas=betas, expression=expression, **{name: pose[:, k] for k, name in enumerate(names)})
    verts, joints = moving(held.rig, betas, expression, pose)
    same("vertices", verts, want.vertices)
    same("joints", joints, want.joints[:, :5])


def test_body_below_the_head_is_smplx(licensed, smplx_body, smplx_file):
    """The graft leaves the rest alone: with jaw and eyes still, what is not head is the package's, pelvis apart."""
    package = smplx.create(
        str(licensed / FILE), model_type="smplx", use_pca=False, flat_hand_mean=True, num_betas=300, batch_size=FRAMES
    ).double()
    betas, pose = draw(1, 300, seed=1).double(), draw(FRAMES, 55, 3, size=0.5, seed=3).double()
    pose[:, 22:25] = 0
    want = package(
        betas=betas, global_orient=pose[:, 0], body_pose=pose[:, 1:22].flatten(1),
        left_hand_pose=pose[:, 25:40].flatten(1), right_hand_pose=pose[:, 40:].flatten(1),
        transl=torch.tensor([[0.1, 0.2, 0.3]]).double().expand(FRAMES, 3),
    )  # fmt: skip
    shaped = smplx_body.with_shape(betas[0], draw(300).double())
    pelvis = (smplx_file.rig.joints + (smplx_file.rig.joint_shape_dirs @ betas[0]))[0]
    transl = torch.tensor([[0.1, 0.2, 0.3]]).double().expand(FRAMES, 3) + pelvis
    posed = shaped.with_rotmats(rotmats(pose), torch.zeros(FRAMES, 100).double(), transl)
    body = smplx_body.head_mask == 0
    same("vertices", posed.verts[:, body], want.vertices[:, body])
    same("joints", posed.joints[:, :22], want.joints[:, :22])
    assert (posed.verts - want.vertices)[:, ~body].abs().max() > 1e-3


def test_vertices_with_names_are_those_of_the_package():
    theirs, finger = smplx.vertex_ids.vertex_ids["smplx"], ("thumb", "index", "middle", "ring", "pinky")
    names = {"nose": "nose", "left_eye": "leye", "right_eye": "reye", "left_ear": "lear", "right_ear": "rear",
             "left_heel": "LHeel", "right_heel": "RHeel", "left_toe": "LBigToe", "right_toe": "RBigToe"}  # fmt: skip
    names |= {f"{side}_{name}": f"{side[0]}{name}" for side in ("left", "right") for name in finger}
    assert {name: theirs[key] for name, key in names.items()} == VERTS
