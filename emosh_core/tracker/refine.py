"""Joint refinement: Gauss–Newton on one objective over pose, place, face and fingers.

The objective is `objective.objective`. Body, hands and face take turns: each is solved for all frames at once, with
exact derivatives, while the others rest. What couples them (wrists, the head) belongs to the body, which sees the
points of all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import roma
import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import EYES, HANDS, PARENTS
from emosh_core.tracker import losses, priors
from emosh_core.tracker.eyelids import LIDS, LIPS
from emosh_core.tracker.initialize import CAM_TO_WORLD
from emosh_core.tracker.marks import MEASURED_ON, as_detected
from emosh_core.tracker.normal import NormalEquations
from emosh_core.tracker.objective import (
    BONES,
    NOISE,
    SIGMA,
    SMOOTH,
    SOLE_MARKS,
    STEADY_JOINTS,
    FaceUnits,
    face_units,
    resting,
    steadied,
)
from emosh_core.tracker.parameters import Observations, Parameters
from emosh_core.tracker.points import (
    BODY,
    Placed,
    Points,
    Skeleton,
    body_moves,
    body_turning,
    joints_by_turns,
    landmarks_of,
    left_jacobian,
    place,
)  # fmt: skip

FACE_STRIDE = {"body": 7, "face": 2}
"""Every so manieth face point takes part; the others say the same."""
SKIN_POINTS = 468
"""Face points before the irises."""
FINE = frozenset([*(i for lids, corners, _ in LIDS.values() for i in (*lids, *corners)), *LIPS, *range(468, 478)])
"""Face points that all take part: lids, lips, irises."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-4, 1e4
REACHES = (30.0, 15.0, 8.0, 4.0, 2.0, 1.0)
"""How much wider than at last the robust losses are in the first rounds: graduated non-convexity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A person's landmarks, ready to be posed often."""

    points: Points
    skeleton: Skeleton
    parts: dict[str, tuple[Tensor, Points]]
    """Per block the landmarks that it looks at, and their numbers."""
    units: FaceUnits


def subject(body: EhmModel, betas: Tensor) -> Subject:
    """Give the landmarks an identity."""
    points, skeleton = _landmarks(body)
    points, skeleton = points.shaped(betas), skeleton.shaped(betas)
    return Subject(points=points, skeleton=skeleton, units=face_units(body.expression_names),
                   parts={name: (rows, points.of(rows)) for name, rows in _rows().items()})  # fmt: skip


@lru_cache(maxsize=4)
def _landmarks(body: EhmModel) -> tuple[Points, Skeleton]:
    points, skeleton = landmarks_of(body)
    return as_detected(points) if body.name == MEASURED_ON else points, skeleton


@lru_cache(maxsize=1)
def _rows() -> dict[str, Tensor]:
    """Return which landmarks each block looks at."""
    numbers = torch.arange(sum(KEYPOINTS.values()))
    body, left, right, face = (numbers[keypoint_slice(name)] for name in ("body", "left_hand", "right_hand", "face"))
    some = face[[i for i in range(len(face)) if i in FINE or i % FACE_STRIDE["face"] == 0]]
    return {"body": torch.cat([body, left, right, face[: SKIN_POINTS : FACE_STRIDE["body"]]]), "left_hand": left,
            "right_hand": right, "face": some}  # fmt: skip


def refine(
    start: Parameters,
    seen: Observations,
    who: Subject,
    *,
    rounds: int,
    weights: dict[str, float],
    frozen: int = 0,
    reaches: tuple[float, ...] = REACHES,
    progress: Callable[[int, int], None] | None = None,
) -> Parameters:
    """Minimise the objective from a start; the shape stays.

    Args:
        start: T frames of parameters.
        seen: what was observed in them.
        who: the person.
        rounds: turns of all blocks.
        weights: the λ of the objective: kpt, 3d, reg, smooth.
        frozen: this many frames at the beginning stay as they are (they were fitted in the window before).
        reaches: widths of the robust losses in the first rounds; the last one holds from then on.
    """
    live = torch.arange(len(start.transl)) >= frozen
    best, damping = start, dict.fromkeys(BLOCKS, FIRST_DAMPING)
    for number in range(rounds):
        reach = reaches[min(number, len(reaches) - 1)]
        for name, block in BLOCKS.items():
            best, damping[name] = improve(block, best, seen, who, weights, reach, damping[name], live)
        if progress:
            progress(number + 1, rounds)
    return best


def improve(
    block, p, seen, who: Subject, weights, reach: float, damping: float, live: Tensor
) -> tuple[Parameters, float]:
    """Take one step of a block that lowers its cost; the damping (Levenberg–Marquardt) grows until one does."""
    equations = block(p, seen, who, weights, reach)
    while damping < MOST_DAMPING:
        step = equations.solve(damping, live)
        if step is not None:
            moved = apply_step(block, p, step.to(p.transl.dtype), who)
            if moved.finite and block(moved, seen, who, weights, reach, derivatives=False).cost < equations.cost:
                return moved, max(damping / 5, LEAST_DAMPING)
        damping *= 8
    return p, FIRST_DAMPING


def apply_step(block, p: Parameters, step: Tensor, who: Subject | None) -> Parameters:
    """Move the parameters of a block by a step (T, b)."""
    if block is body_block:
        turn = roma.rotvec_to_rotmat(step[:, 3:6]) @ p.root
        return replace(p, transl=p.transl + step[:, :3], root=turn,
                       body_pose=p.body_pose + step[:, 6:].unflatten(1, (-1, 3)))  # fmt: skip
    if block is face_block:
        units = int(who.units.free.sum())
        expression = p.expression.clone()
        expression[:, who.units.free] += step[:, :units]
        return replace(p, expression=expression, eye_pose=p.eye_pose + step[:, units:].unflatten(1, (-1, 3)))
    name = "left_hand_pose" if block is BLOCKS["left_hand"] else "right_hand_pose"
    return replace(p, **{name: getattr(p, name) + step.unflatten(1, (-1, 3))})


class _Scene:
    """A pose, and how far off what is seen it is."""

    def __init__(self, p: Parameters, seen: Observations, who: Subject, part: str):
        self.p, self.seen = p, seen
        self.rotmats = p.rotmats()
        self.turned, self.joints = who.skeleton.posed(self.rotmats, p.transl)
        self.rows, points = who.parts[part]
        self.placed: Placed = place(points, self.turned, self.joints, p.expression * who.units.free)
        self.cam = self.placed.places * CAM_TO_WORLD.diagonal()
        self.depth = (-p.transl[:, 2]).clip(min=0.1)

    def turning(self, joints: list[int], poses: Tensor) -> Tensor:
        """World axes about which joints turn by a change of their axis-angle (T, J, 3, 3)."""
        return self.turned[:, [PARENTS[j] for j in joints]] @ left_jacobian(poses)

    def keypoints(self, equations: NormalEquations, moves: Tensor | None, weight: float, share: Tensor) -> None:
        """L_kpt; `moves` (T, N, 3, b) in world axes."""
        seen, rows = self.seen, self.rows
        z = self.cam[..., 2].clip(min=1e-3)
        focal = seen.K[[0, 1], [0, 1]]
        pixels = focal * self.cam[..., :2] / z[..., None] + seen.K[:2, 2]
        sigma = ((seen.metre[:, None] * SIGMA[rows]).square() + NOISE[rows] ** 2).sqrt()
        residual = (pixels - seen.pixels[:, rows]) / sigma[..., None]
        jacobian = None
        if moves is not None:
            ahead = moves[..., 2:, :] * CAM_TO_WORLD[2, 2]
            sides = moves[..., :2, :] * CAM_TO_WORLD.diagonal()[:2, None]
            slope = sides - (self.cam[..., :2] / z[..., None])[..., None] * ahead
            jacobian = slope * (focal[:, None] / (z * sigma)[..., None, None])
        equations.add(jacobian, residual, weight * share * seen.weight[:, rows])

    def hand(self, equations, moves: Tensor | None, weight: float, own: Tensor, with_place: bool) -> None:
        """L_hand3D of the points `own` (21,) of this scene, the wrist first."""
        seen, rows = self.seen, self.rows[own]
        axes = losses.HAND_AXES / (losses.HAND_SIGMA * seen.metre[:, None, None])
        zoom = (seen.K[0, 0] / self.depth)[:, None, None]
        arms = self.cam[:, own] - self.cam[:, own[:1]]
        residual = (zoom * arms - losses.hand_observed(seen.pixels[:, rows], seen.depth[:, rows])) * axes
        jacobian = None
        if moves is not None:
            jacobian = zoom[..., None] * (moves[:, own] - moves[:, own[:1]]) * CAM_TO_WORLD.diagonal()[:, None]
            if with_place:  # the third parameter is world z: towards the camera, everything grows
                jacobian[..., 2] += zoom / self.depth[:, None, None] * arms
            jacobian = jacobian * axes[..., None]
        equations.add(jacobian, residual, weight * seen.weight[:, rows])


def _prior(
    equations: NormalEquations, pose: Tensor, mean, spread, low, high, doubt: Tensor, weight: float, at: slice
) -> None:
    """L_reg of joints (T, J, 3): a prior, stronger in doubt (T, J or 1), and soft limits."""
    spread, doubt = spread.expand_as(pose), doubt[..., None].expand_as(pose).flatten(1)
    equations.add_direct(((pose - mean) / spread).flatten(1), (1 / spread).flatten(1), weight * doubt, at)
    beyond = ((pose - high).relu() - (low - pose).relu()).flatten(1) / losses.LIMIT
    equations.add_direct(beyond, (beyond != 0) / losses.LIMIT, weight, at)


def body_block(
    p: Parameters, seen: Observations, who: Subject, weights, reach: float, derivatives: bool = True,
    shape: bool = False,
) -> NormalEquations:  # fmt: skip
    """Place, root and the 21 joints of the body; with `shape` the shape as well, as if each frame had its own."""
    scene = _Scene(p, seen, who, "body")
    equations = NormalEquations(len(p.transl), 69 + (len(p.betas) if shape else 0), reach, derivatives)
    moves, joint_moves = _body_moves(scene, p, who, shape) if derivatives else (None, None)
    share = torch.ones(len(scene.rows))
    face = scene.rows >= keypoint_slice("face").start
    share[face] = SKIN_POINTS / face.sum()  # irises are the gaze's
    scene.keypoints(equations, moves, weights["kpt"], share)
    for name in ("left_hand", "right_hand"):
        part = keypoint_slice(name)
        own = ((scene.rows >= part.start) & (scene.rows < part.stop)).nonzero()[:, 0]
        scene.hand(equations, moves, weights["3d"], own, True)
    _directions(equations, scene, joint_moves, weights["reg"])
    pose = slice(6, 69)
    _prior(equations, p.body_pose, seen.body_mean, priors.body_spread(), *priors.body_limits(),
           seen.doubt(priors.BODY_PARTS), weights["reg"], pose)  # fmt: skip
    _contacts(equations, scene, moves, weights["reg"])
    _steady(equations, scene, weights, joints=(joint_moves, slice(None)), body_pose=(None, pose))
    return equations


def _steady(equations: NormalEquations, scene: "_Scene", weights, which: int = 0, **at) -> None:
    """L_smooth of some of `steadied`: by name how it moves and which parameters it is; `which` tells hands apart."""
    seen = scene.seen
    if not weights["smooth"]:
        return
    terms: dict[str, list] = {}
    for name, values, factor in steadied(scene.p, scene.joints, seen):
        terms.setdefault(name, []).append((values, factor))
    for name, (jacobian, rows) in at.items():
        values, factor = terms[name][which if len(terms[name]) > 1 else 0]
        weight = (weights["smooth"] * seen.joined * factor).expand(-1, values.shape[1])
        equations.add_second(values, jacobian, seen.rate**2 / SMOOTH[name], weight, rows)


def _contacts(equations: NormalEquations, scene: "_Scene", moves: Tensor | None, weight: float) -> None:
    """Soles that rest stay, hands that touch stay in touch; fingers do not answer for it, arms do."""
    seen, soles = scene.seen, list(SOLE_MARKS)  # body points come first among a block's rows
    places = scene.placed.places
    if seen.planted.any():
        equations.add_first(places[:, soles], None if moves is None else moves[:, soles], seen.rate / losses.SLIDE,
                            weight * resting(seen))  # fmt: skip
    if not seen.touch.any():
        return
    rows = torch.arange(len(places))
    left, right = (
        keypoint_slice(f"{side}_hand").start + seen.touching[:, k] for k, side in enumerate(("left", "right"))
    )
    gap = (places[rows, left] - places[rows, right])[:, None] / losses.GAP
    jacobian = None if moves is None else (moves[rows, left] - moves[rows, right])[:, None] / losses.GAP
    equations.add(jacobian, gap, weight * seen.touch.to(gap)[:, None])


def _body_moves(scene: _Scene, p: Parameters, who: Subject, shape: bool) -> tuple[Tensor, Tensor]:
    """Return how the points (T, N, 3, b) and the joints kept steady (T, 25, 3, b) move with the parameters."""
    turning = body_turning(scene.turned, p.body_pose)
    moves = body_moves(scene.placed, turning, who.skeleton if shape else None)
    turns = joints_by_turns(scene.turned, scene.joints, list(range(STEADY_JOINTS)), BODY, turning)
    joint_moves = [torch.eye(3).expand(*turns.shape[:2], 3, 3), turns]
    if shape:
        joint_moves.append(scene.placed.joints_by_shape(who.skeleton)[:, :STEADY_JOINTS])
    return moves, torch.cat(joint_moves, -1)


def _directions(equations: NormalEquations, scene: _Scene, joint_moves: Tensor | None, weight: float) -> None:
    """Bones point where the coarse skeleton says."""
    ends, signs = (BONES[:, 0], BONES[:, 1]), CAM_TO_WORLD.diagonal()
    bone = (scene.joints[:, ends[1]] - scene.joints[:, ends[0]]) * signs
    length = bone.norm(dim=-1, keepdim=True).clip(min=1e-6)
    along, jacobian = bone / length, None
    if joint_moves is not None:
        difference = (joint_moves[:, ends[1]] - joint_moves[:, ends[0]]) * signs[:, None]
        across = torch.eye(3) - along[..., None] * along[..., None, :]
        jacobian = across @ difference / (length[..., None] * losses.DIRECTION_SIGMA)
    residual = (along - scene.seen.directions) / losses.DIRECTION_SIGMA
    equations.add(jacobian, residual, weight * scene.seen.direction_weight, robust=False)


def _hand_block(side: str):
    joints, name = list(HANDS[side]), f"{side}_hand"

    def block(p, seen, who, weights, reach, derivatives: bool = True) -> NormalEquations:
        scene, pose = _Scene(p, seen, who, name), getattr(p, f"{name}_pose")
        equations = NormalEquations(len(p.transl), 45, reach, derivatives)
        moves = scene.placed.by_turns(joints, scene.turning(joints, pose)) if derivatives else None
        scene.keypoints(equations, moves, weights["kpt"], torch.ones(21))
        scene.hand(equations, moves, weights["3d"], torch.arange(21), False)
        mean, spread = getattr(seen, f"{side}_hand_mean"), torch.tensor(losses.FINGER_SPREAD)
        _prior(equations, pose, mean, spread, *priors.hand_limits(side), seen.doubt((f"{side}_hand",)), weights["reg"],
               slice(0, 45))  # fmt: skip
        _steady(equations, scene, weights, which=side == "right", hand_pose=(None, slice(0, 45)))
        return equations

    return block


def face_block(
    p: Parameters, seen: Observations, who: Subject, weights, reach: float, derivatives: bool = True
) -> NormalEquations:
    """Expression and gaze."""
    scene, free = _Scene(p, seen, who, "face"), who.units.free
    units = int(free.sum())
    equations = NormalEquations(len(p.transl), units + 6, reach, derivatives)
    moves = None
    if derivatives:
        looks = scene.placed.by_turns(list(EYES), scene.turning(list(EYES), p.eye_pose))
        moves = torch.cat([scene.placed.by_expression()[..., free], looks], -1)
    share = torch.ones(len(scene.rows))
    rows = scene.rows - keypoint_slice("face").start
    coarse = rows % FACE_STRIDE["face"] == 0
    share[coarse] = float(FACE_STRIDE["face"])  # they stand for the ones left out, lids and lips for themselves
    share[[i for i, row in enumerate(rows.tolist()) if row in FINE]] = 1.0
    scene.keypoints(equations, moves, weights["kpt"], share)
    face, gaze = p.expression[:, free], p.eye_pose.flatten(1)
    at, eyes, reg = slice(0, units), slice(units, units + 6), weights["reg"]
    doubt = seen.doubt(("face",))
    spread, low, high = (value[free] for value in (who.units.spread, who.units.low, who.units.high))
    equations.add_direct(face / spread, 1 / spread, reg * doubt, at)
    beyond = ((face - high).relu() - (low - face).relu()) / losses.TRUNCATION
    equations.add_direct(beyond, (beyond != 0) / losses.TRUNCATION, reg, at)
    equations.add_direct(gaze / losses.EYE_SPREAD, 1 / losses.EYE_SPREAD, reg * doubt, eyes)
    scene.p = replace(p, expression=face)  # only what is free can be kept steady
    _steady(equations, scene, weights, expression=(None, at), eye_pose=(None, eyes))
    return equations


BLOCKS = {"body": body_block, "left_hand": _hand_block("left"), "right_hand": _hand_block("right"), "face": face_block}
