"""Split identity into body and head, and compress each into a whitened linear basis."""

from dataclasses import dataclass

import numpy as np

from emosh_core.body.joints import EYES, HEAD, JAW


@dataclass(frozen=True)
class Basis:
    """A linear identity space: mean and directions of vertices and joints [m per standard deviation]."""

    dirs: np.ndarray  # (V, 3, S)
    joint_dirs: np.ndarray  # (55, 3, S)
    explained: float
    project: np.ndarray  # (S, K): directions of any vertices are their K blend shapes times this


def head_mask(weights: np.ndarray) -> np.ndarray:
    """Return (V,) in [0, 1]: how much of a vertex is head, from its skin weights (V, 55)."""
    share = weights[:, [HEAD, JAW, *EYES]].sum(1)
    return np.clip((share - 0.02) / 0.96, 0, 1)


def split_identity(dirs: np.ndarray, joint_dirs: np.ndarray, mask: np.ndarray):
    """Split blend shapes (K, V, 3), (K, 55, 3) into a body part and a head part.

    The body part moves the head only as one rigid piece (with the head joint); the head part moves
    no vertex whose mask is 0. Their sum is the original.
    """
    carried = joint_dirs[:, HEAD : HEAD + 1]
    joint_mask = np.isin(np.arange(55), [HEAD, JAW, *EYES])[:, None].astype(float)

    def split(full, share):
        head = share * (full - carried)
        return full - head, head

    return split(dirs, mask[:, None]), split(joint_dirs, joint_mask)


def whitened_basis(coefficients: np.ndarray, dirs: np.ndarray, joint_dirs: np.ndarray, size: int) -> Basis:
    """Principal components of coefficients (n, K) @ blend shapes (K, V, 3), scaled to unit variance.

    The samples' geometry is never formed: its Gram matrix is C (D Dᵀ) Cᵀ with the K blend shapes.
    """
    count, flat = len(coefficients), dirs.reshape(len(dirs), -1)
    centred = coefficients - coefficients.mean(0)
    gram = centred @ (flat @ flat.T) @ centred.T
    values, vectors = np.linalg.eigh(gram)
    scores = vectors[:, ::-1][:, :size] * np.sqrt(count - 1)
    project = scores.T @ centred / (count - 1)
    basis = np.einsum("sk,kx->xs", project, flat).reshape(*dirs.shape[1:], size)
    sign = np.where(basis.reshape(-1, size).sum(0) < 0, -1.0, 1.0)
    return Basis(basis * sign, np.einsum("sk,kjx->jxs", project, joint_dirs) * sign,
                 float(values[::-1][:size].sum() / values.sum()), project * sign[:, None])
