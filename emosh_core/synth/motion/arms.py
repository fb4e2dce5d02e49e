"""Arms of a performance on a body: hands meet what they are to touch, and no hand or forearm is inside the body.

Both are felt with the same probes as the contacts of a tracked clip are found with. An arm moves by its wrist: shoulder
and elbow bend, the hand keeps its direction as far as the wrist turns.
"""

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation
from torch import Tensor

from emosh_core.artifacts import CONTACTS
from emosh_core.body.ehm import ShapedBody
from emosh_core.body.ik import LIMBS, move_end, shortest_arc, within_reach
from emosh_core.body.pose import Pose
from emosh_core.body.probes import PosedProbes, distances, lowest, probes_of
from emosh_core.geometry.spans import hysteresis
from emosh_core.synth.motion.actions import Touch
from emosh_core.synth.motion.curves import ease, smoothed
from emosh_core.synth.motion.limits import HARD, limited

ROUNDS = 6
"""Corrections of an arm; each closes most of what is left."""
LAST = 2
"""Of these, the corrections in which nothing is reached for any more, only kept out."""
SKIN, CLEAR = 0.002, 0.010
"""How far off a surface a hand stays [m] that touches it, and one that only passes."""
BEGINS, ENDS = 0.006, 0.009
"""Gap between surfaces [m] below which a contact begins, above which it ends."""
NEAR, FAR = 0.03, 0.08
"""Below the first gap [m] a hand closes in along the surface's normal; from the second on it goes straight to its goal.
"""
ASIDE = 0.022
"""How far beside the nearest probe a point may be for its tangent plane to say how far off the surface is [m]."""
SMOOTH = 0.08
"""Standard deviation of the blur of corrections over time [s]."""
MUSCLE = 0.05
"""Standard deviation of the blur of arms before they are corrected [s]; muscles need as long for a force."""
SIDES = ("left", "right")
HIP = (1.0, 0.02)
"""Where hands rest on the hips: height from hip joint to spine1 as a share, and metres before the pelvis' middle."""


def place_arms(touches: tuple[Touch, ...], pose: Pose, shaped: ShapedBody, fps: float) -> tuple[Pose, np.ndarray]:
    """Bend shoulders and elbows until hands meet what they are to touch, as far as each touch weighs, and stay outside.

    Returns:
        The pose, and which of the contacts of hands there are (T, 5) bool, measured.
    """
    probes = probes_of(shaped.model).of(shaped)
    touches = tuple(touch for touch in touches if touch.weight.max() > 1e-3)
    pose = _even(_facing(touches, pose, probes.posed(pose), fps), fps)
    begun = None
    for number in range(ROUNDS + 1):
        with torch.no_grad():
            body = probes.posed(pose)
        gaps = _Gaps(body)
        move = torch.zeros(2, len(body.joints), 3)
        if touches and number < ROUNDS - LAST:
            ends = [_point(touch, body) for touch in touches]
            begun = begun or ends
            for touch, start, end in zip(touches, begun, ends, strict=True):
                # A touch that weighs half goes half the way, in however many rounds.
                weight = torch.as_tensor(touch.weight, dtype=torch.float32)[:, None]
                move[touch.hand] += (1 - weight) * (start - end) + weight * _way(touch, end, gaps, fps)
        move += _way_out(gaps, move, _clearance(touches, len(pose.transl)), fps)
        if number == ROUNDS or (not touches and float(move.abs().max()) < SKIN):
            break
        pose = _moved(pose, body, move)
    return pose, _contacts(gaps)


def _facing(touches: tuple[Touch, ...], pose: Pose, body: PosedProbes, fps: float) -> Pose:
    """Turn palms that lie on something at some time towards it, as far as wrists turn."""
    body_pose = pose.body_pose.clone()
    for touch in touches:
        k = touch.hand
        if touch.target == "hand":
            wanted = -body.posed.rotmats[:, 9, :, 0] * (1, -1)[k]  # to the other side of the chest
        elif touch.target == "hip":
            wanted = -body.normals("torso", _hip(k, body).expand(len(pose.transl), 1))[:, 0]
        else:
            continue
        fore, hand = body.posed.rotmats[:, 18 + k], body.posed.rotmats[:, 20 + k]
        marks = body.posed.landmarks(f"{SIDES[k]}_hand")
        # Left palms look along pinky × index, right ones against it.
        palm = torch.linalg.cross(marks[:, 17] - marks[:, 0], marks[:, 5] - marks[:, 0]) * (1, -1)[k]
        # Between claps hands stay as they are.
        weight = gaussian_filter1d(maximum_filter1d(touch.weight, int(fps) | 1, mode="nearest"), 0.25 * fps)
        turn = Rotation.from_matrix(shortest_arc(palm, wanted).double().numpy()).as_rotvec() * weight[:, None]
        local = fore.mT.double().numpy() @ Rotation.from_rotvec(turn).as_matrix() @ hand.double().numpy()
        turns = limited(Rotation.from_matrix(local).as_rotvec()[:, None], joints=[20 + k], margin=HARD)
        body_pose[:, 19 + k] = torch.as_tensor(turns[:, 0]).to(body_pose)
    return Pose(**{**vars(pose), "body_pose": body_pose})


def _even(pose: Pose, fps: float) -> Pose:
    """Blur the turns of arms over a time in which no muscle changes its force."""
    arms = [j - 1 for side in SIDES for j in LIMBS[f"{side}_hand"].joints]
    turns = Rotation.from_rotvec(pose.body_pose[:, arms].double().reshape(-1, 3).numpy()).as_matrix()
    turns = smoothed(turns.reshape(-1, len(arms), 3, 3), MUSCLE * fps)
    body_pose = pose.body_pose.clone()
    body_pose[:, arms] = roma.rotmat_to_rotvec(roma.special_procrustes(torch.as_tensor(turns))).to(body_pose)
    return Pose(**{**vars(pose), "body_pose": body_pose})


class _Gaps:
    """How high an arm is over the surfaces around it in T frames: (T,) [m], negative inside, and where up is (T, 3)."""

    def __init__(self, body: PosedProbes) -> None:
        self.body, self._known = body, {}

    def __call__(self, part: str, other: str) -> tuple[Tensor, Tensor]:
        if (part, other) not in self._known:
            self._known[part, other] = (self._palms if other.endswith("_hand") else self._over)(part, other)
        return self._known[part, other]

    def _palms(self, hand: str, other: str) -> tuple[Tensor, Tensor]:
        """Between hands, fingers among fingers, up is from palm to palm."""
        apart = _palm(self.body, SIDES.index(hand[:-5])) - _palm(self.body, SIDES.index(other[:-5]))
        gap = torch.minimum(self._over(hand, other)[0], self._over(other, hand)[0])
        return gap, torch.nn.functional.normalize(apart, dim=-1)

    def _over(self, part: str, other: str) -> tuple[Tensor, Tensor]:
        body = self.body
        distance, nearest, height = distances(body, (part, other), torch.ones(len(body.joints), dtype=torch.bool))
        beside = (distance**2 - height**2).clamp(min=0).sqrt() > ASIDE
        height = torch.where(beside, distance.abs(), height).nan_to_num(posinf=1.0)
        least, rows, share = lowest(height)
        up = (body.normals(other, nearest.gather(1, rows)) * share[..., None]).sum(1)
        return torch.minimum(least, height.amin(1) + SKIN), torch.nn.functional.normalize(up, dim=-1)


def _palm(body: PosedProbes, k: int) -> Tensor:
    hand = body.posed.landmarks(f"{SIDES[k]}_hand")
    return (hand[:, 0] + 2 * hand[:, 9]) / 3


def _point(touch: Touch, body: PosedProbes) -> Tensor:
    """Return the point (T, 3) of the hand that touches: the palm, or fingers at the face."""
    if touch.target in ("cheek", "chin", "head"):
        return body.posed.landmarks(f"{SIDES[touch.hand]}_hand")[:, [8, 12]].mean(1)
    return _palm(body, touch.hand)


def _way(touch: Touch, end: Tensor, gaps: _Gaps, fps: float) -> Tensor:
    """Return how the hand is to move (T, 3) [m]: its point over the target's, its surface onto the target's."""
    hand, k, body = f"{SIDES[touch.hand]}_hand", touch.hand, gaps.body
    if touch.target == "hand":
        gap, up = gaps(hand, f"{SIDES[1 - k]}_hand")
        return -up * (gap[:, None] - SKIN) / 2
    if touch.target == "hip":
        goal, (gap, up) = body.verts("torso")[:, _hip(k, body)], gaps(hand, "torso")
    else:
        face = body.posed.landmarks("face")
        number = {"cheek": (425, 205), "chin": (152, 152), "head": (297, 67)}[touch.target][k]
        goal, (gap, up) = face[:, number], gaps(hand, "head")
        if touch.target == "head":
            goal = goal + 0.045 * body.posed.rotmats[:, 15, :, 1]
    way = goal - end
    aside = way - (way * up).sum(-1, keepdim=True) * up
    near = torch.as_tensor(ease((FAR - gap.numpy()) / (FAR - NEAR)), dtype=way.dtype)[:, None]
    way = way + near * (aside - up * (gap[:, None] - SKIN) - way)
    return torch.as_tensor(smoothed(way.numpy(), SMOOTH * fps))


def _hip(k: int, body: PosedProbes) -> Tensor:
    """Return which probe of the torso () is the outermost of a side of the waist."""
    rest, joints = body.of.shaped.rest_verts[body.of.probes.regions["torso"]], body.of.shaped.rest_joints
    level = joints[1 + k, 1] + HIP[0] * (joints[3, 1] - joints[1 + k, 1])
    off = (rest[:, 1] - level).abs() + (rest[:, 2] - joints[0, 2] - HIP[1]).abs() - (1, -1)[k] * rest[:, 0]
    return off.argmin()


def _clearance(touches: tuple[Touch, ...], frames: int) -> dict[tuple[str, str], Tensor]:
    """Return how far (T,) [m] each hand stays off what it is to touch at some time."""
    found = {}
    for touch in touches:
        hand = f"{SIDES[touch.hand]}_hand"
        other = {"hand": f"{SIDES[1 - touch.hand]}_hand", "hip": "torso"}.get(touch.target, "head")
        weight = torch.as_tensor(touch.weight, dtype=torch.float32)
        found[hand, other] = torch.minimum(found.get((hand, other), torch.full((frames,), CLEAR)),
                                           CLEAR + weight * (SKIN - CLEAR))  # fmt: skip
    return found


def _way_out(gaps: _Gaps, moves: Tensor, clearance: dict, fps: float) -> Tensor:
    """Return how the wrists (2, T, 3) [m] are to move besides, so that nothing of the arms is inside anything."""
    out = torch.zeros_like(moves)
    joints = gaps.body.joints
    for k, side in enumerate(SIDES):
        shoulder, elbow, wrist = (joints[:, j] for j in LIMBS[f"{side}_hand"].joints)
        # A forearm is moved by the wrist: its middle goes less far than its end.
        lever = ((wrist - shoulder).norm(dim=-1) / ((wrist + elbow) / 2 - shoulder).norm(dim=-1)).clamp(1, 2)
        for part, gain in ((f"{side}_hand", 1.0), (f"{side}_forearm", lever)):
            for other in ("torso", "head"):
                height, up = gaps(part, other)
                moved = ((moves[k] + out[k]) * up).sum(-1) / gain
                depth = clearance.get((part, other), CLEAR) - height - moved
                out[k] += _spread(depth.clamp(min=0) * gain, up, fps)
        # Each of two hands gives way by half.
        other = f"{SIDES[1 - k]}_hand"
        height, up = gaps(f"{side}_hand", other)
        moved = ((moves[k] - moves[1 - k]) * up).sum(-1)
        depth = clearance.get((f"{side}_hand", other), CLEAR) - height - moved
        out[k] += _spread(depth.clamp(min=0) / 2, up, fps)
    return out


def _spread(depth: Tensor, up: Tensor, fps: float) -> Tensor:
    """Return pushes (T, 3) that are smooth over time and nowhere less than wanted."""
    if not bool((depth > 0).any()):
        return torch.zeros_like(up)
    sigma = SMOOTH * fps
    wide = maximum_filter1d(depth.numpy(), 2 * int(np.ceil(1.5 * sigma)) + 1, mode="nearest")
    size = gaussian_filter1d(wide, sigma, mode="nearest")
    ways = gaussian_filter1d(up.numpy() * (depth.numpy()[:, None] + 1e-6), sigma, axis=0, mode="nearest")
    ways /= np.linalg.norm(ways, axis=1, keepdims=True).clip(1e-12)
    return torch.as_tensor(size[:, None] * ways, dtype=up.dtype)


def _moved(pose: Pose, body: PosedProbes, moves: Tensor) -> Pose:
    """Bend both arms so that the wrists move; joints that would turn too far stop."""
    body_pose = pose.body_pose.clone()
    for k, side in enumerate(SIDES):
        limb = LIMBS[f"{side}_hand"]
        if float(moves[k].abs().max()) < 1e-5:
            continue
        move = within_reach(body.joints, limb, moves[k])
        bent = move_end(body.posed.rotmats, body.joints, limb, move).double().numpy()
        turns = Rotation.from_matrix(bent.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 3, 3)
        turns = limited(turns, joints=list(limb.joints), margin=HARD)
        body_pose[:, [j - 1 for j in limb.joints]] = torch.as_tensor(turns).to(body_pose)
    return Pose(**{**vars(pose), "body_pose": body_pose})


def _contacts(gaps: _Gaps) -> np.ndarray:
    names = [name.split("-") for name in CONTACTS if not name.endswith("floor")]
    found = [gaps(*name)[0].numpy() for name in names]
    return np.stack([hysteresis(gap < BEGINS, gap < ENDS) for gap in found], 1)
