"""How sure the tracker is of a shape."""

import numpy as np
import torch

from emosh_core.body.ehm import EhmModel
from emosh_core.geometry.camera import project
from emosh_core.tracker.initialize import CAM_TO_WORLD
from emosh_core.tracker.marks import on_body
from emosh_core.tracker.objective import NOISE, SIGMA
from emosh_core.tracker.parameters import Observations, Parameters
from emosh_core.tracker.population import population_of
from emosh_core.tracker.shape import INDEPENDENT_FRAMES

LOOKS = 6  # frames that the curvature is measured in


def shape_std(p: Parameters, seen: Observations, body: EhmModel) -> tuple[np.ndarray, np.ndarray]:
    """Posterior standard deviations of betas_body (S,) and betas_head (S',) as shares of the population's.

    Laplace's approximation with Gauss–Newton curvature of the keypoint term, poses held: an
    underestimate where pose and shape can trade places, but it tells seen from unseen directions.
    """
    trusted = torch.nonzero(seen.weight.sum(-1) > 0)[:, 0]
    chosen = trusted[torch.linspace(0, len(trusted) - 1, min(LOOKS, len(trusted))).round().long()]
    frames, looks = p.frames(chosen), seen.frames(chosen)
    error = torch.hypot(looks.metre[:, None] * SIGMA, NOISE.expand(len(chosen), -1))
    sigma = (error / looks.weight.clip(min=0).sqrt().clip(min=1e-6))[..., None]
    split = len(p.betas_body)

    def residual(betas):
        shaped = body.with_shape(betas[:split], betas[split:])
        points = on_body(shaped.with_rotmats(frames.rotmats(), frames.expression, frames.transl))
        return (project(points @ CAM_TO_WORLD.to(points), looks.K) / sigma).flatten()

    betas = torch.cat([p.betas_body, p.betas_head])
    jacobian = torch.func.jacfwd(residual)(betas)
    looks_worth = min(INDEPENDENT_FRAMES, len(p.transl)) / len(chosen)
    usual = population_of(body).precision
    deviation = lambda precision: torch.linalg.inv(precision.double()).diagonal().clip(min=0).sqrt()  # noqa: E731
    std = (deviation(usual + looks_worth * jacobian.T @ jacobian) / deviation(usual)).float().numpy()
    return std[:split], std[split:]
