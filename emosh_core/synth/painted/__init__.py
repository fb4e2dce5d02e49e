"""People whose skin, face, eyes, hair and clothes are painted by procedure: no pack of assets is needed."""

from emosh_core.synth.painted.wardrobe import PaintedWardrobe

__all__ = ["PaintedWardrobe"]
