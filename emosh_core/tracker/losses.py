"""The terms of the tracker's objective, one pure function and one equation each.

L = λ_kpt L_kpt + λ_3d L_3d + λ_reg L_reg + λ_smooth L_smooth   (EMOSH, arXiv 2606.28026)

Every term is a negative log-probability per frame up to a constant: residuals are divided by the
standard deviation that we expect of them, so that the four λ are near 1 and have no unit.
"""

import torch
from torch import Tensor

# Expected detector error of one point [m at the body's depth], and how many independent
# observations a part's many correlated points are worth.
SIGMA = {"body": 0.025, "left_hand": 0.012, "right_hand": 0.012, "face": 0.003}
PIXEL_NOISE = 1.5  # [px] what no detector gets below, whatever the size of the person
EFFECTIVE_POINTS = {"body": 33.0, "left_hand": 12.0, "right_hand": 12.0, "face": 60.0}
OUTLIER = 4.0  # residuals beyond this many sigmas lose their pull
REACH = 20.0  # times wider at the beginning of an optimisation, when everything is far off


def robust(squared: Tensor, reach: float = 1.0) -> Tensor:
    """Geman–McClure: r² / (1 + r²/c²), quadratic near 0 and flat beyond c = OUTLIER · reach."""
    return squared / (1 + squared / (OUTLIER * reach) ** 2)


def keypoint_loss(
    projected: Tensor, observed: Tensor, weight: Tensor, pixels_per_metre: Tensor, sigma: Tensor, reach: float = 1.0
) -> Tensor:
    """L_kpt = mean_t Σ_n w ρ(|π(X) − x|² / σ²), σ² = (σ_n · pixels_per_metre)² + PIXEL_NOISE².

    Args:
        projected, observed: (T, N, 2) px.
        weight: (T, N), confidence times the point's share of its part; 0 ignores the point.
        pixels_per_metre: (T,) focal length over the body's depth.
        sigma: (N,) m.
        reach: widens ρ, see `robust`.
    """
    variance = (pixels_per_metre[:, None] * sigma).square() + PIXEL_NOISE**2
    squared = (projected - observed).square().sum(-1) / variance
    return (weight * robust(squared, reach)).sum(-1).mean()


def depth_loss(points_cam: Tensor, origin: int, depth: Tensor, weight: Tensor, pixels_per_metre: Tensor) -> Tensor:
    """L_3d of a hand or face: depth behind its own origin, put into metres like x and y.

    Args:
        points_cam: (T, N, 3) m, camera axes.
        origin: index of the point that depths are counted from.
        depth: (T, N) px in the scale of x, positive away from the camera.
        weight: (T, N).
        pixels_per_metre: (T,).
    """
    modelled = points_cam[..., 2] - points_cam[:, origin : origin + 1, 2]
    observed = (depth - depth[:, origin : origin + 1]) / pixels_per_metre[:, None]
    return (weight * robust(((modelled - observed) / 0.02).square())).sum(-1).mean()


def direction_loss(joints_cam: Tensor, bones: Tensor, directions: Tensor, weight: Tensor) -> Tensor:
    """L_3d of the body: each bone points where the detector's 3-D skeleton says.

    Args:
        joints_cam: (T, J, 3) m, camera axes.
        bones: (B, 2) joint indices, from and to.
        directions: (T, B, 3) unit vectors, camera axes.
        weight: (T, B).
    """
    bone = joints_cam[:, bones[:, 1]] - joints_cam[:, bones[:, 0]]
    cosine = (torch.nn.functional.normalize(bone, dim=-1) * directions).sum(-1)
    return (weight * 2 * (1 - cosine) / 0.35**2).sum(-1).mean()


def prior_loss(pose: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """L_reg of a pose: Σ_j |θ − μ|² / σ², with axis-angle pose (T, J, 3) [rad]."""
    return ((pose - mean) / spread).square().sum((-1, -2)).mean()


def limit_loss(pose: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Soft joint limits: Σ relu(θ − high)² + relu(low − θ)² in units of 0.1 rad; pose (T, J, 3) [rad]."""
    excess = (pose - high).relu() + (low - pose).relu()
    return (excess / 0.1).square().sum((-1, -2)).mean()


def expression_loss(expression: Tensor) -> Tensor:
    """Rest is the mean, 0.5 the spread, and beyond [0, 1] the truncation penalty; expression (T, E)."""
    beyond = (expression - 1).relu() + (-expression).relu()
    return ((expression / 0.5).square() + (beyond / 0.05).square()).sum(-1).mean()


def smoothness_loss(track: Tensor, sigma: float, rate: float) -> Tensor:
    """L_smooth: second differences of a quantity over time, robust so that fast gestures survive.

    Args:
        track: (T, ..., D) any quantity; T < 3 gives 0.
        sigma: expected second difference per frame² at 30 frames/s.
        rate: frames/s over 30; second differences shrink with its square.
    """
    if len(track) < 3:
        return track.new_zeros(())
    second = (track[2:] - 2 * track[1:-1] + track[:-2]) * rate**2 / sigma
    return robust(second.square().sum(-1)).reshape(len(second), -1).sum(-1).mean()
