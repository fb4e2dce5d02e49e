"""A tiny asset pack written to disk: the real one does not come with the repository."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from emosh_core.body import load_body
from emosh_core.synth.base import BASE_SIZE, load_base

ITEMS = {
    "skin": [("pale", {"gender": "female", "age": "young", "ethnicity": "caucasian"}),
             ("dark", {"gender": "male", "age": "old", "ethnicity": "african"})],
    "outfit": [("gown", {"gender": "female", "formality": "formal"}), ("suit", {"gender": "male"})],
    "shoes": [("boots", {"gender": "any", "formality": "formal"})],
    "hair": [("short02", {"gender": "any", "covers_one_eye": False}),
             ("long01", {"gender": "female", "covers_one_eye": True})],
    "eyebrows": [("brows", {"gender": "any"})],
    "eyelashes": [("lashes", {"gender": "any"})],
    "eyes": [("balls", {"gender": "any"})],
    "teeth": [("teeth", {"gender": "any"})],
    "tongue": [("tongue", {"gender": "any"})],
}  # fmt: skip
WHERE = {"outfit": (slice(-0.35, 0.35), 0.012), "shoes": (slice(-2, -0.85), 0.01), "hair": (slice(0.72, 2), 0.01)}
"""Heights of the average body [m] that a garment follows, and how far outside it."""


def write_pack(folder: Path) -> Path:
    """Write a pack whose garments are copies of the body's skin, moved outwards."""
    entries = []
    for kind, items in ITEMS.items():
        for name, tags in items:
            roles = {"diffuse": (f"{kind}/{name}.png", _picture(kind)), "diffuse_hi": (f"{kind}/{name}_hi.png",
                     _picture(kind, 64))}  # fmt: skip
            if kind == "eyes":
                roles = {"diffuse": ("eyes/browndark.png", _picture(kind))}
            if kind != "skin":
                roles["geometry"] = (f"{kind}/{name}.npz", _geometry(folder, kind))
            files = []
            for role, (path, content) in roles.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
                files.append({"path": path, "role": role, "sha256": hashlib.sha256(content).hexdigest()})
            entries.append({"kind": kind, "name": name, "tags": tags, "files": files,
                            "neutral_texture": name == "suit"})  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({"items": entries}), encoding="utf-8")
    return folder


def _picture(kind: str, size: int = 32) -> bytes:
    channels = 4 if kind in ("hair", "eyebrows", "eyelashes") else 3
    pixels = np.random.default_rng(size).integers(60, 255, (size, size, channels), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def _geometry(folder: Path, kind: str) -> bytes:
    body = load_body()
    base = load_base(body)
    faces, verts = body.faces.numpy(), body.template.numpy()
    band, outwards = WHERE.get(kind, (slice(0.6, 0.7), 0.002))
    height = verts[faces][..., 1]
    chosen = faces[((height > band.start) & (height < band.stop)).all(1)]
    if kind not in WHERE:
        chosen = chosen[:40]
    used, rows = np.unique(chosen, return_inverse=True)
    ids = base.body_ids[used]
    away = verts[used] - verts[used].mean(0)
    away *= [1, 0, 1]
    offsets = outwards * away / np.linalg.norm(away, axis=1, keepdims=True).clip(1e-6)
    deleted = np.zeros(BASE_SIZE, bool)
    if kind == "outfit":
        deleted[ids[np.abs(verts[used, 1]) < 0.2]] = True
    scale_ids = np.tile(ids[[0, -1]], (3, 1))
    span = np.full(3, np.linalg.norm(verts[used[0]] - verts[used[-1]]))
    path = folder / "made.npz"
    np.savez(
        path, ref_vertex_ids=np.repeat(ids[:, None], 3, 1).astype(np.int32),
        ref_weights=np.tile(np.float32([0.5, 0.25, 0.25]), (len(ids), 1)), offsets=offsets.astype(np.float32),
        scale_vertex_ids=scale_ids.astype(np.int32), scale_den=span.astype(np.float32),
        faces=rows.reshape(-1, 3).astype(np.int32), face_uv=rows.reshape(-1, 3).astype(np.int32),
        uv=np.random.default_rng(1).random((len(ids), 2)).astype(np.float32), delete_mask=deleted,
    )  # fmt: skip
    content = path.read_bytes()
    path.unlink()
    return content
