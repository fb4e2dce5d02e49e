"""People dressed from the asset pack."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emosh_core.body.ehm import EhmModel, ShapedBody
from emosh_core.render.shade import vertex_normals
from emosh_core.synth.assembly import Mesh, Sheet, assemble, body_as_worn
from emosh_core.synth.atlas import cut, density
from emosh_core.synth.base import load_base
from emosh_core.synth.cards import deal, sheets
from emosh_core.synth.covered import covered, inner, neighbours, smooth
from emosh_core.synth.figure import Figure, Person
from emosh_core.synth.garment import covered_shoe, hidden_faces, wear
from emosh_core.synth.looks import Looks, color, draw_looks
from emosh_core.synth.pack import Geometry, Item, Pack, distinct_corners, load_pack
from emosh_core.synth.people import draw_identity
from emosh_core.synth.tinting import dyed, scaled, turned

VERSION = 1
"""Raised whenever the same seed would give other people."""
FINE_PIXELS = 2.0
"""Frames are drawn with so many pixels per pixel and axis before they are averaged."""
TEXEL = 0.85
"""Size of a texel in such fine pixels."""
CLOSE_UP = {"head": 2.0, "eyes": 2.5, "eyebrows": 2.0, "eyelashes": 2.0, "hair": 1.3, "teeth": 1.2, "tongue": 1.0}
"""How much finer than the rest of a person some textures are kept."""
GLOSS = {"skin": 0.15, "cloth": 0.0, "shoes": 0.4, "eyes": 0.8, "teeth": 0.8, "tongue": 0.5, "hair": 0.25}
HAIR_LAYERS = 3
OCCLUSION = 0.5
"""How much darker skin is that no light from around reaches at rest."""
CLOTH_REACH, HAIR_REACH = 0.04, 0.06
"""What lies less far outside the skin covers it [m]."""
HEM_RINGS = 2
"""Skin is kept under the rim of a garment for so many rings of vertices."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The body's surface, sorted by what has a texture of its own."""

    faces: np.ndarray
    corners: np.ndarray
    uv: np.ndarray
    owner: np.ndarray
    group: np.ndarray
    """(F,) the group of each face."""
    verts: np.ndarray
    normals: np.ndarray
    near: object
    """Which vertices share an edge, see `covered.neighbours`."""


class PackWardrobe:
    """Draws people and dresses them from the asset pack."""

    def __init__(self, folder: Path | str, body: EhmModel):
        """Open the pack.

        Raises:
            AssetError: the pack, a file of it or the base mesh's file is missing or damaged.
        """
        self.pack, self.body, self.base = load_pack(folder), body, load_base(body)
        self.name = f"pack {self.pack.fingerprint[:12]}"
        parts = f"{VERSION} {self.pack.fingerprint} {self.base.fingerprint} {body.fingerprint}"
        self.fingerprint = hashlib.sha256(parts.encode()).hexdigest()
        self.covered_by = functools.lru_cache(maxsize=64)(self._cover)
        self.layers_of = functools.lru_cache(maxsize=32)(self._deal)

    def person(self, rng: np.random.Generator, split: str) -> Person:
        """Draw somebody whose identity belongs to a split, and what they wear."""
        shape, who = draw_identity(rng, split)
        return Person(shape=shape, looks=draw_looks(rng, self.pack, who))

    def figure(self, person: Person, pixels: float) -> Figure:
        """Dress a person, see `figure.Wardrobe`."""
        return _Dressing(self, person.looks, self.base.model.with_shape_of(person.shape), pixels).figure(
            self.body.with_shape_of(person.shape))

    @functools.cached_property
    def skin(self) -> Surface:
        """The body's surface."""
        model = self.body
        faces, face_uv = model.faces.cpu().numpy(), model.face_uv.cpu().numpy()
        corners, uv_rows, owner = distinct_corners(faces, face_uv)
        names = np.array([name if name == "head" or name.startswith(("eye", "mouth", "tongue")) else "body"
                          for name in model.part_names])
        normals = vertex_normals(model.template[None], model.faces)[0].cpu().numpy()
        return Surface(faces, corners, model.uv.cpu().numpy()[uv_rows], owner, names[model.face_part.cpu().numpy()],
                     model.template.cpu().numpy(), normals, neighbours(faces, len(model.template)))

    @functools.cached_property
    def _average(self) -> ShapedBody:
        return self.base.model.with_shape(*(self.body.template.new_zeros(count) for count in (32, 64)))

    def _cover(self, kind: str, name: str) -> np.ndarray:
        """Say which vertices of the average body (V,) an item covers."""
        geometry = self.pack.geometry(self.pack.item(kind, name))
        verts = wear(geometry, self.base, self._average).verts.cpu().numpy()
        reach = HAIR_REACH if kind == "hair" else CLOTH_REACH
        return covered(self.skin.verts, self.skin.normals, verts, geometry.faces, reach)

    def _deal(self, name: str) -> np.ndarray:
        """Return the layer of each face of a hair style."""
        geometry = self.pack.geometry(self.pack.item("hair", name))
        return deal(wear(geometry, self.base, self._average).verts.cpu().numpy(), geometry.faces, HAIR_LAYERS)


class _Dressing:
    """One person being dressed: collects meshes and the sheets of the parts."""

    def __init__(self, wardrobe: PackWardrobe, looks: Looks, shaped: ShapedBody, pixels: float):
        self.wardrobe, self.looks, self.shaped = wardrobe, looks, shaped
        self.pack: Pack = wardrobe.pack
        height = shaped.rest_verts[: len(wardrobe.body.template), 1]
        self.texels_per_metre = pixels * FINE_PIXELS / TEXEL / float(height.max() - height.min())
        self.meshes: list[Mesh] = []
        self.solid: list[Sheet] = []

    def figure(self, body: ShapedBody) -> Figure:
        looks = self.looks
        outfit, shoes = self._geometry("outfit", looks["outfit"]), self._geometry("shoes", looks["shoes"])
        face = {kind: self.pack.of(kind)[0] for kind in ("eyes", "teeth", "tongue")}
        self._body([outfit, shoes, *(self.pack.geometry(item) for item in face.values())])
        self._outfit(outfit)
        self._shoes(shoes, outfit)
        self._eyes(face["eyes"])
        self._mouth(face["teeth"], face["tongue"])
        lines = [self._hairs("eyebrows"), self._hairs("eyelashes")]
        return assemble(body, self.meshes, [self.solid, lines, *self._hair()])

    def _geometry(self, kind: str, name) -> Geometry:
        return self.pack.geometry(self.pack.item(kind, str(name)))

    def _add(self, geometry: Geometry, gloss: float, tint: np.ndarray | None = None) -> int:
        worn = wear(geometry, self.wardrobe.base, self.shaped)
        count = len(worn.verts)
        tint = np.ones((count, 3), np.float32) if tint is None else tint
        self.meshes.append(Mesh(worn, tint, np.full(count, gloss, np.float32)))
        return len(self.meshes) - 1

    def _sheet(self, mesh: int, faces, corners, uv, owner, item: Item, kind: str, stem: str | None = None) -> Sheet:
        """Make a sheet with a texture of the right size."""
        used, rows = np.unique(corners, return_inverse=True)
        verts = self.meshes[mesh].worn.verts.cpu().numpy()
        wanted = self.texels_per_metre * CLOSE_UP.get(kind, 1.0)
        for role in ("diffuse", "diffuse_hi"):
            if role == "diffuse_hi" and item.kind != "skin":
                break
            picture = self.pack.picture(item, role, stem)
            scale = wanted / density(verts, faces, uv, corners, picture.shape[:2])
            if scale <= 1:
                break
        return Sheet(mesh, faces, rows.reshape(corners.shape), owner[used], cut(picture, uv[used], scale))

    def _whole(self, mesh: int, geometry: Geometry, item: Item, kind: str, stem: str | None = None,
               keep: np.ndarray | slice = slice(None)) -> Sheet:  # fmt: skip
        return self._sheet(mesh, geometry.faces[keep], geometry.corners[keep], geometry.uv, geometry.owner, item,
                           kind, stem)  # fmt: skip

    def _body(self, worn: list[Geometry]) -> None:
        surface, looks = self.wardrobe.skin, self.looks
        ids = self.wardrobe.base.body_ids
        hidden = np.logical_or.reduce([geometry.deleted for geometry in worn])[ids]
        under = self.wardrobe.covered_by("outfit", looks["outfit"])
        hidden |= inner(under | hidden, surface.near, HEM_RINGS)
        visible = ~hidden_faces(surface.faces, hidden)
        count = len(self.wardrobe.body.template)
        gloss = np.full(count, GLOSS["skin"], np.float32)
        self.meshes.append(Mesh(body_as_worn(self.shaped, count), self._skin_tint(), gloss))
        item = self.pack.item("skin", str(looks["skin"]))
        for group in np.unique(surface.group):
            keep = visible & (surface.group == group)
            if keep.any():
                sheet = self._sheet(0, surface.faces[keep], surface.corners[keep], surface.uv, surface.owner, item,
                                    str(group))  # fmt: skip
                self.solid.append(_recoloured(sheet, turned(sheet.piece.picture, 0.0, looks["skin_saturation"],
                                                            color(looks, "skin"))))

    def _skin_tint(self) -> np.ndarray:
        """Return (V, 3): dark inside the mouth, the colour of hair under hair."""
        surface, looks = self.wardrobe.skin, self.looks
        shade = 1 - OCCLUSION * (1 - smooth(self.wardrobe.base.openness, surface.near, 1))
        shade[np.unique(surface.faces[surface.group == "mouth_cavity"])] = 0.2
        tint = np.repeat(shade[:, None], 3, 1).astype(np.float32)
        if looks["hair"] == "none":
            return tint
        under = self.wardrobe.covered_by("hair", looks["hair"]) & _scalp(self.wardrobe)
        share = smooth(inner(under, surface.near, 1).astype(np.float32), surface.near, 2)[:, None]
        return tint * (1 - share * (1 - np.clip(color(looks, "hair") / 0.5, 0.15, 1)))

    def _outfit(self, geometry: Geometry) -> None:
        item = self.pack.item("outfit", str(self.looks["outfit"]))
        mesh = self._add(geometry, GLOSS["cloth"])
        top = _above_waist(geometry, self.meshes[mesh].worn.verts.cpu().numpy(), self.shaped)
        for part, keep in (("top", top), ("bottom", ~top)):
            if keep.any():
                sheet = self._whole(mesh, geometry, item, "outfit", keep=keep)
                self.solid.append(_recoloured(sheet, turned(
                    sheet.piece.picture, self.looks[f"{part}_hue"], self.looks[f"{part}_saturation"],
                    color(self.looks, part))))  # fmt: skip

    def _shoes(self, geometry: Geometry, outfit: Geometry) -> None:
        item = self.pack.item("shoes", str(self.looks["shoes"]))
        keep = ~hidden_faces(geometry.faces, covered_shoe(geometry, outfit))
        mesh = self._add(geometry, GLOSS["shoes"])
        if keep.any():
            sheet = self._whole(mesh, geometry, item, "shoes", keep=keep)
            self.solid.append(_recoloured(sheet, scaled(sheet.piece.picture, color(self.looks, "shoes"))))

    def _eyes(self, item: Item) -> None:
        geometry = self.pack.geometry(item)
        near = self.wardrobe.base.rows.cpu().numpy()[geometry.ref_ids]
        open_ = (self.wardrobe.base.openness[near] * geometry.ref_weights).sum(1).clip(0, 1)
        mesh = self._add(geometry, GLOSS["eyes"], np.repeat((1 - 0.5 * (1 - open_))[:, None], 3, 1))
        self.solid.append(self._whole(mesh, geometry, item, "eyes", str(self.looks["eyes"])))

    def _mouth(self, teeth: Item, tongue: Item) -> None:
        for item in (teeth, tongue):
            geometry = self.pack.geometry(item)
            mesh = self._add(geometry, GLOSS[item.kind])
            depth = self.meshes[mesh].worn.verts[:, 2].cpu().numpy()
            behind = (depth.max() - depth) / 0.045
            front = 0.85 if item is teeth else 0.62
            self.meshes[mesh].tint[:] = np.clip(front * (1 - behind), 0.12, 1)[:, None] * np.array([1, 0.96, 0.9])
            sheet = self._whole(mesh, geometry, item, item.kind)
            gain = np.full(3, self.looks["teeth_white"] if item is teeth else 0.8)
            self.solid.append(_recoloured(sheet, _opaque(scaled(sheet.piece.picture, gain))))

    def _hairs(self, kind: str) -> Sheet:
        """Brows or lashes."""
        item = self.pack.item(kind, str(self.looks[kind]))
        geometry = self.pack.geometry(item)
        sheet = self._whole(self._add(geometry, 0.0), geometry, item, kind)
        dark = np.minimum(color(self.looks, "hair") * 0.7, 0.4) if kind == "eyebrows" else np.full(3, 0.04)
        return _recoloured(sheet, dyed(sheet.piece.picture, dark, 0.3))

    def _hair(self) -> list[list[Sheet]]:
        """The hair in layers."""
        if self.looks["hair"] == "none":
            return []
        item = self.pack.item("hair", str(self.looks["hair"]))
        geometry = self.pack.geometry(item)
        mesh = self._add(geometry, GLOSS["hair"])
        layer = self.wardrobe.layers_of(item.name)
        whole = self._whole(mesh, geometry, item, "hair")
        whole = _recoloured(whole, dyed(whole.piece.picture, color(self.looks, "hair")))
        return [[Sheet(mesh, whole.faces[layer == k], whole.corners[layer == k], whole.owner, whole.piece)]
                for k in range(HAIR_LAYERS) if (layer == k).any()]  # fmt: skip


def _recoloured(sheet: Sheet, picture: np.ndarray) -> Sheet:
    return Sheet(sheet.mesh, sheet.faces, sheet.corners, sheet.owner, type(sheet.piece)(picture, sheet.piece.texels))


def _opaque(picture: np.ndarray) -> np.ndarray:
    """Fill what is transparent with the colour that is there, as far as there is any."""
    alpha = picture[..., 3:]
    rgb = np.where(alpha > 0.05, picture[..., :3] / np.maximum(alpha, 0.05), picture[..., :3])
    return np.concatenate([rgb, np.ones_like(alpha)], -1)


def _above_waist(geometry: Geometry, verts: np.ndarray, shaped: ShapedBody) -> np.ndarray:
    """Say which faces (F,) belong to pieces of a garment that reach up to the chest, not down to the knees."""
    piece = sheets(geometry.faces, len(verts))
    waist = float(shaped.rest_joints[3, 1])
    middle = np.bincount(piece, verts[geometry.faces, 1].mean(1)) / np.bincount(piece)
    return middle[piece] > waist


def _scalp(wardrobe: PackWardrobe) -> np.ndarray:
    """Say which vertices (V,) of the body may carry hair: the head above and behind the ears."""
    model = wardrobe.body
    verts = model.template.cpu().numpy()
    eyes = model.joints[[23, 24]].mean(0).cpu().numpy()
    head = model.head_mask.cpu().numpy() > 0.9
    return head & ((verts[:, 1] > eyes[1] + 0.06) | (verts[:, 2] < eyes[2] - 0.10))
