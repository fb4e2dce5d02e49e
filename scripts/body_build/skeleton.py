"""Merge MakeHuman's 163 bones into the 55 SMPL-X joints and turn the A-pose into a T-pose."""

import numpy as np
from scipy.spatial.transform import Rotation

from emosh_core.body.joints import JOINT_NAMES, PARENTS

LIMB_BONES = {
    "hip": ["upperleg01", "upperleg02"], "knee": ["lowerleg01", "lowerleg02"], "ankle": ["foot"],
    "collar": ["clavicle", "shoulder01"], "shoulder": ["upperarm01", "upperarm02"],
    "elbow": ["lowerarm01", "lowerarm02"],
    "wrist": ["wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4"],
    **{f"{finger}{k}": [f"finger{number}-{k}"]
       for number, finger in enumerate(("thumb", "index", "middle", "ring", "pinky"), 1) for k in (1, 2, 3)},
}
"""Bones of one side that move with a joint; the first one's head is the joint."""

TRUNK_BONES = {
    "pelvis": ["root", "pelvis.L", "pelvis.R", "spine05", "spine04"], "spine1": ["spine03"],
    "spine2": ["spine02", "breast.L", "breast.R"], "spine3": ["spine01"],
    "neck": ["neck01", "neck02", "neck03"], "head": ["head"], "jaw": ["jaw"],
    "left_eye_smplhf": ["eye.L"], "right_eye_smplhf": ["eye.R"],
}


def joint_bones() -> dict[str, list[str]]:
    """Return, for each of the 55 joints, the bones whose motion it takes over."""
    bones = dict(TRUNK_BONES)
    for side, suffix in (("left", "L"), ("right", "R")):
        for joint, names in LIMB_BONES.items():
            bones[f"{side}_{joint}"] = [f"{name}.{suffix}" for name in names]
        bones[f"{side}_foot"] = [f"toe{k}-1.{suffix}" for k in range(1, 6)]
    return {name: bones[name] for name in JOINT_NAMES}


def joint_regressor(bone_names: list[str]) -> np.ndarray:
    """Return (55, b): each joint as a convex combination of bone heads."""
    regressor = np.zeros((55, len(bone_names)))
    for row, (name, bones) in enumerate(joint_bones().items()):
        if name == "pelvis":
            # MakeHuman's root lies in the crotch; SMPL-X's pelvis between the hips and the first vertebra.
            parts = {"upperleg01.L": 0.275, "upperleg01.R": 0.275, "spine03": 0.45}
        elif name.endswith("foot"):
            parts = dict.fromkeys(bones, 0.2)
        else:
            parts = {bones[0]: 1.0}
        for bone, weight in parts.items():
            regressor[row, bone_names.index(bone)] = weight
    return regressor


def merge_weights(weights: np.ndarray, bone_names: list[str], bone_parents: list[int]) -> np.ndarray:
    """Sum bone weights (V, b) into joint weights (V, 55); an unlisted bone follows its nearest listed ancestor."""
    owner = {bone: row for row, bones in enumerate(joint_bones().values()) for bone in bones}
    merged = np.zeros((len(weights), 55))
    for index in range(len(bone_names)):
        ancestor = index
        while bone_names[ancestor] not in owner:
            ancestor = bone_parents[ancestor]
        merged[:, owner[bone_names[ancestor]]] += weights[:, index]
    merged[merged < 1e-4] = 0
    return merged / merged.sum(1, keepdims=True)


def _align(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that takes the direction of `source` to that of `target`."""
    source, target = source / np.linalg.norm(source), target / np.linalg.norm(target)
    axis = np.cross(source, target)
    sine = np.linalg.norm(axis)
    if sine < 1e-12:
        return np.eye(3)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, source @ target)).as_matrix()


def rest_rotations(joints: np.ndarray, tips: dict[str, np.ndarray]) -> np.ndarray:
    """Return A (55, 3, 3): how far each bone must turn from the rest A-pose to SMPL-X's T-pose.

    Args:
        joints: (55, 3) mean rest joints [m].
        tips: finger tips (3,) [m] by name of the last joint of the finger, e.g. "left_index3".
    """
    index = {name: i for i, name in enumerate(JOINT_NAMES)}
    rest = {name: joints[i] for name, i in index.items()}
    turn = np.broadcast_to(np.eye(3), (55, 3, 3)).copy()

    def straighten(name: str, towards: np.ndarray, target: np.ndarray, twist: np.ndarray | None = None):
        base = turn[PARENTS[index[name]]] if twist is None else twist @ turn[PARENTS[index[name]]]
        turn[index[name]] = _align(base @ (towards - rest[name]), target) @ base

    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = np.array([sign, 0.0, 0.0])
        down = np.array([0.0, -1.0, 0.0])
        straighten(f"{side}_hip", rest[f"{side}_knee"], down)
        straighten(f"{side}_knee", rest[f"{side}_ankle"], down)
        toes = rest[f"{side}_foot"] - rest[f"{side}_ankle"]
        turn[index[f"{side}_ankle"]] = _align(toes * [1, 0, 1], np.array([0.1 * sign, 0.0, 1.0]))
        turn[index[f"{side}_foot"]] = turn[index[f"{side}_ankle"]]
        straighten(f"{side}_shoulder", rest[f"{side}_elbow"], out)
        straighten(f"{side}_elbow", rest[f"{side}_wrist"], out)
        _turn_hand(side, out, rest, index, turn, tips)
    return turn


def _turn_hand(side, out, rest, index, turn, tips):
    """Turn one hand palm down with straight fingers; half of the twist goes into the forearm."""
    wrist, elbow = index[f"{side}_wrist"], index[f"{side}_elbow"]
    knuckles = {finger: rest[f"{side}_{finger}1"] for finger in ("index", "middle", "ring", "pinky")}
    across = turn[elbow] @ (knuckles["index"] - knuckles["pinky"])
    twist = np.arctan2(*(across[[1, 2]] * [1, 1]))  # about x: brings index-minus-pinky to +z (thumb side forward)
    turn[elbow] = Rotation.from_rotvec([0.5 * twist, 0, 0]).as_matrix() @ turn[elbow]
    base = Rotation.from_rotvec([0.5 * twist, 0, 0]).as_matrix() @ turn[elbow]
    centre = np.mean(list(knuckles.values()), 0)
    turn[wrist] = _align(base @ (centre - rest[f"{side}_wrist"]), out) @ base
    for finger in ("index", "middle", "ring", "pinky", "thumb"):
        chain = [f"{side}_{finger}{k}" for k in (1, 2, 3)]
        points = [rest[name] for name in chain] + [tips[chain[-1]]]
        straight = turn[wrist] @ (points[3] - points[0])
        if finger != "thumb":
            straight = straight * [1, 0, 0.5]
        for k, name in enumerate(chain):
            bone = turn[wrist] @ (points[k + 1] - points[k])
            turn[index[name]] = _align(bone, straight) @ turn[wrist]
