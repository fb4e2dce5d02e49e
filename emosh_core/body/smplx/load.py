"""Find, read and check the SMPL-X and FLAME files that a user has licensed."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emosh_core.body.joints import PARENTS
from emosh_core.body.smplx.rig import Rig
from emosh_core.body.smplx.unpickle import read_file, read_npy, read_pickle
from emosh_core.errors import AssetError

BETAS, EXPRESSIONS = 300, 100
"""`shapedirs` holds identity first, then expression."""


@dataclass(frozen=True)
class Kind:
    """What a model file must hold."""

    title: str
    verts: int
    faces: int
    parents: tuple[int, ...]
    static_landmarks: int
    """Points of the face given on the mesh's own triangles; FLAME's file has none."""
    names: tuple[str, ...]
    """File names, the first that is found is read."""


SMPLX = Kind("SMPL-X", 10475, 20908, PARENTS, 51, ("SMPLX_NEUTRAL_2020.npz", "SMPLX_NEUTRAL.npz", "SMPLX_NEUTRAL.pkl"))
FLAME = Kind("FLAME", 5023, 9976, (-1, 0, 1, 1, 1), 0, ("generic_model.pkl", "FLAME_NEUTRAL.pkl"))
VERTEX_IDS = "SMPL-X__FLAME_vertex_ids.npy"
OPTIONAL = ("mediapipe_landmark_embedding.npz", "l_eyelid.npy", "r_eyelid.npy", "selected_lowerhead.npy")
SUBFOLDERS = ("", "smplx", "SMPLX", "flame", "FLAME", "FLAME2020")
WHERE = (
    "put SMPLX_NEUTRAL_2020.npz (or SMPLX_NEUTRAL.npz or .pkl, with 300 + 100 components) and "
    f"{VERTEX_IDS} from the SMPL-X site and generic_model.pkl from the FLAME site into it; both sites ask for a "
    "free registration and the acceptance of a research licence"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFile:
    """One model as its file states it, float64 on the CPU."""

    rig: Rig
    faces: np.ndarray
    """(F, 3) int64."""
    landmark_faces: np.ndarray
    """(N,) rows of `faces` that the static landmarks lie on."""
    landmark_bary: np.ndarray
    """(N, 3)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadFiles:
    """How FLAME lies on SMPL-X, and what some users have besides."""

    vertex_ids: np.ndarray
    """(5023,) the SMPL-X vertex of each FLAME vertex, ascending."""
    lower_head: np.ndarray | None
    """(N,) FLAME vertices that stay SMPL-X's: the seam at the neck."""
    eyelid_dirs: np.ndarray | None
    """(5023, 3, 2) [m] what closing the left and the right eyelid adds."""
    face_points: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    """Which of MediaPipe's 478 points (N,), their FLAME faces (N,) and barycentrics (N, 3)."""


@dataclass(frozen=True)
class Found:
    """The files of a folder, by name, with their content."""

    folder: Path
    contents: dict[str, bytes]

    @property
    def fingerprint(self) -> str:
        """sha256 over names and contents of all files that are read."""
        lines = [f"{name} {hashlib.sha256(self.contents[name]).hexdigest()}" for name in sorted(self.contents)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def first(self, names: tuple[str, ...]) -> str:
        """Return the name of the file that there is."""
        return next(name for name in names if name in self.contents)


def find(folder: Path) -> Found:
    """Read the files of a folder and its sub-folders `smplx` and `flame`.

    Raises:
        AssetError: the folder or one that is needed is missing; says which go where.
    """
    if not folder.is_dir():
        raise AssetError("there is no folder of body models", found=str(folder), fix=f"make the folder; {WHERE}")
    needed = {SMPLX.title: SMPLX.names, FLAME.title: FLAME.names, VERTEX_IDS: (VERTEX_IDS,)}
    places = {name: path for name in (*SMPLX.names, *FLAME.names, VERTEX_IDS, *OPTIONAL)
              if (path := _place(folder, name)) is not None}  # fmt: skip
    chosen, missing = {}, []
    for title, names in needed.items():
        name = next((name for name in names if name in places), None)
        if name is None:
            missing.append(title if title == names[0] else f"{title} ({' or '.join(names)})")
        else:
            chosen[name] = places[name]
    if missing:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
        raise AssetError(
            f"the folder of body models lacks {' and '.join(missing)}", found=f"{folder} holds {held}", fix=WHERE
        )
    chosen |= {name: places[name] for name in OPTIONAL if name in places}
    return Found(folder, {name: read_file(path) for name, path in chosen.items()})


def _place(folder: Path, name: str) -> Path | None:
    return next((path for sub in SUBFOLDERS if (path := folder / sub / name).is_file()), None)


def read_model(content: bytes, name: str, kind: Kind) -> ModelFile:
    """Read SMPL-X or FLAME from the bytes of its .npz or .pkl.

    Raises:
        AssetError: the file is damaged, lacks a key, or holds one of another shape.
    """
    held = _Held(content, name, kind.title)
    joints = len(kind.parents)
    template = held.number("v_template", (kind.verts, 3))
    dirs = held.number("shapedirs", (kind.verts, 3, BETAS + EXPRESSIONS))
    pose_dirs = held.number("posedirs", (kind.verts, 3, 9 * (joints - 1)))
    regressor = held.number("J_regressor", (joints, kind.verts))
    weights = held.number("weights", (kind.verts, joints))
    if weights.min() < 0 or np.abs(weights.sum(1) - 1).max() > 1e-3:
        raise held.wrong("the skin weights of a vertex do not sum to 1")
    held.check_parents(kind.parents)
    faces = held.index("f", (kind.faces, 3), kind.verts)
    landmark_faces, landmark_bary = np.zeros(0, np.int64), np.zeros((0, 3))
    if kind.static_landmarks:
        landmark_faces = held.index("lmk_faces_idx", (kind.static_landmarks,), kind.faces)
        landmark_bary = held.number("lmk_bary_coords", (kind.static_landmarks, 3))
    tensor = torch.from_numpy
    joint_dirs = np.einsum("jv,vcs->jcs", regressor, dirs, optimize=True)
    rig = Rig(
        template=tensor(template), shape_dirs=tensor(dirs[..., :BETAS].copy()), pose_dirs=tensor(pose_dirs),
        expression_dirs=tensor(dirs[..., BETAS:].copy()), lbs_weights=tensor(weights),
        joints=tensor(regressor @ template), joint_shape_dirs=tensor(joint_dirs[..., :BETAS].copy()),
        joint_expression_dirs=tensor(joint_dirs[..., BETAS:].copy()), parents=kind.parents,
    )  # fmt: skip
    return ModelFile(rig=rig, faces=faces, landmark_faces=landmark_faces, landmark_bary=landmark_bary)


def read_head_files(found: Found) -> HeadFiles:
    """Read what joins FLAME to SMPL-X.

    Raises:
        AssetError: a file is damaged or not what its name says.
    """
    alone = lambda name: _Held(found.contents[name], name, name)  # noqa: E731
    ids = alone(VERTEX_IDS)
    vertex_ids = ids.index(VERTEX_IDS, (FLAME.verts,), SMPLX.verts)
    if (np.diff(vertex_ids) <= 0).any():
        raise ids.wrong("the vertex numbers do not ascend")
    lower_head = eyelid_dirs = face_points = None
    if (name := "selected_lowerhead.npy") in found.contents:
        lower_head = np.unique(alone(name).index(name, None, FLAME.verts))
    lids = [name for name in ("l_eyelid.npy", "r_eyelid.npy") if name in found.contents]
    if len(lids) == 2:
        eyelid_dirs = np.stack([alone(name).number(name, (FLAME.verts, 3)) for name in lids], -1)
    elif lids:
        raise AssetError("one eyelid is missing", found=lids[0], fix="add the other eyelid's file, or remove this one")
    if (name := "mediapipe_landmark_embedding.npz") in found.contents:
        points = alone(name)
        which = points.index("landmark_indices", None, 478)
        face_points = (
            which, points.index("lmk_face_idx", which.shape, FLAME.faces),
            points.number("lmk_b_coords", (*which.shape, 3)),
        )  # fmt: skip
    return HeadFiles(vertex_ids=vertex_ids, lower_head=lower_head, eyelid_dirs=eyelid_dirs, face_points=face_points)


class _Held:
    """The arrays of one file, checked as they are taken out; what is not asked for is not read."""

    def __init__(self, content: bytes, name: str, title: str):
        self.name, self.title, self._archive, self._arrays = name, title, None, {}
        if name.endswith(".npy"):
            self._arrays = {name: read_npy(content, name)}
        elif name.endswith(".npz"):
            try:
                self._archive = zipfile.ZipFile(io.BytesIO(content))
            except zipfile.BadZipFile as error:
                raise self.wrong(f"no readable archive: {error}") from error
        else:
            self._arrays = read_pickle(content, name)
            if not isinstance(self._arrays, dict):
                raise self.wrong("a pickle without named arrays")

    def wrong(self, found: str) -> AssetError:
        """Return the error that says what was found instead."""
        fix = f"download it again from the site of its licence (models with {BETAS} + {EXPRESSIONS} components)"
        return AssetError(f"{self.name} is not {self.title} as expected", found=found, fix=fix)

    def _names(self) -> list[str]:
        if self._archive is None:
            return [str(key) for key in self._arrays]
        return [name.removesuffix(".npy") for name in self._archive.namelist()]

    def array(self, key: str, shape: tuple[int, ...] | None) -> np.ndarray:
        """Return an array of that shape; of any length if `shape` is None."""
        if key not in self._names():
            raise self.wrong(f"no {key!r}; it holds {', '.join(self._names()[:12]) or 'nothing'}")
        if self._archive is None:
            value = np.asarray(self._arrays[key])
        else:
            try:
                value = read_npy(self._archive.read(f"{key}.npy"), f"{key} in {self.name}")
            except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
                raise self.wrong(f"{key} cannot be read: {error}") from error
        if value.shape != shape and not (shape is None and value.ndim == 1):
            raise self.wrong(f"{key} has shape {value.shape}, not {'(N,)' if shape is None else shape}")
        return value

    def number(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return finite float64 numbers."""
        value = self.array(key, shape)
        if value.dtype.kind not in "fiu":
            raise self.wrong(f"{key} holds {value.dtype}, not numbers")
        value = value.astype(np.float64)
        if not np.isfinite(value).all():
            raise self.wrong(f"{key} holds numbers that are not finite")
        return value

    def index(self, key: str, shape: tuple[int, ...] | None, below: int) -> np.ndarray:
        """Return int64 numbers from 0 to `below` − 1."""
        value = self.array(key, shape)
        if value.dtype.kind not in "iu":
            raise self.wrong(f"{key} holds {value.dtype}, not whole numbers")
        value = value.astype(np.int64)
        if len(value) and not (0 <= value.min() and value.max() < below):
            raise self.wrong(f"{key} runs from {value.min()} to {value.max()}, not within 0 to {below - 1}")
        return value

    def check_parents(self, parents: tuple[int, ...]) -> None:
        """Compare the skeleton; the root's parent is written as −1 or as 2³² − 1."""
        table = self.array("kintree_table", (2, len(parents)))
        if tuple(table[0, 1:].astype(np.int64).tolist()) != parents[1:]:
            raise self.wrong(f"another skeleton: kintree_table starts {table[0, :8].tolist()}")
