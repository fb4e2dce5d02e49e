"""Straight strokes drawn with subpixel accuracy, the far ones first, hidden by what lies in front."""

from emosh_kernels.strokes.strokes import Strokes, draw_strokes

__all__ = ["Strokes", "draw_strokes"]
