"""Files with the structure of SMPL-X's and FLAME's, made from a procedural humanoid: nothing of the real ones."""

import pickle
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse

from emosh_core.body.joints import HANDS, HEAD, JAW, JOINT_NAMES, PARENTS
from emosh_core.body.smplx.landmarks import VERTS

SMPLX_VERTS, SMPLX_FACES, FLAME_VERTS, FLAME_FACES = 10475, 20908, 5023, 9976
LEFT_EYE, RIGHT_EYE = slice(9383, 9929), slice(9929, 10475)
NO_PARENT = 2**32 - 1
FLAME_ORIGIN = np.array([0.01, 0.16, -0.02])
"""Where FLAME's origin lies in SMPL-X's axes: the two must not share it by chance."""
FINGERS = {"index": 0.03, "middle": 0.01, "ring": -0.01, "pinky": -0.03, "thumb": 0.05}


def skeleton() -> np.ndarray:
    """Return joints (55, 3) of a T-pose, pelvis away from the origin as in SMPL-X."""
    places = {
        "pelvis": (0.003, -0.35, 0.012), "spine1": (0, -0.23, 0), "spine2": (0, -0.1, 0), "spine3": (0, -0.04, 0),
        "neck": (0, 0.12, -0.02), "head": (0, 0.21, 0.0), "jaw": (0, 0.2, 0.03),
        "left_eye_smplhf": (0.032, 0.28, 0.08), "right_eye_smplhf": (-0.032, 0.28, 0.08),
        "left_hip": (0.06, -0.44, 0), "left_knee": (0.11, -0.82, 0), "left_ankle": (0.08, -1.22, -0.03),
        "left_foot": (0.12, -1.28, 0.1), "left_collar": (0.05, 0.06, -0.02), "left_shoulder": (0.17, 0.09, -0.02),
        "left_elbow": (0.42, 0.09, -0.03), "left_wrist": (0.67, 0.09, -0.03),
    }  # fmt: skip
    for name, z in FINGERS.items():
        for k in (1, 2, 3):
            places[f"left_{name}{k}"] = (0.67 + 0.06 + 0.028 * k, 0.09, z - 0.03)
    for name in [name for name in places if name.startswith("left_")]:
        x, y, z = places[name]
        places[name.replace("left", "right")] = (-x, y, z)
    return np.array([places[name] for name in JOINT_NAMES], float)


@dataclass(frozen=True)
class Humanoid:
    """What both models are made of."""

    verts: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    owner: np.ndarray
    """(V,) the joint at whose bone a vertex lies."""
    faces: np.ndarray
    vertex_ids: np.ndarray
    """(5023,) which are FLAME's."""


def humanoid() -> Humanoid:
    """Make a body of tubes along the bones, its head of the vertices that are FLAME's."""
    joints = skeleton()
    before = np.unique(np.r_[0:3218, 9028:9383, np.linspace(3300, 9000, 358).astype(int)])
    ids = np.r_[before, 9383:10475]
    assert len(ids) == FLAME_VERTS
    owner = np.full(SMPLX_VERTS, -1)
    owner[LEFT_EYE], owner[RIGHT_EYE] = 23, 24
    owner[ids[:-1092]] = HEAD
    owner[ids[3218 : 3218 + 250]] = JOINT_NAMES.index("neck")
    owner[ids[2000:2600]] = JAW
    tips = {
        f"{side}_{finger}": JOINT_NAMES.index(f"{side}_{finger}3") for side in ("left", "right") for finger in FINGERS
    }
    free = np.flatnonzero(owner < 0)
    rest = [j for j in range(55) if j not in (HEAD, JAW, 23, 24)]
    owner[free] = np.array(rest)[np.linspace(0, len(rest) - 1e-6, len(free)).astype(int)]
    for name, joint in tips.items():
        owner[VERTS[name]] = joint
    verts, along = np.zeros((SMPLX_VERTS, 3)), np.zeros(SMPLX_VERTS)
    for joint in range(55):
        rows = np.flatnonzero(owner == joint)
        verts[rows], along[rows] = _part(joint, len(rows), joints)
    for name, joint in tips.items():
        verts[VERTS[name]] = joints[joint] + (joints[joint] - joints[PARENTS[joint]])
    return Humanoid(verts, joints, _weights(owner, along), owner, _faces(owner, SMPLX_FACES), ids)


def _part(joint: int, count: int, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (N, 3) on a spiral round a bone, or on a ball for head, jaw and eyes, and where along it."""
    t = (np.arange(count) + 0.5) / count
    angle = 2 * np.pi * np.arange(count) / 12.4
    if joint in (HEAD, JAW, 23, 24):
        centre = joints[joint] + {HEAD: [0, 0.07, 0.02], JAW: [0, 0, 0.03]}.get(joint, [0, 0, 0])
        radius = {HEAD: 0.11, JAW: 0.05}.get(joint, 0.012)
        height = 1 - 2 * t
        ring = np.sqrt(1 - height**2)
        return centre + radius * np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], 1), np.ones(count)
    children = [child for child, parent in enumerate(PARENTS) if parent == joint]
    end = joints[children].mean(0) if children else joints[joint] + (joints[joint] - joints[PARENTS[joint]])
    bone = end - joints[joint]
    side = np.cross(bone, [0.3, 0.2, 1.0])
    side /= np.linalg.norm(side)
    other = np.cross(bone / np.linalg.norm(bone), side)
    radius = 0.008 if any(joint in HANDS[s] for s in HANDS) else 0.05
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    return joints[joint] + t[:, None] * bone + radius * ring, t


def _weights(owner: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Bind each vertex to its bone and, near the bone's beginning, to the one before."""
    weights = np.zeros((len(owner), 55))
    own = np.clip(0.5 + 2 * along, 0, 1)
    own[np.isin(owner, [0, HEAD, JAW, 23, 24])] = 1
    weights[np.arange(len(owner)), owner] = own
    weights[np.arange(len(owner)), np.maximum(np.array(PARENTS)[owner], 0)] += 1 - own
    return weights


def _faces(owner: np.ndarray, count: int) -> np.ndarray:
    """Join vertices of a part with their neighbours on the spiral; repeat some triangles to make up the number."""
    faces = []
    for part in np.unique(owner):
        rows = np.flatnonzero(owner == part)
        a, b, c, d = rows[:-13], rows[1:-12], rows[12:-1], rows[13:]
        faces += [np.stack([a, b, c], 1), np.stack([b, d, c], 1)]
    faces = np.concatenate(faces)
    return np.resize(faces, (count, 3)).astype(np.uint32)


def regressor(verts: np.ndarray, joints: np.ndarray, owner: np.ndarray, names: list[int]) -> np.ndarray:
    """Return rows (J, V) whose products with `verts` are the joints, with weights on the 60 nearest of the bone."""
    rows = np.zeros((len(joints), len(verts)))
    for j, joint in enumerate(joints):
        near = np.argsort(np.linalg.norm(verts - joint, axis=1) + 10 * (owner != names[j]))[:60]
        system = np.r_[verts[near].T, np.ones((1, 60))]
        rows[j, near] = np.linalg.lstsq(system, np.r_[joint, 1], rcond=None)[0]
    return rows


def directions(rng: np.random.Generator, verts: np.ndarray, size: float, count: int) -> np.ndarray:
    """Return smooth random directions (V, 3, count) [m]; the first makes the whole larger."""
    waves = np.sin(verts @ rng.normal(0, 5, (3, count)) + rng.uniform(0, 7, count))
    result = (size * waves)[:, None] * rng.normal(0, 1, (1, 3, count))
    result[..., 0] = 0.03 * verts
    return result


def smplx_arrays(seed: int = 0, body: Humanoid | None = None) -> dict[str, np.ndarray]:
    """Return what `SMPLX_NEUTRAL.npz` holds."""
    rng, body = np.random.default_rng(seed), body or humanoid()
    regress = regressor(body.verts, body.joints, body.owner, list(range(55)))
    head_faces = np.flatnonzero(np.isin(body.faces, body.vertex_ids).all(1))
    return {
        "v_template": body.verts, "f": body.faces, "shapedirs": directions(rng, body.verts, 0.004, 400),
        "posedirs": rng.normal(0, 1e-3, (SMPLX_VERTS, 3, 486)), "J_regressor": regress, "weights": body.weights,
        "kintree_table": np.stack([np.r_[NO_PARENT, PARENTS[1:]], np.arange(55)]).astype(np.uint32),
        "lmk_faces_idx": rng.choice(head_faces, 51), "lmk_bary_coords": rng.dirichlet(np.ones(3), 51),
        "dynamic_lmk_faces_idx": rng.choice(head_faces, (79, 17)),
        "dynamic_lmk_bary_coords": rng.dirichlet(np.ones(3), (79, 17)),
        "hands_meanl": rng.normal(0, 0.1, 45), "hands_meanr": rng.normal(0, 0.1, 45),
        "hands_componentsl": np.eye(45), "hands_componentsr": np.eye(45),
        "joint2num": np.array({name: k for k, name in enumerate(JOINT_NAMES)}, object),
    }  # fmt: skip


def flame_arrays(seed: int = 1, body: Humanoid | None = None, *, different: bool = True) -> dict[str, np.ndarray]:
    """Return what FLAME's `generic_model.pkl` holds.

    Args:
        different: whether the mean head is another than SMPL-X's.
    """
    rng, body = np.random.default_rng(seed), body or humanoid()
    ids = body.vertex_ids
    verts, owner = body.verts[ids] - FLAME_ORIGIN, body.owner[ids]
    joints = body.joints[[HEAD, JOINT_NAMES.index("neck"), JAW, 23, 24]] - FLAME_ORIGIN
    if different:
        verts, joints = (values * [1.1, 1.05, 1.08] + [0, 0.002, 0] for values in (verts, joints))
    names = [HEAD, JOINT_NAMES.index("neck"), JAW, 23, 24]
    weights = (owner[:, None] == names).astype(float)
    weights[:, 0] = 0.3 * (owner == names[1])
    weights[:, 1] = np.where(np.isin(owner, names[:2]), 1 - weights[:, 0], 0)
    weights[owner == JAW] = [0, 0.2, 0.8, 0, 0]
    faces = np.isin(body.faces, ids).all(1)
    faces = np.resize(np.searchsorted(ids, body.faces[faces]), (FLAME_FACES, 3)).astype(np.uint32)
    return {
        "v_template": verts, "f": faces, "shapedirs": directions(rng, verts, 0.002, 400),
        "posedirs": rng.normal(0, 5e-4, (FLAME_VERTS, 3, 36)), "weights": weights,
        "J_regressor": scipy.sparse.csc_matrix(regressor(verts, joints, owner, names)), "J": joints,
        "kintree_table": np.array([[NO_PARENT, 0, 1, 1, 1], range(5)], np.int64),
        "bs_style": "lbs", "bs_type": "lrotmin",
    }  # fmt: skip


def chumpy_pickle(arrays: dict, protocol: int = 2) -> bytes:
    """Pickle as Python 2 did, some arrays as objects of a package `chumpy` that is not installed."""
    module, package = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    held = dict(arrays)
    for name in ("v_template", "shapedirs", "posedirs"):
        held[name] = module.Ch()
        held[name].__dict__ = {"x": arrays[name], "_dirty_vars": set(), "_itr": None, "_depends_on_deps": {}}
    sys.modules |= {"chumpy": package, "chumpy.ch": module}
    try:
        return pickle.dumps(held, protocol=protocol)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


def lower_head(body: Humanoid) -> np.ndarray:
    """Return 218 of FLAME's vertices at the neck."""
    return np.flatnonzero(body.owner[body.vertex_ids] == JOINT_NAMES.index("neck"))[:218]


def write_folder(folder: Path, *, different: bool = True, extras: bool = True) -> Path:
    """Write the files of a user who has everything, or without `extras` what the two sites give."""
    body, rng = humanoid(), np.random.default_rng(2)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "SMPLX_NEUTRAL_2020.npz", **smplx_arrays(body=body))
    (folder / "generic_model.pkl").write_bytes(chumpy_pickle(flame_arrays(body=body, different=different)))
    np.save(folder / "SMPL-X__FLAME_vertex_ids.npy", body.vertex_ids)
    if extras:
        np.save(folder / "selected_lowerhead.npy", lower_head(body))
        for name in ("l_eyelid.npy", "r_eyelid.npy"):
            lid = np.zeros((FLAME_VERTS, 3))
            lid[100:500] = rng.normal(0, 1e-3, (400, 3))
            lid[2100:2110] = rng.normal(0, 1e-3, (10, 3))  # on skin that the jaw carries
            np.save(folder / name, lid)
        np.savez(
            folder / "mediapipe_landmark_embedding.npz", lmk_face_idx=rng.integers(0, FLAME_FACES, 105),
            lmk_b_coords=rng.dirichlet(np.ones(3), 105),
            landmark_indices=np.sort(rng.choice(468, 105, replace=False)),
        )  # fmt: skip
    return folder
