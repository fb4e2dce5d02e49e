"""Artifact dataclasses to Zarr v3 groups and back.

Array fields become arrays with dimension names, scalar fields become the group attribute `values`,
a nested dataclass becomes a subgroup. Everything else about the artifact (kind, schema, fingerprint,
settings, inputs, ...) stands in the group's attributes, so that plain Zarr reads the whole of it.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from emosh_core.artifacts import CONTACTS, Clip, Cond, Motion, Shape, Target, Truth, trust_of
from emosh_core.errors import ArtifactError

T = TypeVar("T")

KINDS = {cls.KIND: cls for cls in (Motion, Shape, Target, Cond, Clip, Truth)}

CHUNK_BYTES = 4 << 20
"""Arrays are cut along their first axis into chunks of about this size (before compression)."""


def _without_contacts(fields: dict[str, Any]) -> dict[str, Any]:
    """Targets of schema 1 were made before contacts were looked for: none was held."""
    return fields | {"contacts": np.zeros((fields["transl"].shape[0], len(CONTACTS)), np.float32)}


def _camera_per_frame(fields: dict[str, Any]) -> dict[str, Any]:
    """Motion 1, target 2 and cond 1 had one K (3, 3) for all frames."""
    return fields | {"K": np.repeat(fields["K"][None], len(fields["time"]), 0)}


def _trust_from_masks(fields: dict[str, Any]) -> dict[str, Any]:
    masks = (np.asarray(fields[f"{part}_valid"]) for part in ("person", "face", "left_hand", "right_hand"))
    return fields | {"trust": trust_of(*masks)}


MIGRATIONS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("target", 1): _without_contacts,
    ("motion", 1): _camera_per_frame,
    ("target", 2): _camera_per_frame,
    ("cond", 1): _camera_per_frame,
    ("motion", 2): _trust_from_masks,
    ("target", 3): _trust_from_masks,
}
"""(kind, schema) to a function that takes the fields of that schema and returns those of the next."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where an artifact comes from; becomes group attributes."""

    fingerprint: str
    config: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, str]] = field(default_factory=list)
    """Each with a `role` and a `sha256` (file) or a `fingerprint` (artifact)."""
    models: dict[str, str] = field(default_factory=dict)
    created: str = ""
    emosh_version: str = ""
    seconds: float = 0.0
    device: str = ""
    notes: list[str] = field(default_factory=list)
    """What a person should know, for example frames that could not be decoded."""


def write(path: Path, value: Any, provenance: Provenance) -> None:
    """Write an artifact as a new Zarr group; `emosh_core.workspace.store` makes that atomic.

    Array fields may be Zarr arrays: these are copied without being held in memory.
    """
    import zarr

    group = zarr.create_group(path, zarr_format=3, overwrite=True)
    attributes = dataclasses.asdict(provenance)
    frames = value.time.shape[0] if hasattr(value, "time") else 1
    group.update_attributes(_fill(group, value) | attributes | {"frames": frames})


def read(path: Path, kind: type[T], *, lazy: Sequence[str] = ()) -> T:
    """Read an artifact.

    Args:
        path: the group's folder.
        kind: the dataclass that is expected.
        lazy: array fields that stay on disk: they come as Zarr arrays, which are sliced like numpy's.

    Raises:
        ArtifactError: missing, of another kind, of a newer schema, or damaged.
    """
    header = read_header(path)
    if header["kind"] != kind.KIND:
        raise ArtifactError(
            f"a {kind.KIND} artifact is needed",
            found=f"{path} is a {header['kind']}",
            fix=f"give a {kind.KIND} artifact",
        )
    import zarr
    from zarr.errors import BaseZarrError

    try:
        return _load(zarr.open_group(path, mode="r"), kind, set(lazy), path)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, BaseZarrError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def read_any(path: Path, *, lazy: Sequence[str] = ()) -> Any:
    """Read an artifact of whatever kind it says it is."""
    header = read_header(path)
    check_schema(path, kind := header["kind"], header["schema_version"])
    return read(path, KINDS[kind], lazy=lazy)


def find_artifacts(places: Sequence[Path], kind: str) -> list[Path]:
    """Return every artifact of a kind at or below some folders, sorted by path; unfinished work is left out.

    Raises:
        ArtifactError: a place does not exist, or there is no such artifact in any.
    """
    found = set()
    for place in places:
        if not place.is_dir():
            raise ArtifactError(f"no such folder: {place}", fix="give a workspace, a folder of clips or an artifact")
        groups = [place] if place.suffix == ".zarr" else place.rglob("*.zarr")
        hidden = len(place.parts)
        for group in groups:
            inside = group.parts[hidden:]
            whole = (group / "zarr.json").is_file() and not any(part.startswith(".") for part in inside)
            if whole and read_header(group)["kind"] == kind:
                found.add(group)
    if not found:
        where = ", ".join(map(str, places))
        raise ArtifactError(f"no {kind} artifact in {where}", fix="emosh track CLIP.mp4 -o ws, or emosh synth -o clips")
    return sorted(found)


def read_header(path: Path) -> dict[str, Any]:
    """Read a group's attributes without loading Zarr (its metadata is one JSON file).

    What an older EMOSH did not write yet has the value that `Provenance` gives it.
    """
    file = path / "zarr.json"
    if not file.is_file():
        raise ArtifactError(
            f"no artifact at {path}", found="no zarr.json there", fix="see `emosh status` for what exists"
        )
    try:
        attributes = dict(json.loads(file.read_text(encoding="utf-8")).get("attributes", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(attributes.get("kind"), str) or not isinstance(attributes.get("schema_version"), int):
        raise ArtifactError(
            f"not an EMOSH artifact: {path}",
            found="attributes without kind and schema_version",
            fix="give an artifact folder",
        )
    return dataclasses.asdict(Provenance(fingerprint="")) | {"values": {}, "frames": 0} | attributes


def check_schema(path: Path, kind: str, schema: int) -> None:
    """Refuse an artifact that this version cannot read.

    Raises:
        ArtifactError: its kind is unknown, or its schema newer, or older and without a migration.
    """
    if kind not in KINDS:
        raise ArtifactError(f"unknown kind of artifact {kind!r}", found=str(path), fix=f"known: {', '.join(KINDS)}")
    known = KINDS[kind].SCHEMA
    if schema > known:
        raise ArtifactError(
            f"the artifact was written by a newer EMOSH: {path}",
            found=f"{kind} schema {schema}; this version reads up to {known}",
            fix="upgrade: pip install --upgrade emosh",
        )
    for step in range(schema, known):
        if (kind, step) not in MIGRATIONS:
            raise ArtifactError(
                f"the artifact is too old to be read: {path}",
                found=f"{kind} schema {step}; there is no way from it to {step + 1}",
                fix="run its stage again with --force",
            )


def arrays(path: Path) -> list[dict[str, Any]]:
    """Describe the arrays of an artifact: name, shape, axes, dtype and unit."""
    import zarr

    rows = []
    for name, member in sorted(zarr.open_group(path, mode="r").members(max_depth=None)):
        if isinstance(member, zarr.Array):
            axes = ", ".join(member.metadata.dimension_names or ())
            unit = member.attrs.get("unit", "")
            rows.append(
                {"name": name, "shape": list(member.shape), "axes": axes, "dtype": str(member.dtype), "unit": unit}
            )
    return rows


def _fill(group: Any, value: Any) -> dict[str, Any]:
    """Write the fields of a dataclass into a group; return its attributes."""
    values, units, sizes = {}, {}, {}
    for spec in dataclasses.fields(value):
        content = getattr(value, spec.name)
        if "dims" in spec.metadata:
            _write_array(group, spec, content, sizes)
            units[spec.name] = spec.metadata["unit"]
        elif dataclasses.is_dataclass(content):
            sub = group.create_group(spec.name)
            sub.update_attributes(_fill(sub, content))
        else:
            values[spec.name] = content
    return {"kind": value.KIND, "schema_version": value.SCHEMA, "values": values, "units": units}


def _write_array(group: Any, spec: dataclasses.Field, data: Any, sizes: dict[str, int]) -> None:
    """Write an array, or copy one that lies on disk (a Zarr array) piece by piece."""
    from zarr.codecs import ZstdCodec

    dtype = np.dtype(spec.metadata["dtype"])
    data = data if hasattr(data, "shape") else np.asarray(data, dtype)
    _check_axes(spec, data.shape, sizes)
    row_bytes = max(1, dtype.itemsize * math.prod(data.shape[1:]))
    rows = min(max(1, CHUNK_BYTES // row_bytes), max(1, data.shape[0]))
    stored = group.create_array(
        spec.name,
        shape=data.shape,
        dtype=dtype,
        chunks=(rows, *(max(1, n) for n in data.shape[1:])),
        dimension_names=spec.metadata["dims"],
        attributes={"unit": spec.metadata["unit"]},
        compressors=[ZstdCodec(level=3, checksum=True)],
        # All-zero chunks are written too, so that a chunk that is not there is known to be lost.
        config={"write_empty_chunks": True},
    )
    for start in range(0, data.shape[0] if data.size else 0, rows):
        stored[start : start + rows] = np.asarray(data[start : start + rows], dtype)


def _check_axes(spec: dataclasses.Field, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Check that an array has the axes it declares and that equal names mean equal lengths."""
    dims = spec.metadata["dims"]
    if len(shape) != len(dims):
        raise ValueError(f"{spec.name} has shape {shape}, but its axes are {dims}")
    for dim, size in zip(dims, shape):
        if sizes.setdefault(dim, size) != size:
            raise ValueError(f"{spec.name} has {size} along {dim!r}, other arrays have {sizes[dim]}")


def _load(group: Any, kind: type[T], lazy: set[str], path: Path) -> T:
    attributes = dict(group.attrs)
    check_schema(path, kind.KIND, attributes["schema_version"])
    fields: dict[str, Any] = dict(attributes["values"])
    for name, stored in group.arrays():
        if stored.size and stored.nchunks_initialized != stored.nchunks:
            lost = stored.nchunks - stored.nchunks_initialized
            raise _damaged(path, f"{name}: {lost} of {stored.nchunks} chunks are missing")
        fields[name] = stored if name in lazy else stored[...]
    nested = {spec.name: spec.type for spec in dataclasses.fields(kind) if dataclasses.is_dataclass(spec.type)}
    for name, subgroup in group.groups():
        fields[name] = _load(subgroup, nested[name], lazy, path) if name in nested else subgroup
    for step in range(attributes["schema_version"], kind.SCHEMA):
        fields = MIGRATIONS[kind.KIND, step](fields)
    return _build(kind, fields, path)


def _build(kind: type[T], fields: dict[str, Any], path: Path) -> T:
    wanted = {spec.name: spec for spec in dataclasses.fields(kind)}
    missing = sorted(set(wanted) - set(fields))
    if missing:
        raise _damaged(path, f"missing {', '.join(missing)}")
    sizes: dict[str, int] = {}
    for name, spec in wanted.items():
        if "dims" in spec.metadata:
            _check_axes(spec, fields[name].shape, sizes)
        elif isinstance(fields[name], list):
            fields[name] = tuple(fields[name])
    return kind(**{name: fields[name] for name in wanted})


def _damaged(path: Path, found: str) -> ArtifactError:
    fix = "run its stage again with --force, or delete it"
    return ArtifactError(f"the artifact is damaged: {path}", found=found, fix=fix)
