"""Plausible adults as coefficients of anny's blend shapes, with what one would say about each."""

import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from source import Source, local_changes

PHENOTYPE = ("gender", "age", "muscle", "weight", "height", "african", "asian", "caucasian")
"""Columns of the table: gender 0 male to 1 female, age in years, shares of 0..1."""


def sample_adults(source: Source, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw adults of 18 to 80 years.

    Height, weight and muscle follow anny's WHO-calibrated distributions for the age; a sixth of the people have
    weight and muscle drawn more widely. Gender is near its ends, ancestry mostly one of three. Local changes are
    small (a third of what the identity space was learnt from would still be plain to see in a face).

    Returns:
        Coefficients (count, K) and the phenotype (count, 8) in the order of `PHENOTYPE`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = source.model
    limits = torch.tensor([18.0, 80.0], dtype=model.dtype)
    edge = torch.tensor(0.12, dtype=model.dtype)
    distribution = SimpleShapeDistribution(
        model, torch.distributions.Uniform(*limits), torch.distributions.Beta(edge, edge)
    )
    years, drawn = distribution.sample(count)
    wide = torch.as_tensor(rng.random(count) < 1 / 6)
    for key in ("weight", "muscle"):
        drawn[key] = torch.where(wide, torch.as_tensor(0.15 + 0.75 * rng.random(count)), drawn[key])
    ancestry = rng.dirichlet([0.25] * 3, count)
    drawn.update(african=torch.as_tensor(ancestry[:, 0]), asian=torch.as_tensor(ancestry[:, 1]),
                 caucasian=torch.as_tensor(ancestry[:, 2]))
    # Old skin hangs: what anny draws uniformly would give every age the same breast.
    drawn["firmness"] = torch.as_tensor(rng.uniform(0.3, 0.8, count)) - 0.3 * (years - 18) / 62
    drawn["cupsize"] = torch.as_tensor(rng.uniform(0.2, 0.75, count))
    values = torch.stack([drawn[key] if key == "age" else drawn[key].clamp(0, 1) for key in model.phenotype_labels], 1)
    local = torch.as_tensor(local_changes(model.local_change_labels, count, rng, 0.13, 0.5))
    still = torch.zeros(count, len(model.facial_action_labels), dtype=model.dtype)
    coefficients = model._get_phenotype_blendshape_coefficients(values, local, still).numpy()
    told = {key: drawn[key].clamp(0, 1) if key != "age" else years for key in PHENOTYPE}
    return coefficients, torch.stack([told[key] for key in PHENOTYPE], 1).numpy()
