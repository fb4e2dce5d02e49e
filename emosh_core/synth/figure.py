"""A dressed person, ready to be posed and drawn: what wardrobes make and what `emosh_core.synth.draw` takes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from emosh_kernels.skin import Binding, skin
from torch import Tensor

from emosh_core.artifacts import Shape
from emosh_core.body.ehm import PosedBody, ShapedBody
from emosh_core.body.pose import Pose


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who somebody is and what they wear, as a wardrobe drew it."""

    shape: Shape
    looks: dict[str, str | float]
    """What was chosen, for example `skin`, `outfit`, `hair`, `gender`, `age`; goes into the clip's notes as it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Triangles with one texture that are drawn in one go."""

    faces: Tensor
    """(F, 3) int32 rows of `Figure.rest_verts`, counter-clockwise seen from outside."""
    corners: Tensor
    """(F, 3) int32 rows of `texels`."""
    texels: Tensor
    """(U, 2) float32 places in the texture [px]."""
    owner: Tensor
    """(U,) int64 the vertex each row of `texels` belongs to, for values per vertex."""
    texture: Tensor
    """(h, w, 4) float32: RGB times alpha, alpha; 0..1; already filtered for the size at which it is seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A dressed person at rest.

    The first vertices are those of the body model, unchanged and in its order, so that landmarks and
    joints are those of the bare body; garments, hair, teeth and so on follow. Vertices that nothing
    draws (skin under clothes) are in no face.
    """

    shaped: ShapedBody
    rest_verts: Tensor
    """(V, 3) [m] in the rest pose of the body model."""
    binding: Binding
    """Skin weights (V, 55)."""
    expression_verts: Tensor
    """(E,) the vertices that expressions move."""
    expression_dirs: Tensor
    """(E, 3, 52) [m at weight 1] on this person, head size included."""
    tint: Tensor
    """(V, 3) factor on the texture's colour: baked occlusion (mouth, under chin), the colour of hair on scalps."""
    gloss: Tensor
    """(V,) strength of the highlight, 0..1: cloth 0, skin about 0.15, leather 0.4, eyes and teeth 0.8."""
    parts: tuple[Part, ...]
    """The first is opaque (alpha 1) and holds all that is solid; the others blend: brows, lashes, and two to four of
    hair, whose cards were dealt out so that cards of one part hardly cover each other."""

    def pose(self, pose: Pose) -> tuple[Tensor, Tensor, PosedBody]:
        """Pose everything.

        Returns:
            All vertices (T, V, 3) in world axes [m]; the maps (T, 55, 3, 4) that moved them; and the body alone, whose
            `verts` are the first of them.
        """
        turned, joints = self.shaped.place_joints(pose.rotmats(), pose.transl)
        moved = (pose.expression @ self.expression_dirs.flatten(0, 1).T).unflatten(-1, (-1, 3))
        rest = self.rest_verts.expand(len(joints), -1, -1).index_add(-2, self.expression_verts, moved)
        transforms = self.shaped.away_from_rest(turned, joints)
        verts = skin(rest, self.binding, transforms)
        model = self.shaped.model
        body = PosedBody(model=model, verts=verts[:, : len(model.template)], joints=joints, rotmats=turned)
        return verts, transforms, body


class Wardrobe(Protocol):
    """Draws people and dresses them, on the device of the body model that it was made with."""

    name: str
    """Stands in the artifacts: what people were made of."""
    fingerprint: str
    """Changes when the same seed would give other people."""

    def person(self, rng: np.random.Generator, split: str) -> Person:
        """Draw a person whose identity belongs to a split: "train", "val" or "test"."""

    def figure(self, person: Person, pixels: float) -> Figure:
        """Dress a person.

        Args:
            pixels: height of the person in the picture [px] (where it is largest), for filtering textures.
        """
