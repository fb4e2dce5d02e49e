"""The shape pass: body and head shape from some frames of a clip, with their poses, by one Gauss–Newton.

Every frame's pose is eliminated (Schur complement), which leaves equations of the shape alone.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel
from emosh_core.tracker import silhouette
from emosh_core.tracker.parameters import Observations, Parameters
from emosh_core.tracker.population import Population, population_of, stature
from emosh_core.tracker.refine import BLOCKS, FIRST_DAMPING, REACHES, apply_step, body_block, improve, subject

INDEPENDENT_FRAMES = 3.0  # how many independent looks at a shape a clip's correlated frames are worth
OUTLINE_REACH = (0.3, 0.2, 0.15, 0.12, 0.1)  # [m] per round of matching, the last rounds
MOST_TRIES = 6


def fit_shape(
    start: Parameters, seen: Observations, body: EhmModel, contours: silhouette.Contours | None, outlined: Tensor,
    *, rounds: int, weights: dict[str, float], height: float = 0.0, distance: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Parameters:  # fmt: skip
    """Estimate the shape, and the poses with it.

    One camera cannot tell a tall person far away from a small one nearby; what settles it is a height, a distance, or
    else what people usually are.

    Args:
        start, seen: frames spread over a clip; no neighbours.
        contours: outlines of the frames `outlined` (numbers into these).
        height, distance: of the person, and of the pelvis from the camera on average [m]; 0 is unknown.
    """
    people = population_of(body)
    halves = (lambda i, n: progress(i, 2 * n), lambda i, n: progress(n + i, 2 * n)) if progress else (None, None)
    if height:
        people = people.as_tall_as(height, body)
    p = _fit(start, seen, body, contours, outlined, people, rounds, weights, halves[0] if distance else progress)
    if distance and not height:
        far = float(-subject(body, p.betas).skeleton.posed(p.rotmats(), p.transl)[1][:, 0, 2].mean())
        people = people.as_tall_as(stature(body, p.betas) * distance / far, body)
        p = _fit(start, seen, body, contours, outlined, people, rounds, weights, halves[1])
    return p


def _fit(start, seen, body, contours, outlined, people: Population, rounds, weights, progress) -> Parameters:
    weights, p = weights | {"smooth": 0.0}, start
    live = torch.ones(len(p.transl), dtype=torch.bool)
    damping = dict.fromkeys((*BLOCKS, "shape"), FIRST_DAMPING)
    outline = silhouette.Rim(body, contours, outlined) if contours is not None else None
    for number in range(rounds):
        reach = REACHES[min(number, len(REACHES) - 1)]
        who = subject(body, p.betas)
        late = number - (rounds - len(OUTLINE_REACH))
        if outline is not None and late >= 0:
            outline.match(p, seen.K, OUTLINE_REACH[late])
        p, damping["shape"] = _improve_shape(p, seen, body, people, weights, reach, damping["shape"], outline)
        who = subject(body, p.betas)
        for name in ("left_hand", "right_hand", "face"):
            p, damping[name] = improve(BLOCKS[name], p, seen, who, weights, reach, damping[name], live)
        if progress:
            progress(number + 1, rounds)
    return p


def _equations(p, seen, body, weights, reach, outline, derivatives=True):
    equations = body_block(p, seen, subject(body, p.betas), weights, reach, derivatives, shape=True)
    if outline is not None and outline.matches is not None:
        worth = len(p.transl) / min(INDEPENDENT_FRAMES, len(p.transl))
        outline.add(equations, p, seen, worth * weights["kpt"], derivatives)
    return equations


def _improve_shape(p, seen, body, people: Population, weights, reach, damping, outline) -> tuple[Parameters, float]:
    pull = weights["reg"] * len(p.transl) / min(INDEPENDENT_FRAMES, len(p.transl))
    cost = lambda equations, q: equations.cost + pull * people.distance(q.betas)  # noqa: E731
    equations = _equations(p, seen, body, weights, reach, outline)
    for _ in range(MOST_TRIES):
        pose, betas = _step(equations, people.mean - p.betas, pull * people.precision, damping)
        moved = apply_step(body_block, p, pose, None)
        split = len(p.betas_body)
        moved = replace(moved, betas_body=p.betas_body + betas[:split], betas_head=p.betas_head + betas[split:])
        if moved.finite and cost(
            _equations(moved, seen, body, weights, reach, outline, derivatives=False), moved
        ) < cost(equations, p):
            return moved, max(damping / 5, 1e-4)
        damping *= 8
    return p, FIRST_DAMPING


def _step(equations, away: Tensor, pull: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Return the steps of poses (T, 69) and shape (S,)."""
    blocks, gradient = equations.blocks[0].clone(), equations.gradient
    curve = blocks.diagonal(dim1=1, dim2=2)
    curve += damping * curve + 1e-6 * curve[:, :69].amax()
    pose, cross, shape = blocks[:, :69, :69], blocks[:, :69, 69:], blocks[:, 69:, 69:].sum(0)
    pull = pull.double()
    shape = shape + pull + damping * pull.diagonal().diag()
    down = gradient[:, 69:].sum(0) - pull @ away.double()
    solved = torch.linalg.solve(pose, torch.cat([cross, gradient[:, :69, None]], -1))
    reduced = shape - (cross.mT @ solved[..., :-1]).sum(0)
    step = torch.linalg.solve(reduced, (cross.mT @ solved[..., -1:])[..., 0].sum(0) - down)
    back = -(solved[..., -1] + solved[..., :-1] @ step)
    return back.to(away.dtype), step.to(away.dtype)
