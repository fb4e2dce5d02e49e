"""Read body models from files."""

import functools
import hashlib
import io
import zipfile
from importlib.resources import files

import numpy as np
import torch

from emosh_core.artifacts import KEYPOINTS
from emosh_core.body.ehm import EhmModel
from emosh_core.body.joints import HEAD, JOINT_NAMES
from emosh_core.errors import AssetError

SCHEMA = 1


@functools.lru_cache(maxsize=8)
def load_body(name: str = "embedded", device: str = "cpu", dtype: torch.dtype = torch.float32) -> EhmModel:
    """Load a body model by name; the same arguments return the same object.

    Raises:
        AssetError: there is no such model, or its file is missing or damaged.
    """
    if name != "embedded":
        raise AssetError(f"there is no body model named {name!r}", found="embedded", fix='use body model "embedded"')
    source = files("emosh_core") / "assets" / "ehm_embedded.npz"
    try:
        return read_body(source.read_bytes(), name, torch.device(device), dtype)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AssetError(
            "the embedded body model is missing or damaged", found=f"{source}: {error}",
            fix="reinstall emosh, or run scripts/build_body.py",
        ) from error  # fmt: skip


def read_body(content: bytes, name: str, device: torch.device, dtype: torch.dtype) -> EhmModel:
    """Read a body model from the bytes of a file in the layout that scripts/build_body.py writes."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    schema = int(arrays["schema"])
    if schema != SCHEMA:
        raise ValueError(f"schema {schema}, this version reads {SCHEMA}")
    if tuple(arrays["joint_names"].tolist()) != JOINT_NAMES or len(arrays["lmk_verts"]) != sum(KEYPOINTS.values()):
        raise ValueError("joints or landmarks are not in the expected order")
    number = lambda key: torch.as_tensor(arrays[key].astype(np.float64), dtype=dtype, device=device)  # noqa: E731
    index = lambda key: torch.as_tensor(arrays[key].astype(np.int64), device=device)  # noqa: E731
    words = lambda key: tuple(arrays[key].tolist())  # noqa: E731
    template, joint_body_dirs = number("template"), number("joint_body_dirs")
    # Vertices that are all head move with the head joint alone; the file leaves them out.
    body_dirs = joint_body_dirs[HEAD].expand(len(template), -1, -1).clone()
    body_dirs[index("body_verts")] = number("body_dirs")
    lbs_weights = torch.zeros(len(template), len(JOINT_NAMES), dtype=dtype, device=device)
    lbs_weights.scatter_add_(1, index("weight_joints"), number("weight_values"))
    return EhmModel(
        name=name, fingerprint=hashlib.sha256(content).hexdigest(), template=template, faces=index("faces"),
        lbs_weights=lbs_weights / lbs_weights.sum(1, keepdim=True), body_dirs=body_dirs,
        head_verts=index("head_verts"), head_dirs=number("head_dirs"),
        expression_verts=index("expression_verts"), expression_dirs=number("expression_dirs"),
        head_mask=number("head_mask"), joints=number("joints"), joint_body_dirs=joint_body_dirs,
        joint_head_dirs=number("joint_head_dirs"), rest_rot=number("rest_rot"),
        landmark_verts=index("lmk_verts"), landmark_weights=number("lmk_weights"),
        expression_names=words("expression_names"), joint_names=words("joint_names"),
        uv=number("uv"), face_uv=index("face_uv"), face_part=index("face_part"),
        part_names=words("part_names"), sources=words("sources"),
        kept_verts=torch.arange(len(template), device=device),
    )  # fmt: skip
