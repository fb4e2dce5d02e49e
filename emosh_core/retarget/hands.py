"""How far the target's hands must move to touch what the driver's touch.

First the touching vertices are set as far apart as the driver's, by the same vector: until then every
joint has the driver's direction. Then, because the two surfaces curve differently, the gap is closed
or opened to the driver's along the surface's normal.
"""

import torch
from torch import Tensor

from emosh_core.body.ik import LIMBS, within_reach
from emosh_core.body.probes import PosedProbes, distances, lowest, pick
from emosh_core.retarget.touches import HANDS, Touch

REST = 1e-6  # how little it costs to move a hand that touches, against missing the touch by as much
ROUNDS = 3  # turns in which each hand makes up for what the other cannot reach
MOST = 0.012  # [m] that a gap is closed or opened by; beyond, the place counts more than a hand that sinks in a little


def mismatch(touch: Touch, driver: PosedProbes, target: PosedProbes) -> Tensor:
    """Return how far (T, 3) [m] the hand should move against the other side for the driver's vector between them.

    Around a touch it is measured at the vertices of the touched frames that the fade leans on.
    """
    here = [body.verts(side) for body in (driver, target) for side in touch.sides]

    def at(source: Tensor) -> Tensor:
        one, two = (pick(here[k], touch.rows[0][source]) - pick(here[k + 1], touch.rows[1][source]) for k in (0, 2))
        return ((one - two) * touch.shares[source][..., None]).sum(1)

    return _leaning(touch, at)


def gap_error(touch: Touch, driver: PosedProbes, target: PosedProbes) -> Tensor:
    """Return how far (T, 3) [m] the hand should move along the normal for the driver's gap."""
    _, nearest, height = distances(target, touch.sides, torch.from_numpy(touch.flags))
    gap, rows, share = lowest(height)
    normal = (target.normals(touch.sides[1], nearest.gather(1, rows)) * share[..., None]).sum(1)
    rise = MOST * torch.tanh((touch.gap - gap) / MOST)
    move = rise[:, None] * torch.nn.functional.normalize(normal, dim=-1)
    return _leaning(touch, lambda source: move[source])


def hand_moves(touches: dict[str, Touch], wanted: dict[str, Tensor], joints: Tensor) -> dict[str, Tensor]:
    """Share the wanted moves out to the two hands.

    Least squares per frame: Σ_touches k w |Δ_hand − Δ_other − r|² + Σ_hands k (1 − max w + REST) |Δ_hand|²
    with k a touch's firmness (the greatest of a hand in the second sum). So one touch alone moves its
    hand by w r, two hands meet halfway, and of two touches of a hand the firmer one wins. Then
    each hand in turn makes up for what the other cannot reach.

    Args:
        wanted: per touch r (T, 3) [m].
        joints: (T, 55, 3) the target's joints [m].

    Returns:
        Per hand the move of its wrist (T, 3) [m], within reach.
    """
    frames = len(joints)
    matrix, right = torch.zeros(frames, 2, 2, dtype=torch.float64), torch.zeros(frames, 2, 3, dtype=torch.float64)
    strongest, firmest = torch.zeros(frames, 2), torch.zeros(frames, 2)
    for name, touch in touches.items():
        weight = torch.from_numpy(touch.fade.weight)
        firm = _leaning(touch, lambda source, touch=touch: touch.firmness[source, None])
        signs = torch.tensor([float(hand == touch.sides[0]) - float(hand == touch.sides[1]) for hand in HANDS])
        pull = (weight[:, None] * firm)[..., None]
        matrix += pull * signs[:, None] * signs
        right += pull * signs[:, None] * wanted[name][:, None]
        strongest = torch.maximum(strongest, weight[:, None] * signs.abs())
        firmest = torch.maximum(firmest, firm * signs.abs())
    matrix += torch.diag_embed((1 - strongest + REST) * torch.where(firmest > 0, firmest, 1.0))
    moves = torch.linalg.solve(matrix, right)
    for _ in range(ROUNDS):
        for k, hand in enumerate(HANDS):
            alone = (right[:, k] - matrix[:, k, 1 - k, None] * moves[:, 1 - k]) / matrix[:, k, k, None]
            moves[:, k] = within_reach(joints, LIMBS[hand], alone.to(joints.dtype))
    return dict(zip(HANDS, moves.to(joints.dtype).unbind(1), strict=True))


def _leaning(touch: Touch, at) -> Tensor:
    """Return the mean (T, …) of values at the touched frames that each frame leans on; 0 far from any."""
    before, after = (torch.from_numpy(w)[:, None] for w in (touch.fade.weight_before, touch.fade.weight_after))
    total = before * at(torch.from_numpy(touch.fade.before)) + after * at(torch.from_numpy(touch.fade.after))
    return total / (before + after).clamp(min=1e-6)
