"""Plausible adults: identities that belong to one split each, and what one would say about them."""

import functools
import zlib
from dataclasses import dataclass, fields

import numpy as np

from emosh_core.artifacts import Shape
from emosh_core.errors import ConfigError
from emosh_core.synth.base import read_base

SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}
"""Names of the splits, and which share of the people each holds."""
MIXED_IN = 0.3
"""Up to this share of a second, similar person goes into an identity."""
BODY_NOISE, HEAD_NOISE = 0.06, 0.15
"""Standard deviations of what makes two draws of the same rows differ, in those of the identity spaces."""


@dataclass(frozen=True)
class Phenotype:
    """What one would say about somebody; the last three add up to 1."""

    gender: float
    """0 male, 1 female; few are in between."""
    age: float
    """Years, 18 to 80."""
    muscle: float
    """0..1, as are `weight` and `height`: MakeHuman's scales for the age and gender."""
    weight: float
    height: float
    african: float
    asian: float
    caucasian: float

    @property
    def female(self) -> bool:
        return self.gender > 0.5

    @property
    def ancestry(self) -> str:
        """The largest of the three shares: "african", "asian" or "caucasian"."""
        return max(("african", "asian", "caucasian"), key=lambda name: getattr(self, name))


@dataclass(frozen=True, eq=False)
class People:
    """The table that identities are drawn from; n people."""

    phenotype: np.ndarray
    """(n, 8) in the order of `Phenotype`'s fields."""
    betas_body: np.ndarray
    """(n, 32)."""
    betas_head: np.ndarray
    """(n, 64)."""
    split: np.ndarray
    """(n,) the name of each person's split."""


@functools.lru_cache(maxsize=1)
def load_people() -> People:
    """Read the table.

    Raises:
        AssetError: its file is missing or damaged.
    """
    arrays = read_base()[1]
    names = [field.name for field in fields(Phenotype)]
    order = [arrays["people_names"].tolist().index(name) for name in names]
    phenotype = arrays["people"].astype(np.float64)[:, order]
    return People(phenotype, arrays["people_body"].astype(np.float64), arrays["people_head"].astype(np.float64),
                  np.array([split_of(row) for row in range(len(phenotype))]))


def split_of(row: int) -> str:
    """Return the split that a row of the table belongs to, for good: it depends on the row's number alone."""
    place = zlib.crc32(f"person {row}".encode()) / 2**32
    for name, share in SPLITS.items():
        if place < share:
            return name
        place -= share
    return name


def draw_identity(rng: np.random.Generator, split: str) -> tuple[Shape, Phenotype]:
    """Draw somebody of a split.

    A row of the split, a little of a similar row of the same split, and noise: endlessly many people, of which
    no two of different splits share a row.

    Args:
        rng: drawn from a fixed number of times.
        split: "train", "val" or "test".

    Raises:
        ConfigError: there is no such split.
    """
    if split not in SPLITS:
        raise ConfigError(f"there is no split named {split!r}", found=split, fix=f"use one of {', '.join(SPLITS)}")
    people = load_people()
    members = np.flatnonzero(people.split == split)
    row = members[rng.integers(len(members))]
    similar = _similar(people.phenotype, row, members)
    other, share = similar[rng.integers(len(similar))], MIXED_IN * rng.random()
    mix = lambda table: (1 - share) * table[row] + share * table[other]  # noqa: E731
    body = mix(people.betas_body) + BODY_NOISE * rng.normal(size=people.betas_body.shape[1])
    head = mix(people.betas_head) + HEAD_NOISE * rng.normal(size=people.betas_head.shape[1])
    scales = 1 + np.array([0.015, 0.02]) * np.clip(rng.normal(size=2), -2, 2)
    shape = Shape(
        betas_body=body.astype(np.float32), betas_head=head.astype(np.float32),
        betas_body_std=np.zeros(len(body), np.float32), betas_head_std=np.zeros(len(head), np.float32),
        head_scale=float(scales[0]), hand_scale=float(scales[1]), body_model="embedded",
    )  # fmt: skip
    return shape, Phenotype(*mix(people.phenotype).tolist())


def _similar(phenotype: np.ndarray, row: int, members: np.ndarray, count: int = 8) -> np.ndarray:
    """Return the rows among `members` that are most like one of them."""
    scale = np.array([0.2, 12, 0.25, 0.2, 0.2, 0.3, 0.3, 0.3])
    far = (((phenotype[members] - phenotype[row]) / scale) ** 2).sum(1)
    nearest = members[np.argsort(far, kind="stable")]
    return nearest[nearest != row][:count]
