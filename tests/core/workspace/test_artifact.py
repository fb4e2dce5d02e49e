"""Artifacts: write → read is the identity, and every kind of damage is named."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.artifacts import CONTACTS, Clip, Cond, Motion, Shape, Target, Truth
from emosh_core.errors import ArtifactError
from emosh_core.workspace import artifact
from emosh_core.workspace.artifact import Provenance, read, read_any, read_header, write

PROVENANCE = Provenance(fingerprint="0123456789ab", config={"steps": 3}, inputs=[{"role": "driver", "sha256": "ff"}])


def random_value(cls, rng, sizes=None, **scalars):
    """Fill any artifact dataclass with random content of the declared axes and dtypes."""
    sizes = {"frame": 3, "keypoint": 4, "joint": 55, "chunk": 2, "y": 5, "x": 6, "rgb": 3} | (sizes or {})
    content = {}
    for spec in dataclasses.fields(cls):
        if "dims" in spec.metadata:
            shape = [sizes.setdefault(dim, 2 + len(sizes) % 5) for dim in spec.metadata["dims"]]
            content[spec.name] = rng.integers(0, 2 if spec.metadata["dtype"] == "bool" else 200, shape).astype(
                spec.metadata["dtype"]
            )
        elif spec.name == "shape":
            content[spec.name] = random_value(Shape, rng)
        else:
            content[spec.name] = {"size": (640, 480), "fps": 29.97, "head_scale": 1.1, "hand_scale": 0.9}.get(
                spec.name, "text"
            )
    return cls(**(content | scalars))


def assert_same(got, want):
    for spec in dataclasses.fields(want):
        a, b = getattr(got, spec.name), getattr(want, spec.name)
        if dataclasses.is_dataclass(b):
            assert_same(a, b)
        elif isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, spec.name
            np.testing.assert_array_equal(a, b, err_msg=spec.name)
        else:
            assert a == b, spec.name


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.sampled_from([0, 1, 7]),
    cls=st.sampled_from([Motion, Target, Cond, Clip, Shape, Truth]),
)
def test_write_then_read_is_the_identity(tmp_path_factory, seed, frames, cls):
    value = random_value(cls, np.random.default_rng(seed), {"frame": frames})
    path = tmp_path_factory.mktemp("artifact") / "a"
    write(path, value, PROVENANCE)
    assert_same(read(path, cls), value)
    assert_same(read_any(path), value)


@pytest.fixture
def motion(tmp_path):
    path = tmp_path / "motion.zarr"
    value = random_value(Motion, np.random.default_rng(0))
    write(path, value, PROVENANCE)
    return path, value


def test_nan_survives(tmp_path, motion):
    value = dataclasses.replace(motion[1], reprojection_error=np.array([1, np.nan, 2], np.float32))
    write(tmp_path / "nan.zarr", value, PROVENANCE)
    np.testing.assert_array_equal(read(tmp_path / "nan.zarr", Motion).reprojection_error, value.reprojection_error)


def test_plain_zarr_reads_names_units_and_provenance(motion):
    group = zarr.open(motion[0], mode="r")
    assert group["joints"].metadata.dimension_names == ("frame", "joint", "xyz")
    assert group["joints"].attrs["unit"] == "m" and group.attrs["units"]["joints"] == "m"
    assert group.attrs["fingerprint"] == "0123456789ab" and group.attrs["config"] == {"steps": 3}
    assert group["shape"]["betas_body"].shape == motion[1].shape.betas_body.shape
    assert read_header(motion[0])["frames"] == 3


def test_lazy_fields_stay_on_disk_until_sliced(tmp_path):
    value = random_value(Cond, np.random.default_rng(0), {"frame": 40, "y": 300, "x": 301})
    write(tmp_path / "cond.zarr", value, PROVENANCE)
    cond = read(tmp_path / "cond.zarr", Cond, lazy=["frames"])
    assert isinstance(cond.frames, zarr.Array) and cond.frames.chunks[0] < 40
    np.testing.assert_array_equal(cond.frames[7:9], value.frames[7:9])


def test_axes_are_checked_when_written(tmp_path, motion):
    with pytest.raises(ValueError, match="transl has 2 along 'frame'"):
        write(tmp_path / "x", dataclasses.replace(motion[1], transl=np.zeros((2, 3))), PROVENANCE)
    with pytest.raises(ValueError, match="its axes are"):
        write(tmp_path / "y", dataclasses.replace(motion[1], transl=np.zeros(3)), PROVENANCE)


def edit_attributes(path, **changes):
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"].update(changes)
    (path / "zarr.json").write_text(json.dumps(metadata))


def test_newer_schema_says_so_and_how_to_upgrade(motion):
    edit_attributes(motion[0], schema_version=99)
    with pytest.raises(ArtifactError, match=r"newer EMOSH[\s\S]*schema 99[\s\S]*upgrade") as caught:
        read(motion[0], Motion)
    assert caught.value.exit_code == 3


def test_older_schema_is_migrated(motion, monkeypatch):
    edit_attributes(motion[0], schema_version=0)
    with pytest.raises(ArtifactError, match="too old"):
        read(motion[0], Motion)
    shutil.move(motion[0] / "transl", motion[0] / "translation")

    def rename(fields):
        return fields | {"transl": fields.pop("translation"), "K": fields["K"][0]}  # what schema 1 wants

    monkeypatch.setitem(artifact.MIGRATIONS, ("motion", 0), rename)
    wanted = dataclasses.replace(motion[1], K=np.repeat(motion[1].K[:1], 3, 0), trust=trust_from(motion[1]))
    assert_same(read(motion[0], Motion), wanted)


def trust_from(value):
    """What a motion without `trust` is given: as much as its masks say, limbs as much as the person."""
    order = ("person", "face", "left_hand", "right_hand", "person", "person", "person", "person")
    return np.stack([getattr(value, f"{part}_valid") for part in order], -1).astype(np.float32)


def with_one_camera(path, kind, schema, drop=()):
    """Write a random artifact and turn it into what an older schema wrote: one K for all frames."""
    K = np.diag([7, 8, 1]).astype(np.float32)
    names = {spec.name for spec in dataclasses.fields(kind)}
    given_ = {name: value for name, value in {"fps": 30.0, "vertical_offset": 0.25}.items() if name in names}
    value = random_value(kind, np.random.default_rng(0), {"row": 3, "column": 3}, K=np.repeat(K[None], 3, 0), **given_)
    if "trust" in names:
        value = dataclasses.replace(value, trust=trust_from(value))
        drop = ("trust", *drop)
    write(path, value, PROVENANCE)
    group = zarr.open_group(path)
    for name in ("K", *drop):
        del group[name]
    group.create_array("K", data=K, dimension_names=("row", "column"))
    edit_attributes(path, schema_version=schema)
    return value


@pytest.mark.parametrize(("kind", "schema"), [(Motion, 1), (Target, 2), (Cond, 1)])
def test_older_schemas_had_one_camera_for_all_frames(tmp_path, kind, schema):
    value = with_one_camera(tmp_path / "old.zarr", kind, schema)
    assert_same(read(tmp_path / "old.zarr", kind), value)


def test_a_target_of_the_first_schema_held_no_contact(tmp_path):
    path = tmp_path / "target.zarr"
    value = with_one_camera(path, Target, 1, drop=("contacts",))
    assert read_header(path)["schema_version"] == 1
    none = np.zeros((3, len(CONTACTS)), np.float32)
    assert_same(read(path, Target), dataclasses.replace(value, contacts=none))
    assert not read_any(path, lazy=("transl",)).contacts.any()


def remove_chunk(path):
    next(file for file in (path / "joints").rglob("*") if file.is_file() and file.name != "zarr.json").unlink()


def cut_chunk(path):
    file = next(file for file in (path / "joints").rglob("*") if file.is_file() and file.name != "zarr.json")
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: shutil.rmtree(path / "joints"), "missing joints"),
        (lambda path: shutil.rmtree(path / "shape"), "missing shape"),
        (remove_chunk, "joints: 1 of 1 chunks are missing"),
        (cut_chunk, "damaged"),
        (lambda path: (path / "zarr.json").write_text("{"), "damaged"),
        (lambda path: (path / "joints" / "zarr.json").write_text("{"), "damaged"),
        (lambda path: edit_attributes(path, kind=None), "not an EMOSH artifact"),
        (lambda path: edit_attributes(path, kind="cond"), "a motion artifact is needed"),
        (shutil.rmtree, "no artifact at"),
    ],
)
def test_damage_is_named(motion, damage, message):
    damage(motion[0])
    with pytest.raises(ArtifactError, match=message) as caught:
        read(motion[0], Motion)
    assert caught.value.found and caught.value.fix
