"""Put a score on a body: its legs reach the score's steps, its soles meet the floor, its hands meet their targets.

The rotations stay the score's but for hips, knees and ankles, which keep feet from sliding on legs of other
proportions; for arms that are to touch something; and for arms that would enter the trunk.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from emosh_core.artifacts import CONTACTS, keypoint_slice
from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.body.joints import HANDS
from emosh_core.body.pose import Pose
from emosh_core.synth.motion.footwork import ANKLE_HEIGHT
from emosh_core.synth.motion.mannequin import Proportions, bend_leg, proportions, reach_down, walk_chain
from emosh_core.synth.motion.score import Score

SOLE = 160
"""Vertices of each foot that the floor is felt with."""
ROUNDS = 4
"""Corrections of an arm that is to touch something, or to stay out of the trunk; each closes most of what is left."""
SKIN = 0.004
"""Hands stop this far off what they touch [m]."""
TOUCHING = 0.5
"""Weight of a touch from which on it counts as one."""
CLEAR = 0.03
"""Forearms keep this far from the trunk's surface, beyond their own thickness [m]."""
THICK = {"elbow": 0.045, "middle": 0.04, "wrist": 0.03, "hand": 0.025}
"""Half the thickness of an arm at the points that are kept out of the trunk [m]."""
SLICES = 24
"""Of the trunk, for its girth."""
SMOOTH = 1.5
"""Corrections of arms are smoothed over time by this standard deviation [frames of 25 per second]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Staged:
    """A performance on a body."""

    pose: Pose
    """T frames, with the pelvis' place."""
    contacts: np.ndarray
    """(T, 7) bool, in the order of `artifacts.CONTACTS`."""
    blink: np.ndarray
    """(T, 2) how far each eye is shut."""


def stage(score: Score, shaped: ShapedBody) -> Staged:
    """Perform a score on a body; its feet stand on the floor y = 0."""
    turns, place = score.turns.copy(), score.place
    body = _proportions(shaped)
    pelvis = Rotation.from_rotvec(turns[:, 0])
    feet = _feet(turns, score)
    _hold_arms_out(turns, shaped, body)
    pose = None
    for lift in (np.zeros((len(score), 2)), None):
        ankles = score.ankles.copy()
        ankles[..., 1] += body.sole / body.leg - ANKLE_HEIGHT
        if lift is None:
            # How far the lowest point of each posed foot is from the floor does not depend on hips and knees.
            ankles[..., 1] += _floor(score, pose, shaped) / body.leg
        lowered = place.copy()
        lowered[:, 1] -= reach_down(lowered, pelvis, ankles, body)
        for k in range(2):
            bend_leg(turns, k, lowered, pelvis, ankles[:, k], feet[k], _knees(score, k), body)
        pose = _pose(turns, lowered, score, shaped, body)
    pose = _touch(score, pose, shaped)
    return Staged(pose=pose, contacts=_contacts(score), blink=score.blink.astype(np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Body(Proportions):
    sole: float
    """Height of the ankle over the sole in the T-pose [m]."""


def _proportions(shaped: ShapedBody) -> _Body:
    still = torch.eye(3).expand(1, 55, 3, 3).to(shaped.rest_joints)
    with torch.no_grad():
        posed = shaped.with_rotmats(still, shaped.rest_joints.new_zeros(1, 52), shaped.rest_joints.new_zeros(1, 3))
    joints = posed.joints[0].double().cpu().numpy()
    low = float(posed.verts[0, :, 1].min())
    leg = sum(np.linalg.norm(joints[a] - joints[b]) for a, b in ((1, 4), (4, 7)))
    arm = sum(np.linalg.norm(joints[a] - joints[b]) for a, b in ((16, 18), (18, 20)))
    return _Body(joints=(joints - joints[0]) / leg, leg=leg, arm=arm, standing=(joints[0, 1] - low) / leg,
                 sole=joints[7, 1] - low)  # fmt: skip


def _feet(turns: np.ndarray, score: Score) -> list[Rotation]:
    """Return how both feet are turned in the world, on any body."""
    _, turned = walk_chain(turns, proportions().joints)
    return [Rotation.from_matrix(turned[:, 7 + k]) for k in range(2)]


def _knees(score: Score, k: int) -> np.ndarray:
    """Return (T, 3) where a knee of the score points: away from the line from hip to ankle, and forward."""
    joints, turned = walk_chain(score.turns, proportions().joints)
    hip, knee, ankle = (joints[:, j + k] for j in (1, 4, 7))
    line = ankle - hip
    bent = knee - hip - line * (((knee - hip) * line).sum(-1) / (line**2).sum(-1))[:, None]
    return bent + 0.02 * turned[:, 1 + k, :, 2]


def _pose(turns: np.ndarray, place: np.ndarray, score: Score, shaped: ShapedBody, body: _Body) -> Pose:
    number = lambda values: torch.as_tensor(np.asarray(values, np.float32), device=shaped.rest_joints.device)  # noqa: E731
    transl = place * body.leg + [0, body.standing * body.leg, 0] - shaped.rest_joints[0].double().cpu().numpy()
    return Pose(
        global_orient=number(turns[:, 0]), body_pose=number(turns[:, 1:22]), jaw_pose=number(turns[:, 22]),
        eye_pose=number(turns[:, 23:25]), left_hand_pose=number(turns[:, 25:40]),
        right_hand_pose=number(turns[:, 40:55]), expression=number(score.expression), transl=number(transl),
    )  # fmt: skip


@lru_cache(maxsize=4)
def _soles(model: EhmModel) -> tuple[EhmModel, list[torch.Tensor]]:
    """Return the model's landmark vertices with those under the feet, and where these are."""
    chosen = []
    for k in range(2):
        share = model.lbs_weights[:, [7 + k, 10 + k]].sum(1)
        own = torch.nonzero(share > 0.95)[:, 0]
        chosen.append(own[model.template[own, 1].argsort()[:SOLE]])
    slim = model.for_landmarks(torch.cat(chosen))
    return slim, [torch.searchsorted(slim.kept_verts, ids.sort().values) for ids in chosen]


def _slim(shaped: ShapedBody) -> tuple[ShapedBody, list[torch.Tensor]]:
    """Return somebody with few vertices, and which of these are under each foot."""
    slim, soles = _soles(shaped.model)
    kept = slim.kept_verts
    full, small = torch.full((len(shaped.model.template),), -1, dtype=torch.long), shaped.model.expression_verts
    full[small.cpu()] = torch.arange(len(small))
    rows = full[kept[slim.expression_verts].cpu()]
    return ShapedBody(model=slim, rest_verts=shaped.rest_verts[kept], rest_joints=shaped.rest_joints,
                      expression_gain=shaped.expression_gain[rows.to(kept.device)]), soles  # fmt: skip


def _floor(score: Score, pose: Pose, shaped: ShapedBody) -> np.ndarray:
    """Return by how much (T, 2) [m] each foot must go up to stand on the floor, or to pass over it in a swing."""
    slim, soles = _slim(shaped)
    with torch.no_grad():
        verts = slim.with_pose(pose).verts
    up = np.stack([-verts[:, ids, 1].amin(1).double().cpu().numpy() for ids in soles], 1)
    frames = np.arange(len(score))
    for k in range(2):
        on = score.planted[:, k]
        if on.any():
            held = np.interp(frames, frames[on], up[on, k])
            up[:, k] = np.where(on, up[:, k], np.maximum(held, up[:, k]))
        else:
            up[:, k] = up[:, k].clip(0)
    return up


def _girth(shaped: ShapedBody) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return heights above the pelvis (S,), and half width and half depth (S, 2) with the middle's z (S,) [m]."""
    model = shaped.model
    arms = model.lbs_weights[:, [16, 17, 18, 19, 20, 21, *HANDS["left"], *HANDS["right"]]].sum(1)
    trunk = model.lbs_weights[:, [0, 3, 6, 9, 13, 14]].sum(1)
    verts = shaped.rest_verts[(arms < 0.1) & (trunk > 0.4)].double().cpu().numpy()
    edges = np.linspace(verts[:, 1].min(), verts[:, 1].max(), SLICES + 1)
    heights, halves, middles = (edges[1:] + edges[:-1]) / 2, [], []
    for low, high in pairwise(edges):
        own = verts[(verts[:, 1] >= low) & (verts[:, 1] <= high)]
        own = own if len(own) > 8 else verts
        z = np.quantile(own[:, 2], [0.02, 0.98])
        halves.append((np.quantile(np.abs(own[:, 0]), 0.98), (z[1] - z[0]) / 2))
        middles.append(z.mean())
    return heights, np.array(halves), np.array(middles)


def _hold_arms_out(turns: np.ndarray, shaped: ShapedBody, body: _Body) -> None:
    """Swing arms away from the trunk (an upright elliptic column in the axes of spine2) where they would enter it."""
    heights, halves, middles = _girth(shaped)
    for _ in range(ROUNDS):
        joints, turned = walk_chain(turns, body.joints * body.leg)
        frame, origin = Rotation.from_matrix(turned[:, 6]), joints[:, 0]
        for k in range(2):
            shoulder, elbow, wrist, hand = (joints[:, j] for j in (16 + k, 18 + k, 20 + k, (28, 43)[k]))
            pushes = np.zeros((len(turns), 3))
            depth = np.zeros(len(turns))
            for name, point in (("elbow", elbow), ("middle", (elbow + wrist) / 2), ("wrist", wrist), ("hand", hand)):
                local = frame.inv().apply(point - origin)
                girth = [np.interp(local[:, 1], heights, side, left=0.02, right=0.02) for side in halves.T]
                half = np.stack(girth, 1) + THICK[name] + CLEAR
                across = local[:, [0, 2]] - np.stack([0 * local[:, 0], np.interp(local[:, 1], heights, middles)], 1)
                inside = np.sqrt(((across / half) ** 2).sum(1))
                out = across / half**2
                out /= np.linalg.norm(out, axis=1, keepdims=True).clip(1e-6)
                deep = ((1 - inside) * np.linalg.norm(across, axis=1) / inside.clip(0.2)).clip(0, 0.25)
                arm = np.linalg.norm(point - shoulder, axis=1).clip(0.15)
                better = deep / arm > depth
                depth = np.where(better, deep / arm, depth)
                push = frame.apply(np.stack([out[:, 0], 0 * out[:, 0], out[:, 1]], 1))
                pushes[better] = push[better]
            _swing(turns, turned, k, wrist - shoulder, pushes * _eased(depth)[:, None])


def _eased(depth: np.ndarray) -> np.ndarray:
    return np.maximum(gaussian_filter1d(depth, SMOOTH, mode="nearest"), 0.9 * depth)


def _swing(turns: np.ndarray, turned: np.ndarray, k: int, arm: np.ndarray, push: np.ndarray) -> None:
    """Turn a shoulder so that the arm (T, 3) moves along push (T, 3), whose length is the angle [rad]."""
    along = arm / np.linalg.norm(arm, axis=1, keepdims=True)
    axis = np.cross(along, push)
    parent = Rotation.from_matrix(turned[:, 13 + k])
    joint = 16 + k
    swing = parent.inv() * Rotation.from_rotvec(axis) * parent
    turns[:, joint] = (swing * Rotation.from_rotvec(turns[:, joint])).as_rotvec()


def _touch(score: Score, pose: Pose, shaped: ShapedBody) -> Pose:
    """Bend shoulders and elbows until hands meet what they are to touch, as far as each touch weighs."""
    touches = [touch for touch in score.touches if touch.weight.max() > 1e-3]
    if not touches:
        return pose
    slim, _ = _slim(shaped)
    begun: list[np.ndarray] = []
    for _ in range(ROUNDS):
        with torch.no_grad():
            posed = slim.with_pose(pose)
        marks, joints = posed.landmarks().double().cpu().numpy(), posed.joints.double().cpu().numpy()
        turned = posed.rotmats.double().cpu().numpy()
        body_pose = pose.body_pose.double().cpu().numpy()
        begun = begun or [_probe(touch, marks) for touch in touches]
        for touch, start in zip(touches, begun, strict=True):
            # A touch that weighs half goes half the way, in however many rounds.
            wanted = start + touch.weight[:, None] * (_target(touch, marks, joints, turned) - start)
            _reach_for(body_pose, turned, joints, touch.hand, wanted - _probe(touch, marks))
        pose = Pose(**{**vars(pose), "body_pose": torch.as_tensor(body_pose).to(pose.body_pose)})
    return pose


def _probe(touch, marks: np.ndarray) -> np.ndarray:
    """Return the point (T, 3) of the hand that touches: the palm, or the middle finger's tip at the face."""
    hand = marks[:, keypoint_slice(("left_hand", "right_hand")[touch.hand])]
    if touch.target in ("cheek", "chin", "head"):
        return hand[:, [8, 12]].mean(1)
    return (hand[:, 0] + 2 * hand[:, 9]) / 3


def _target(touch, marks: np.ndarray, joints: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Return where the hand's point is to be (T, 3)."""
    face, k = marks[:, keypoint_slice("face")], touch.hand
    if touch.target == "hand":
        both = [_probe(type(touch)(hand=side, target="hand", weight=touch.weight), marks) for side in (0, 1)]
        across = both[0] - both[1]
        length = np.linalg.norm(across, axis=1, keepdims=True)
        # Palms are two centimetres thick from bone to skin.
        return (both[0] + both[1]) / 2 + (1, -1)[k] * 0.018 * across / length.clip(1e-6)
    if touch.target == "hip":
        hip, side = joints[:, 1 + k], turned[:, 0, :, 0] * (1, -1)[k]
        width = np.linalg.norm(joints[:, 1] - joints[:, 2], axis=1, keepdims=True)
        return hip + turned[:, 0, :, 1] * 0.11 + side * (0.42 * width + 0.03) + turned[:, 0, :, 2] * 0.02
    number = {"cheek": (425, 205), "chin": (152, 152), "head": (297, 67)}[touch.target][k]
    away = turned[:, 15, :, 2] * SKIN * 2
    return face[:, number] + away + (turned[:, 15, :, 1] * 0.045 if touch.target == "head" else 0)


def _reach_for(body_pose: np.ndarray, turned: np.ndarray, joints: np.ndarray, k: int, gap: np.ndarray) -> None:
    """Change shoulder and elbow (in place) so that the wrist moves by gap (T, 3) [m]; the hand keeps its direction."""
    shoulder, elbow, wrist = (joints[:, j + k] for j in (16, 18, 20))
    upper, lower = np.linalg.norm(elbow - shoulder, axis=1), np.linalg.norm(wrist - elbow, axis=1)
    line, wanted = wrist - shoulder, wrist + gap - shoulder
    length = np.linalg.norm(line, axis=1)
    reach = np.linalg.norm(wanted, axis=1).clip(0.25 * upper, 0.997 * (upper + lower))
    angle = lambda d: np.arccos(((upper**2 + lower**2 - d**2) / (2 * upper * lower)).clip(-1, 1))  # noqa: E731
    hinge = np.cross(elbow - shoulder, wrist - elbow)
    hinge /= np.linalg.norm(hinge, axis=1, keepdims=True).clip(1e-6)
    # The elbow first, about its hinge; then the shoulder takes the new line to the wanted one.
    open_ = Rotation.from_rotvec(hinge * (angle(length) - angle(reach))[:, None])
    bent = elbow - shoulder + open_.apply(wrist - elbow)
    axis = np.cross(bent, wanted)
    sine, cosine = np.linalg.norm(axis, axis=1), (bent * wanted).sum(1)
    swing = Rotation.from_rotvec(axis / sine.clip(1e-9)[:, None] * np.arctan2(sine, cosine)[:, None])
    collar, arm, fore, hand = (Rotation.from_matrix(turned[:, j + k]) for j in (13, 16, 18, 20))
    arm_new, fore_new = swing * arm, swing * open_ * fore
    body_pose[:, 15 + k] = (collar.inv() * arm_new).as_rotvec()
    body_pose[:, 17 + k] = (arm_new.inv() * fore_new).as_rotvec()
    body_pose[:, 19 + k] = (fore_new.inv() * hand).as_rotvec()


def _contacts(score: Score) -> np.ndarray:
    found = np.zeros((len(score), len(CONTACTS)), bool)
    for touch in score.touches:
        side = ("left", "right")[touch.hand]
        name = "left_hand-right_hand" if touch.target == "hand" else (
            f"{side}_hand-torso" if touch.target == "hip" else f"{side}_hand-head"
        )  # fmt: skip
        found[:, CONTACTS.index(name)] |= touch.weight > TOUCHING
    for k, side in enumerate(("left", "right")):
        found[:, CONTACTS.index(f"{side}_foot-floor")] = score.planted[:, k]
    return found

