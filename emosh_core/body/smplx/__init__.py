"""SMPL-X with FLAME's head, from the files that a user has licensed; nothing of them is shipped."""

from emosh_core.body.smplx.assemble import read_smplx
from emosh_core.body.smplx.model import ShapedSmplx, SmplxModel

__all__ = ["ShapedSmplx", "SmplxModel", "read_smplx"]
