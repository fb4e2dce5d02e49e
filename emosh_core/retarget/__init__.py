"""Retargeting: the driver's motion on the reference's shape, at its scale, with its touches kept."""

from emosh_core.retarget.swap import retarget
from emosh_core.settings import RetargetConfig

__all__ = ["RetargetConfig", "retarget"]
