"""Make the body model out of a folder of licensed files."""

from pathlib import Path

import numpy as np
import torch

from emosh_core.body.joints import EYES, HANDS, HEAD, JAW, JOINT_NAMES, WRISTS
from emosh_core.body.smplx.landmarks import place_landmarks
from emosh_core.body.smplx.load import EXPRESSIONS, FLAME, SMPLX, HeadFiles, find, read_head_files, read_model
from emosh_core.body.smplx.model import SmplxModel
from emosh_core.body.smplx.rig import Rig

NAME = "smplx"
EYEBALLS = {"eye.L": slice(9383, 9929), "eye.R": slice(9929, 10475)}
"""Vertices of SMPL-X."""


def read_smplx(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> SmplxModel:
    """Read SMPL-X and FLAME from a folder and join them.

    Raises:
        AssetError: a file is missing, damaged or another than its name says.
    """
    found = find(folder)
    names = found.first(SMPLX.names), found.first(FLAME.names)
    body, head = (read_model(found.contents[name], name, kind) for name, kind in zip(names, (SMPLX, FLAME)))
    files = read_head_files(found)
    rows = replaced(files, body.rig.lbs_weights.numpy())
    head_verts = files.vertex_ids[rows]
    mask = np.zeros(SMPLX.verts)
    mask[head_verts] = 1
    eyelids = np.zeros((FLAME.verts, 3, 2)) if files.eyelid_dirs is None else files.eyelid_dirs
    parts, part_names = _parts(body.faces, body.rig.lbs_weights.numpy())
    landmarks = place_landmarks(body, head, files)
    number = lambda values: torch.as_tensor(values, dtype=dtype, device=device)  # noqa: E731
    index = lambda values: torch.as_tensor(values, device=device)  # noqa: E731
    return SmplxModel(
        name=NAME, fingerprint=found.fingerprint, body=_to(body.rig.about_root(), device, dtype),
        head=_to(head.rig.at(torch.from_numpy(rows)), device, dtype), head_verts=index(head_verts),
        eyelid_dirs=number(eyelids[rows]), faces=index(body.faces), head_mask=number(mask),
        landmark_rows=index(landmarks.rows), landmark_weights=number(landmarks.weights),
        landmark_present=index(landmarks.present), face_part=index(parts), part_names=part_names,
        kept_verts=torch.arange(SMPLX.verts, device=device), joint_names=JOINT_NAMES,
        expression_names=tuple(f"flame{k}" for k in range(EXPRESSIONS)),
        sources=tuple(f"{name}, the user's own licence" for name in sorted(found.contents)),
    )  # fmt: skip


def replaced(files: HeadFiles, weights: np.ndarray) -> np.ndarray:
    """Return which FLAME vertices (H,) take the place of SMPL-X's, ascending: the one list that everything uses.

    All but those of `selected_lowerhead.npy`; without that file, all that SMPL-X binds at least half to head, jaw and
    eyes, so that the seam lies in the neck.

    Args:
        files: how FLAME lies on SMPL-X.
        weights: (10475, 55) SMPL-X's skin weights.
    """
    if files.lower_head is not None:
        return np.setdiff1d(np.arange(FLAME.verts), files.lower_head)
    bound = weights[files.vertex_ids][:, [HEAD, JAW, *EYES]].sum(1)
    return np.flatnonzero(bound >= 0.5)


def _to(rig: Rig, device: str, dtype: torch.dtype) -> Rig:
    """Bring a rig to a device and dtype."""
    values = {k: v.to(device, dtype) if isinstance(v, torch.Tensor) else v for k, v in vars(rig).items()}
    return Rig(**values)


def _parts(faces: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return each triangle's part (F,) and the parts' names: those that other code asks the embedded body for."""
    names = ("skin", "hand.L", "hand.R", *EYEBALLS)
    part = np.zeros(SMPLX.verts, np.int64)
    for name, side in (("hand.L", "left"), ("hand.R", "right")):
        part[weights[:, [WRISTS[side], *HANDS[side]]].sum(1) > 0.5] = names.index(name)
    for name, verts in EYEBALLS.items():
        part[verts] = names.index(name)
    return part[faces].min(1), names
