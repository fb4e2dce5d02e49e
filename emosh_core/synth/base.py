"""The MakeHuman base mesh that garments bind to: the embedded body and its helper vertices, in one body model."""

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HEAD
from emosh_core.errors import AssetError

SCHEMA = 1
BASE_SIZE = 19158
"""Vertices of MakeHuman's base mesh hm08, invisible helpers included."""


@dataclass(frozen=True, eq=False)
class Base:
    """The base mesh as a body model with more vertices than faces use."""

    model: EhmModel
    """The body's vertices first, in its order, then the helpers; faces, landmarks and joints are the body's."""
    rows: Tensor
    """(19158,) int64: where each vertex of MakeHuman's numbering is in `model`."""
    body_ids: np.ndarray
    """(V,) the number in MakeHuman's mesh of each of the body's vertices."""
    openness: np.ndarray
    """(V,) in [0, 1]: how much of the light from all around reaches each of the body's vertices at rest."""
    fingerprint: str
    """sha256 of the file that the helpers were read from."""


@functools.lru_cache(maxsize=4)
def load_base(body: EhmModel) -> Base:
    """Add the helper vertices to the embedded body; on its device and in its precision.

    Raises:
        AssetError: the file is missing or damaged, or belongs to another body.
    """
    content, arrays = read_base()
    if str(arrays["body_sha256"]) != body.fingerprint:
        raise AssetError(
            "the helper vertices of the synthetic humans belong to another body model",
            found=f"made for {str(arrays['body_sha256'])[:12]}, the body is {body.name} {body.fingerprint[:12]}",
            fix='use body model "embedded"; after scripts/build_body.py run scripts/build_synth_base.py',
        )
    model = _extend(body, arrays)
    rows = np.empty(BASE_SIZE, np.int64)
    rows[np.concatenate([arrays["body_ids"], arrays["helper_ids"]])] = np.arange(BASE_SIZE)
    return Base(model, torch.as_tensor(rows, device=body.template.device), arrays["body_ids"],
                arrays["openness"] / np.float32(255), hashlib.sha256(content).hexdigest())


@functools.lru_cache(maxsize=1)
def read_base() -> tuple[bytes, dict[str, np.ndarray]]:
    """Read the file that scripts/build_synth_base.py writes: its bytes, and its arrays by name.

    Raises:
        AssetError: it is missing or damaged.
    """
    source = files("emosh_core") / "assets" / "synth_base.npz"
    try:
        content = source.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        if int(arrays["schema"]) != SCHEMA:
            raise ValueError(f"schema {int(arrays['schema'])}, this version reads {SCHEMA}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AssetError(
            "the base mesh of the synthetic humans is missing or damaged", found=f"{source}: {error}",
            fix="reinstall emosh, or run scripts/build_synth_base.py",
        ) from error  # fmt: skip
    return content, arrays


def _extend(body: EhmModel, arrays: dict[str, np.ndarray]) -> EhmModel:
    like = {"dtype": body.template.dtype, "device": body.template.device}
    number = lambda key: torch.as_tensor(arrays[key].astype(np.float64), **like)  # noqa: E731
    index = lambda key: torch.as_tensor(arrays[key].astype(np.int64), device=body.template.device)  # noqa: E731
    count = len(body.template)
    template = number("template")
    # As in the body's file, vertices that are all head move with the head joint alone and are left out.
    body_dirs = body.joint_body_dirs[HEAD].expand(len(template), -1, -1).clone()
    body_dirs[index("body_verts")] = number("body_dirs")
    weights = torch.zeros(len(template), body.lbs_weights.shape[1], **like)
    weights.scatter_(1, index("weight_joints"), number("weight_values"))
    return replace(
        body, template=torch.cat([body.template, template]),
        lbs_weights=torch.cat([body.lbs_weights, weights / weights.sum(1, keepdim=True)]),
        body_dirs=torch.cat([body.body_dirs, body_dirs]),
        head_verts=torch.cat([body.head_verts, count + index("head_verts")]),
        head_dirs=torch.cat([body.head_dirs, number("head_dirs")]),
        expression_verts=torch.cat([body.expression_verts, count + index("expression_verts")]),
        expression_dirs=torch.cat([body.expression_dirs, number("expression_dirs")]),
        head_mask=torch.cat([body.head_mask, number("head_mask")]),
        kept_verts=torch.arange(count + len(template), device=body.template.device),
    )  # fmt: skip
