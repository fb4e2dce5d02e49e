"""Read the CC0 asset pack: skins, garments, hair and face parts for the MakeHuman base mesh."""

import functools
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emosh_core.errors import AssetError
from emosh_core.synth.base import BASE_SIZE

FETCH = "give the folder of the MakeHuman asset pack (the one that holds manifest.json), complete and unchanged"


@dataclass(frozen=True)
class PackFile:
    """A file of the pack as the manifest describes it."""

    path: str
    role: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Item:
    """One asset of the pack."""

    kind: str
    name: str
    tags: dict[str, object]
    files: tuple[PackFile, ...]
    neutral: bool
    """The texture is plain fabric, meant to be tinted."""

    def suits(self, gender: str) -> bool:
        """Say whether somebody "female" or "male" may wear it."""
        return self.tags.get("gender", "any") in ("any", gender)


@dataclass(frozen=True, eq=False)
class Geometry:
    """An asset's mesh and how it is bound to the base mesh; N vertices, F triangles, U texels."""

    ref_ids: np.ndarray
    """(N, 3) vertices of the base mesh."""
    ref_weights: np.ndarray
    """(N, 3), rows sum to 1."""
    offsets: np.ndarray
    """(N, 3) x, y, z in the file's unit, see `scale_den`."""
    scale_ids: np.ndarray
    """(3, 2) per axis: two vertices of the base mesh."""
    scale_den: np.ndarray
    """(3,) per axis: how far apart they are in the file's unit."""
    faces: np.ndarray
    """(F, 3)."""
    corners: np.ndarray
    """(F, 3) rows of `uv`."""
    uv: np.ndarray
    """(U, 2), v points up."""
    owner: np.ndarray
    """(U,) the vertex of each row of `uv`."""
    deleted: np.ndarray
    """(19158,) bool: vertices of the base mesh that the asset replaces or hides."""


class Pack:
    """A folder with a manifest; files are read and checked when they are first used, and kept."""

    def __init__(self, folder: Path, items: tuple[Item, ...], fingerprint: str):
        self.folder, self.items, self.fingerprint = folder, items, fingerprint
        self.geometry = functools.lru_cache(maxsize=64)(self._geometry)
        self.picture = functools.lru_cache(maxsize=64)(self._picture)

    def of(self, kind: str) -> list[Item]:
        """Return the items of a kind in the manifest's order.

        Raises:
            AssetError: there are none.
        """
        found = [item for item in self.items if item.kind == kind]
        if not found:
            raise AssetError(f"the asset pack has no {kind}", found=str(self.folder), fix=FETCH)
        return found

    def item(self, kind: str, name: str) -> Item:
        """Return an item by name.

        Raises:
            AssetError: there is none.
        """
        for item in self.of(kind):
            if item.name == name:
                return item
        known = ", ".join(item.name for item in self.of(kind))
        raise AssetError(f"the asset pack has no {kind} named {name!r}", found=known, fix=FETCH)

    def read(self, file: PackFile) -> bytes:
        """Return a file's bytes.

        Raises:
            AssetError: it is missing, or not what the manifest says.
        """
        path = self.folder / file.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise AssetError("a file of the asset pack is missing", found=f"{path}: {error}", fix=FETCH) from error
        if (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise AssetError(
                "a file of the asset pack is damaged",
                found=f"{path}: sha256 {digest[:12]}, the manifest says {file.sha256[:12]}", fix=FETCH,
            )  # fmt: skip
        return content

    def file(self, item: Item, role: str, stem: str | None = None) -> PackFile:
        """Return an item's file of a role, and where there are several, the one with this name."""
        for file in item.files:
            if file.role == role and stem in (None, Path(file.path).stem):
                return file
        raise AssetError(f"{item.kind} {item.name} of the asset pack has no {role} {stem or ''}".strip(),
                         found=", ".join(file.path for file in item.files), fix=FETCH)  # fmt: skip

    def _picture(self, item: Item, role: str = "diffuse", stem: str | None = None) -> np.ndarray:
        """Decode a texture: (h, w, 4) uint8 RGB and straight alpha."""
        file = self.file(item, role, stem)
        pixels = cv2.imdecode(np.frombuffer(self.read(file), np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.ndim != 3:
            raise AssetError("a file of the asset pack is no colour picture", found=file.path, fix=FETCH)
        code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return cv2.cvtColor(pixels, code)

    def arrays(self, item: Item) -> dict[str, np.ndarray]:
        """Return the arrays of an item's geometry file."""
        file = self.file(item, "geometry")
        try:
            with np.load(io.BytesIO(self.read(file)), allow_pickle=False) as archive:
                return dict(archive)
        except (ValueError, zipfile.BadZipFile) as error:
            raise AssetError("a file of the asset pack is damaged", found=f"{file.path}: {error}", fix=FETCH) from error

    def _geometry(self, item: Item) -> Geometry:
        """Read how an item is shaped and bound."""
        arrays = self.arrays(item)
        try:
            corners, uv_rows, owner = distinct_corners(arrays["faces"], arrays["face_uv"])
            geometry = Geometry(
                ref_ids=arrays["ref_vertex_ids"].astype(np.int64), ref_weights=arrays["ref_weights"],
                offsets=arrays["offsets"], scale_ids=arrays["scale_vertex_ids"], scale_den=arrays["scale_den"],
                faces=arrays["faces"], corners=corners, uv=arrays["uv"][uv_rows], owner=owner,
                deleted=arrays["delete_mask"],
            )  # fmt: skip
        except KeyError as error:
            found = f"{item.name}: no array {error}"
            raise AssetError("a file of the asset pack lacks an array", found=found, fix=FETCH) from error
        if geometry.ref_ids.max() >= BASE_SIZE or len(geometry.deleted) != BASE_SIZE:
            raise AssetError("an asset belongs to another base mesh", found=item.name, fix=FETCH)
        return geometry


def distinct_corners(faces: np.ndarray, face_uv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the pairs of vertex and uv that corners of faces (F, 3) are.

    Returns:
        Each corner's pair (F, 3), and of each pair the row of the uv table (U,) and the vertex (U,).
    """
    key = faces.astype(np.int64) * (int(face_uv.max()) + 1) + face_uv
    pairs, corners = np.unique(key, return_inverse=True)
    owner, uv_rows = np.divmod(pairs, int(face_uv.max()) + 1)
    return corners.reshape(faces.shape), uv_rows, owner


def load_pack(folder: Path | str) -> Pack:
    """Read the pack's manifest.

    Raises:
        AssetError: the folder or its manifest is missing, or the manifest is not one.
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise AssetError("there is no asset pack", found=f"{folder} is no folder", fix=FETCH)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AssetError("the asset pack has no manifest", found=f"{path}: {error}", fix=FETCH) from error
    try:
        items = tuple(_item(entry) for entry in json.loads(content)["items"])
    except (ValueError, KeyError, TypeError) as error:
        found = f"{path}: {type(error).__name__} {error}"
        raise AssetError("the manifest of the asset pack is damaged", found=found, fix=FETCH) from error
    return Pack(folder, items, hashlib.sha256(content).hexdigest())


def _item(entry: dict) -> Item:
    files = tuple(PackFile(file["path"], file["role"], file["sha256"]) for file in entry["files"])
    return Item(entry["kind"], entry["name"], entry["tags"], files, bool(entry.get("neutral_texture", False)))
