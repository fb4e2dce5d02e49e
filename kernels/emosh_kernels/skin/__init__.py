"""Linear blend skinning: moves vertices with the joints that they are bound to, forwards and backwards."""

from emosh_kernels.skin.binding import Binding, bind
from emosh_kernels.skin.skin import skin

__all__ = ["Binding", "bind", "skin"]
