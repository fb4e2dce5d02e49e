"""What the tracker estimates and what it must explain."""

from dataclasses import dataclass, replace

import roma
import torch
from torch import Tensor

from emosh_core.artifacts import TRUST_PARTS

UNTRUSTED = 3.0
"""How much stronger the priors of a part that nobody sees are."""
SHARED = ("betas_body", "betas_head")


@dataclass(frozen=True)
class Parameters:
    """Everything that is estimated; the root's rotation is `root` (T, 3, 3), the rest axis-angle [rad]."""

    root: Tensor
    body_pose: Tensor  # (T, 21, 3)
    left_hand_pose: Tensor  # (T, 15, 3)
    right_hand_pose: Tensor  # (T, 15, 3)
    eye_pose: Tensor  # (T, 2, 3)
    expression: Tensor  # (T, E)
    transl: Tensor  # (T, 3) m
    betas_body: Tensor  # (S,)
    betas_head: Tensor  # (S,)

    def frames(self, index) -> "Parameters":
        """Select frames; the shape is shared by all of them."""
        return replace(self, **{k: v[index] for k, v in vars(self).items() if k not in SHARED})

    def rotmats(self) -> Tensor:
        """Rotations of all 55 joints (T, 55, 3, 3) in SMPL-X order; the jaw rests (jawOpen is an expression)."""
        jaw = torch.zeros_like(self.eye_pose[:, :1])
        rest = torch.cat([self.body_pose, jaw, self.eye_pose, self.left_hand_pose, self.right_hand_pose], 1)
        return torch.cat([self.root[:, None], roma.rotvec_to_rotmat(rest)], 1)

    @property
    def betas(self) -> Tensor:
        """(S + S',) body shape, then head shape."""
        return torch.cat([self.betas_body, self.betas_head])

    @property
    def finite(self) -> bool:
        """Whether every number is one."""
        return all(bool(value.isfinite().all()) for value in vars(self).values())


@dataclass(frozen=True)
class Observations:
    """What the parameters must explain, weighted and ready for the losses."""

    pixels: Tensor  # (T, N, 2) px
    weight: Tensor  # (T, N): 0 where a point is not to be trusted
    depth: Tensor  # (T, N) px
    directions: Tensor  # (T, 8, 3) unit vectors, camera axes
    direction_weight: Tensor  # (T, 8)
    metre: Tensor  # (T,) px that a metre at the person's depth is about: the scale of expected errors, not estimated
    trust: Tensor  # (T, 8) see TRUST_PARTS
    begins: Tensor  # (T,) bool, the first frame of a shot: nothing reaches across
    planted: Tensor  # (T, 4) bool, soles that rest: left heel, left toe, right heel, right toe
    touch: Tensor  # (T,) bool, hands that touch
    touching: Tensor  # (T, 2) which point of the left and of the right hand
    body_mean: Tensor  # (T, 21, 3) the pose that is likely before anything is seen
    left_hand_mean: Tensor  # (T, 15, 3)
    right_hand_mean: Tensor  # (T, 15, 3)
    K: Tensor  # (3, 3) px
    rate: float  # frames/s over 30

    @property
    def joined(self) -> Tensor:
        """(T − 2, 1) 1 where three neighbouring frames belong to one shot, else 0."""
        return (~(self.begins[1:-1] | self.begins[2:])).to(self.weight)[:, None]

    def doubt(self, parts: tuple[str, ...]) -> Tensor:
        """Return how much more than usual priors must count for parts (T, P); the person's share holds for all."""
        rows = [TRUST_PARTS.index(part) for part in parts]
        return 1 + UNTRUSTED * (1 - self.trust[:, rows] * self.trust[:, :1])

    def at(self, p: Parameters) -> "Observations":
        """Return the same with the scale of expected errors that a start has."""
        return replace(self, metre=self.K[0, 0] / (-p.transl[:, 2]).clip(min=0.1))

    def frames(self, index) -> "Observations":
        """Select frames."""
        return replace(self, **{k: v[index] for k, v in vars(self).items() if isinstance(v, Tensor) and k != "K"})
