"""Normal equations of a least-squares problem over time: every frame has the same parameters, neighbours are coupled.

Second differences couple a frame with the two before and after it, so the matrix is block-pentadiagonal, and a banded
Cholesky solves it in time linear in the number of frames. Robust terms enter as iteratively reweighted squares.
"""

import numpy as np
import torch
from scipy.linalg import LinAlgError, solveh_banded
from torch import Tensor

from emosh_core.tracker.losses import OUTLIER

FIRST, SECOND = (-1.0, 1.0), (1.0, -2.0, 1.0)
LEAST = 1e-6  # of the curvature: keeps parameters that nothing sees where they are


class NormalEquations:
    """Σ_t |J δ_t + r|² and its kin, gathered term by term.

    Args:
        frames, size: T and the number of parameters B of a frame.
        reach: widens the robust terms, see `losses.robust`.
        derivatives: without them only the cost is counted, and no term asks for a Jacobian.
    """

    def __init__(self, frames: int, size: int, reach: float = 1.0, derivatives: bool = True):
        self.reach, self.derivatives, self.cost = reach, derivatives, 0.0
        size = size if derivatives else 0
        self.blocks = [torch.zeros(max(frames - k, 0), size, size, dtype=torch.float64) for k in range(3)]
        self.gradient = torch.zeros(frames, size, dtype=torch.float64)

    def add(
        self, jacobian: Tensor | None, residual: Tensor, weight: Tensor | float, at: slice = slice(None),
        robust: bool = True, frames: Tensor | slice = slice(None),
    ) -> None:  # fmt: skip
        """Add Σ w ρ(|r|²) over vectors.

        Args:
            jacobian: (T, N, D, b).
            residual: (T, N, D).
            weight: (T, N) or one number.
            at: which parameters b these are.
            robust: whether ρ is Geman–McClure or the square itself.
            frames: which frames the T here are.
        """
        weight = self._weigh(residual, weight, robust)
        if not self.derivatives:
            return
        rows = (jacobian * weight[..., None, None].sqrt()).flatten(1, 2)
        values = (residual * weight[..., None].sqrt()).flatten(1)
        self.blocks[0][frames, at, at] += (rows.mT @ rows).double()
        self.gradient[frames, at] += (rows.mT @ values[..., None])[..., 0].double()

    def add_direct(self, residual: Tensor, slope: Tensor | float, weight: Tensor | float, at: slice) -> None:
        """Add Σ w r² of residuals (T, b) that each follow one parameter with dr/dδ = slope; not robust."""
        slope, weight = (torch.as_tensor(value).expand_as(residual) for value in (slope, weight))
        self.cost += float((weight * residual**2).sum())
        if not self.derivatives:
            return
        self.blocks[0][:, at, at] += torch.diag_embed((weight * slope**2).double())
        self.gradient[:, at] += (weight * slope * residual).double()

    def add_second(
        self, value: Tensor, jacobian: Tensor | None, scale: float, weight: Tensor, at: slice = slice(None)
    ) -> None:
        """Add Σ w ρ(|s|²) of second differences over time s = (q₊ − 2 q + q₋) · scale.

        Args:
            value: (T, N, D) q.
            jacobian: (T, N, D, b) dq/dδ; None where q are the parameters `at` themselves.
            weight: (T − 2, N).
        """
        self._add_differences(SECOND, value, jacobian, scale, weight, at)

    def add_first(self, value: Tensor, jacobian: Tensor, scale: float, weight: Tensor) -> None:
        """Add Σ w ρ(|s|²) of first differences over time s = (q₊ − q) · scale; weight (T − 1, N)."""
        self._add_differences(FIRST, value, jacobian, scale, weight, slice(None))

    def _add_differences(self, stencil, value, jacobian, scale: float, weight: Tensor, at: slice) -> None:
        count = len(value) - len(stencil) + 1
        if count < 1:
            return
        change = sum(factor * value[k : k + count] for k, factor in enumerate(stencil))
        weights = self._weigh(change * scale, weight, True) * scale**2
        if not self.derivatives:
            return
        each = weights[..., None].expand_as(change).flatten(1)
        drive = each * change.flatten(1)
        rows = None if jacobian is None else jacobian.flatten(1, 2)
        for a, left in enumerate(stencil):
            pull = drive if rows is None else (rows[a : a + count].mT @ drive[..., None])[..., 0]
            self.gradient[a : a + count, at] += left * pull.double()
            for b, right in enumerate(stencil[: a + 1]):  # row block t + a, column block t + b
                if rows is None:
                    product = torch.diag_embed(each)
                else:
                    product = rows[a : a + count].mT @ (each[..., None] * rows[b : b + count])
                self.blocks[a - b][b : b + count, at, at] += left * right * product.double()

    def _weigh(self, residual: Tensor, weight: Tensor | float, robust: bool) -> Tensor:
        squared = residual.square().sum(-1)
        if not robust:
            self.cost += float((weight * squared).sum())
            return torch.as_tensor(weight).expand_as(squared)
        bound = (OUTLIER * self.reach) ** 2
        self.cost += float((weight * squared / (1 + squared / bound)).sum())
        return weight / (1 + squared / bound) ** 2

    def solve(self, damping: float, live: Tensor) -> Tensor | None:
        """Return δ (T, B) that lowers the cost, or None where the equations make no sense.

        Args:
            damping: added to the curvature, as a share of it.
            live: (T,) bool; other frames stay.
        """
        frames, size = self.gradient.shape
        diagonal, first, second = (block.clone() for block in self.blocks)
        curve = diagonal.diagonal(dim1=1, dim2=2)
        curve += damping * curve + LEAST * curve.amax().clamp(min=1e-12)
        still = ~live
        diagonal[still] = torch.eye(size, dtype=torch.float64)
        for k, block in ((1, first), (2, second)):
            block[(still[k:] | still[: frames - k])[: len(block)]] = 0
        gradient = torch.where(live[:, None], self.gradient, 0.0)
        banded = np.zeros((min(3, frames) * size, frames, size))
        row, column = np.indices((size, size)).reshape(2, -1)
        for k, block in enumerate((diagonal, first, second)[: min(3, frames)]):
            keep = k * size + row - column >= 0
            a, b = row[keep], column[keep]
            banded[k * size + a - b, : frames - k, b] = block.numpy()[:, a, b].T
        try:
            step = solveh_banded(banded.reshape(len(banded), -1), -gradient.flatten().numpy(), lower=True,
                                 overwrite_ab=True, check_finite=True)  # fmt: skip
        except (LinAlgError, ValueError):
            return None
        return torch.from_numpy(step.reshape(frames, size))
