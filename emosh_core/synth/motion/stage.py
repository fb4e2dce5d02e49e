"""Put a score on a body: its legs reach the score's steps, its soles meet the floor, its hands meet their targets.

The rotations stay the score's but for hips, knees and ankles, which keep feet from sliding on legs of other
proportions; for arms that are to touch something; and for arms that would enter the trunk.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.body.joints import HANDS
from emosh_core.body.pose import Pose
from emosh_core.geometry.spans import spans
from emosh_core.synth.motion.arms import place_arms
from emosh_core.synth.motion.curves import smoothed
from emosh_core.synth.motion.footwork import ANKLE_HEIGHT
from emosh_core.synth.motion.limits import HARD, limited
from emosh_core.synth.motion.mannequin import Proportions, bend_leg, proportions, reach_down, walk_chain
from emosh_core.synth.motion.score import Score

SOLE = 160
"""Vertices of each foot that the floor is felt with."""
PRESSED = 0.002
"""A vertex this much higher than the lowest bears 1/e of its load [m]."""
PASSES = 3
"""Solutions of the legs: the feet as the score has them, then twice as the sole's shape corrects them."""
ROUNDS = 4
"""Corrections of an arm that is to stay out of the trunk; each closes most of what is left."""
CLEAR = 0.03
"""Forearms keep this far from the trunk's surface, beyond their own thickness [m]."""
THICK = {"elbow": 0.045, "middle": 0.04, "wrist": 0.03, "hand": 0.025}
"""Half the thickness of an arm at the points that are kept out of the trunk [m]."""
SLICES = 24
"""Of the trunk, for its girth."""
SMOOTH = 0.06
"""Corrections of arms are smoothed over time by this standard deviation [s]."""


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
    _hold_arms_out(turns, shaped, body, score.fps)
    shift = np.zeros((len(score), 2, 3))
    for number in range(PASSES):
        ankles = score.ankles + shift / body.leg
        ankles[..., 1] += body.sole / body.leg - ANKLE_HEIGHT
        lowered = place.copy()
        lowered[:, 1] -= reach_down(lowered, pelvis, ankles, body)
        for k in range(2):
            bend_leg(turns, k, lowered, pelvis, ankles[:, k], feet[k], _knees(score, k), body)
            turns[:, [7 + k]] = limited(turns[:, [7 + k]], joints=[7 + k], margin=HARD)
        pose = _pose(turns, lowered, score, shaped, body)
        if number < PASSES - 1:
            shift += _standing(score, pose, shaped)
    pose, hands = place_arms(score.touches, pose, shaped, score.fps)
    return Staged(pose=pose, contacts=np.concatenate([hands, score.planted], 1), blink=score.blink.astype(np.float32))


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
    """Return the model with little more than the vertices under the feet, and where these are."""
    chosen = []
    for k in range(2):
        share = model.lbs_weights[:, [7 + k, 10 + k]].sum(1)
        own = torch.nonzero(share > 0.95)[:, 0]
        chosen.append(own[model.template[own, 1].argsort()[:SOLE]])
    slim = model.for_landmarks(torch.cat(chosen))
    return slim, [torch.searchsorted(slim.kept_verts, ids.sort().values) for ids in chosen]


def _standing(score: Score, pose: Pose, shaped: ShapedBody) -> np.ndarray:
    """Return by how much (T, 2, 3) [m] each foot must move to stand on the floor where it stood before.

    In a swing it passes over the floor, and from one stand's correction to the next one's.
    """
    slim, soles = _soles(shaped.model)
    with torch.no_grad():
        verts = shaped.thinned(slim).with_pose(pose).verts
    shift, frames = np.zeros((len(score), 2, 3)), np.arange(len(score))
    for k, ids in enumerate(soles):
        sole, on = verts[:, ids].double().cpu().numpy(), score.planted[:, k]
        up = -sole[..., 1].min(1)
        if not on.any():
            shift[:, k, 1] = up.clip(0)
            continue
        x, z = _unslid(sole, on).T
        for axis, column in enumerate((x, up, z)):
            shift[:, k, axis] = np.interp(frames, frames[on], column[on])
        shift[:, k, 1] = np.where(on, up, np.maximum(shift[:, k, 1], up))
    return shift


def _unslid(sole: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Return moves (T, 2) [m] along x and z with which the lowest points of a sole (T, N, 3) stay while `on` (T,)."""
    low = sole[..., 1] - sole[..., 1].min(1, keepdims=True)
    share = np.exp(-low / PRESSED)
    share /= share.sum(1, keepdims=True)
    step = np.diff(sole[..., [0, 2]], axis=0)
    slip = ((share[:-1] + share[1:])[..., None] / 2 * step).sum(1)
    moves = np.zeros((len(sole), 2))
    for start, stop in spans(on):
        path = np.concatenate([np.zeros((1, 2)), -slip[start : stop - 1].cumsum(0)])
        # Where the foot is flat it stays where the score has it.
        moves[start:stop] = path - path[int(low[start:stop].mean(1).argmin())]
    return moves


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


def _hold_arms_out(turns: np.ndarray, shaped: ShapedBody, body: _Body, fps: float) -> None:
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
            _swing(turns, turned, k, wrist - shoulder, pushes * _eased(depth, SMOOTH * fps)[:, None])


def _eased(depth: np.ndarray, frames: float) -> np.ndarray:
    return np.maximum(smoothed(depth, frames), 0.9 * depth)


def _swing(turns: np.ndarray, turned: np.ndarray, k: int, arm: np.ndarray, push: np.ndarray) -> None:
    """Turn a shoulder so that the arm (T, 3) moves along push (T, 3), whose length is the angle [rad]."""
    along = arm / np.linalg.norm(arm, axis=1, keepdims=True)
    axis = np.cross(along, push)
    parent = Rotation.from_matrix(turned[:, 13 + k])
    joint = 16 + k
    swing = parent.inv() * Rotation.from_rotvec(axis) * parent
    turns[:, joint] = (swing * Rotation.from_rotvec(turns[:, joint])).as_rotvec()
