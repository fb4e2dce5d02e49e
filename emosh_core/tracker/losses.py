"""The terms of the tracker's objective, one pure function and one equation each.

L = λ_kpt L_kpt + λ_3d L_3d + λ_reg L_reg + λ_smooth L_smooth   (EMOSH, arXiv 2606.28026)

Every term is a negative log-probability, a sum over frames, up to a constant: residuals are divided by the
standard deviation that we expect of them, so that the four λ are near 1 and have no unit.
"""

import torch
from torch import Tensor

# Expected detector error of one point [m at the body's depth], and how many independent
# observations a part's many correlated points are worth.
SIGMA = {"left_hand": 0.012, "right_hand": 0.012, "face": 0.002}
PIXEL_NOISE = {"body": 0.5, "left_hand": 0.7, "right_hand": 0.7, "face": 0.7}  # [px] what no detector gets below
EFFECTIVE_POINTS = {"body": 33.0, "left_hand": 12.0, "right_hand": 12.0, "face": 30.0}
DIRECTION_SIGMA = 0.2  # of a unit vector along a bone, as the detector's 3-D skeleton has it
HAND_SIGMA = 0.15  # [m] of a point of a hand against its wrist, sideways
DEPTH_WEIGHT = 10.0  # λ_z: how much its depth counts beside x and y, in the same unit (arXiv 2606.28026)
HAND_AXES = torch.tensor([1.0, 1.0, DEPTH_WEIGHT**0.5])
FINGER_SPREAD, EYE_SPREAD = 0.4, 0.25  # [rad]
TRUNCATION = 0.05  # of expression weights beyond what is sensible
SLIDE, GAP = 0.003, 0.015  # [m] that a planted sole moves in a 30th of a second, and between hands that touch
LIMIT = 0.1  # [rad] beyond a joint's limit
OUTLIER = 4.0  # residuals beyond this many sigmas lose their pull


def robust(squared: Tensor, reach: float = 1.0) -> Tensor:
    """Geman–McClure: r² / (1 + r²/c²), quadratic near 0 and flat beyond c = OUTLIER · reach."""
    return squared / (1 + squared / (OUTLIER * reach) ** 2)


def keypoint_loss(
    projected: Tensor,
    observed: Tensor,
    weight: Tensor,
    pixels_per_metre: Tensor,
    sigma: Tensor,
    noise: Tensor,
    reach: float = 1.0,
) -> Tensor:
    """L_kpt = Σ_t Σ_n w ρ(|π(X) − x|² / σ²), σ² = (σ_n · pixels_per_metre)² + noise².

    Args:
        projected, observed: (T, N, 2) px.
        weight: (T, N), confidence times the point's share of its part; 0 ignores the point.
        pixels_per_metre: (T,) focal length over the body's depth.
        sigma: (N,) m.
        noise: (N,) px.
        reach: widens ρ, see `robust`.
    """
    variance = (pixels_per_metre[:, None] * sigma).square() + noise**2
    squared = (projected - observed).square().sum(-1) / variance
    return (weight * robust(squared, reach)).sum()


def hand_observed(pixels: Tensor, depth: Tensor) -> Tensor:
    """Return where a hand's points (T, N, 3) [px] are seen from its first, the wrist; x, y and depth in one unit.

    Args:
        pixels: (T, N, 2) px.
        depth: (T, N) px in the scale of x, positive away from the camera.
    """
    points = torch.cat([pixels, depth[..., None]], -1)
    return points - points[:, :1]


def hand_loss(
    points_cam: Tensor,
    pixels: Tensor,
    depth: Tensor,
    weight: Tensor,
    scale: Tensor,
    pixels_per_metre: Tensor,
    reach: float = 1.0,
) -> Tensor:
    """L_hand3D = Σ_t Σ_n w ρ((|Δxy|² + λ_z Δz²) / σ²), Δ = s (X − X_wrist) − what is seen of it [px].

    Args:
        points_cam: (T, 21, 3) m, camera axes, the wrist first.
        pixels, depth: see `hand_observed`.
        weight: (T, 21).
        scale: (T,) s, focal length over the body's depth [px/m].
        pixels_per_metre: (T,) the same before the fit, for the expected error.
    """  # fmt: skip
    gap = scale[:, None, None] * (points_cam - points_cam[:, :1]) - hand_observed(pixels, depth)
    gap = gap * HAND_AXES / (HAND_SIGMA * pixels_per_metre[:, None, None])
    return (weight * robust(gap.square().sum(-1), reach)).sum()


def direction_loss(joints_cam: Tensor, bones: Tensor, directions: Tensor, weight: Tensor) -> Tensor:
    """L_reg of a pose: each bone points where the coarse 3-D skeleton says, 2 (1 − cos) = |u − u'|².

    Args:
        joints_cam: (T, J, 3) m, camera axes.
        bones: (B, 2) joint indices, from and to.
        directions: (T, B, 3) unit vectors, camera axes.
        weight: (T, B).
    """
    bone = joints_cam[:, bones[:, 1]] - joints_cam[:, bones[:, 0]]
    cosine = (torch.nn.functional.normalize(bone, dim=-1) * directions).sum(-1)
    return (weight * 2 * (1 - cosine) / DIRECTION_SIGMA**2).sum()


def prior_loss(pose: Tensor, mean: Tensor, spread: Tensor, weight: Tensor) -> Tensor:
    """L_reg of a pose: Σ_j w |θ − μ|² / σ², with axis-angle pose (T, J, 3) [rad] and weights (T, J)."""
    return (weight * ((pose - mean) / spread).square().sum(-1)).sum()


def limit_loss(pose: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Soft joint limits: Σ relu(θ − high)² + relu(low − θ)² in units of LIMIT; pose (T, J, 3) [rad]."""
    excess = (pose - high).relu() + (low - pose).relu()
    return (excess / LIMIT).square().sum()


def expression_loss(expression: Tensor, weight: Tensor, spread: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Rest is the mean, with weights (T, 1), and beyond low and high the truncation penalty; expression (T, E)."""
    beyond = (expression - high).relu() + (low - expression).relu()
    return (weight * (expression / spread).square() + (beyond / TRUNCATION).square()).sum()


def contact_loss(
    points: Tensor, planted: Tensor, left: Tensor, right: Tensor, touch: Tensor, rate: float, reach: float = 1.0
) -> Tensor:
    """L_reg of contacts: soles that rest do not move, hands that touch stay in touch.

    Args:
        points: (T, 4, 3) m, the soles.
        planted: (T − 1, 4) 1 where a sole rests in a frame and the next.
        left, right: (T, 3) m, the points at which hands touch.
        touch: (T,) 1 where they do.
        rate: frames/s over 30.
    """  # fmt: skip
    slide = (points[1:] - points[:-1]) * rate / SLIDE
    gap = (left - right) / GAP
    return (planted * robust(slide.square().sum(-1), reach)).sum() + (touch * robust(gap.square().sum(-1), reach)).sum()


def smoothness_loss(track: Tensor, sigma: float, rate: float, weight: Tensor, reach: float = 1.0) -> Tensor:
    """L_smooth: second differences of a quantity over time, robust so that fast gestures survive.

    Args:
        track: (T, N, D) any quantity; T < 3 gives 0.
        weight: (T − 2, N), 0 across cuts.
        sigma: expected second difference per frame² at 30 frames/s.
        rate: frames/s over 30; second differences shrink with its square.
    """
    if len(track) < 3:
        return track.new_zeros(())
    second = (track[2:] - 2 * track[1:-1] + track[:-2]) * rate**2 / sigma
    return (weight * robust(second.square().sum(-1), reach)).sum()
