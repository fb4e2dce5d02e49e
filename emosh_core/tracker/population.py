"""What people's shapes are like before anybody is seen: a Gaussian over body and head shape together.

`scripts/build_population.py` takes it from the adults of the `train` split of the table that synthetic people are
drawn from. Without it every coefficient would be independent, and the mean a person smaller than people are.
"""

import functools
import zipfile
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel
from emosh_core.errors import AssetError

FILE = "population.npz"
TOLERANCE = 0.01
"""[m] how exactly a height is meant."""


def stature(body: EhmModel, betas: Tensor) -> Tensor:
    """Return how tall somebody stands [m], from betas (S + S',)."""
    split = body.body_dirs.shape[-1]
    rest = body.with_shape(betas[:split], betas[split:]).rest_verts[:, 1]
    return rest.amax() - rest.amin()


@dataclass(frozen=True, eq=False)
class Population:
    """A Gaussian over (S + S',) coefficients, body shape first."""

    mean: Tensor
    precision: Tensor
    """(S + S', S + S') inverse covariance."""

    def distance(self, betas: Tensor) -> float:
        """Return the squared Mahalanobis distance of a shape from the mean."""
        away = betas - self.mean
        return float(away @ self.precision @ away)

    def as_tall_as(self, height: float, body: EhmModel) -> "Population":
        """Return those of them who are that tall [m], to about a centimetre."""
        slope = torch.autograd.functional.jacobian(lambda betas: stature(body, betas), self.mean).double()
        usual = float(stature(body, self.mean))
        precision = self.precision.double() + torch.outer(slope, slope) / TOLERANCE**2
        shift = torch.linalg.solve(precision, slope * (height - usual) / TOLERANCE**2)
        return Population(self.mean + shift.to(self.mean), precision.to(self.precision))

    def split(self, body: EhmModel) -> tuple[Tensor, Tensor]:
        """Return the mean body shape and the mean head shape."""
        return tuple(self.mean.split([body.body_dirs.shape[-1], body.head_dirs.shape[-1]]))


def population_of(body: EhmModel) -> Population:
    """Return the population of a body model; independent standard normal coefficients for a user's own."""
    if body.name == "embedded":
        mean, precision = (value.to(body.template) for value in _embedded())
        return Population(mean, precision)
    size = body.body_dirs.shape[-1] + body.head_dirs.shape[-1]
    return Population(torch.zeros(size).to(body.template), torch.eye(size).to(body.template))


@functools.lru_cache(maxsize=1)
def _embedded() -> tuple[Tensor, Tensor]:
    source = files("emosh_core") / "assets" / FILE
    try:
        with np.load(source) as arrays:
            return torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["precision"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AssetError(
            "the population of body shapes is missing or damaged", found=f"{source}: {error}",
            fix="reinstall emosh, or run scripts/build_population.py",
        ) from error  # fmt: skip
