"""Cut a cloth out of the body's mesh along a smooth line, with a folded hem."""

from dataclasses import dataclass

import numpy as np

from emosh_core.body.ehm import EhmModel


@dataclass(frozen=True, eq=False)
class Cut:
    """A part of a mesh whose rim runs between the mesh's vertices.

    Its vertices and texture rows are blends of two of the whole mesh's: a + share (b − a).
    """

    pair: np.ndarray
    """(V, 2) vertices of the whole mesh."""
    share: np.ndarray
    """(V,)."""
    row_pair: np.ndarray
    """(U, 2) rows of the whole mesh's texture coordinates."""
    row_share: np.ndarray
    """(U,)."""
    owner: np.ndarray
    """(U,) vertex of each row."""
    corners: np.ndarray
    """(F, 3) rows."""
    rim: np.ndarray
    """(E, 2) rows at the ends of each rim edge, the cloth to its left seen from outside."""

    @property
    def faces(self) -> np.ndarray:
        """(F, 3) vertices."""
        return self.owner[self.corners]

    def take(self, values: np.ndarray) -> np.ndarray:
        """Blend values per vertex of the whole mesh (W, ...) to (V, ...)."""
        return _blend(values, self.pair, self.share)

    def take_rows(self, values: np.ndarray) -> np.ndarray:
        """Blend values per texture row of the whole mesh to (U, ...)."""
        return _blend(values, self.row_pair, self.row_share)


def _blend(values, pair, share):
    share = share.reshape(-1, *([1] * (values.ndim - 1)))
    return values[pair[:, 0]] + share * (values[pair[:, 1]] - values[pair[:, 0]])


def cut_out(body: EhmModel, inside: np.ndarray, parts: tuple[str, ...]) -> Cut:
    """Keep the part of a body's surface where a field is positive.

    Args:
        inside: (V,) the field, e.g. the distance from the rim [m].
        parts: names of the body's parts that are considered.
    """
    wanted = np.isin(body.face_part.numpy(), [body.part_names.index(name) for name in parts])
    rows, verts = body.face_uv.numpy()[wanted], body.faces.numpy()[wanted]
    positive = inside[verts] > 0
    count = positive.sum(1)
    triangles = [(rows[count == 3][:, :, None].repeat(2, 2))]
    of_rows = [verts[count == 3][:, :, None].repeat(2, 2)]
    for kept in (1, 2):
        some = count == kept
        # Turn each triangle so that its odd corner comes first.
        odd = (positive[some] if kept == 1 else ~positive[some]).argmax(1)
        order = (odd[:, None] + np.arange(3)) % 3
        for source, sink in ((rows, triangles), (verts, of_rows)):
            a, b, c = np.take_along_axis(source[some], order, 1).T
            ends = lambda *pairs: np.stack([np.stack(pair, -1) for pair in pairs], 1)  # noqa: E731
            if kept == 1:
                sink.append(ends((a, a), (a, b), (a, c)))
            else:
                sink.append(ends((b, b), (c, c), (b, a)))
                sink.append(ends((c, c), (c, a), (b, a)))
    return _number(np.concatenate(triangles), np.concatenate(of_rows), inside)


def _number(row_ends: np.ndarray, vert_ends: np.ndarray, inside: np.ndarray) -> Cut:
    """Number the corners of triangles, given as pairs (F, 3, 2) of rows and of vertices."""
    row_ends, vert_ends = row_ends.reshape(-1, 2), vert_ends.reshape(-1, 2)
    swap = vert_ends[:, 0] > vert_ends[:, 1]
    row_ends[swap], vert_ends[swap] = row_ends[swap, ::-1], vert_ends[swap, ::-1]
    pair, vertex = np.unique(vert_ends, axis=0, return_inverse=True)
    row_pair, first, corner = np.unique(row_ends, axis=0, return_index=True, return_inverse=True)
    low, high = inside[pair[:, 0]], inside[pair[:, 1]]
    share = np.where(pair[:, 0] == pair[:, 1], 0, low / np.where(low == high, 1, low - high))
    owner = vertex.reshape(-1)[first]
    corners = corner.reshape(-1, 3)
    return Cut(pair, share, row_pair, share[owner], owner, corners, _rim(corners, owner, pair))


def _rim(corners: np.ndarray, owner: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """Return the edges (E, 2) whose two ends were made by the cut."""
    edges = np.concatenate([corners[:, [i, (i + 1) % 3]] for i in range(3)])
    new = pair[:, 0] != pair[:, 1]
    edges = edges[new[owner[edges]].all(1)]
    key = np.sort(owner[edges], 1)
    _, at, times = np.unique(key, axis=0, return_index=True, return_counts=True)
    return edges[at[times == 1]]


def join_hem(cut: Cut, verts: np.ndarray, inwards: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fold the rim inwards.

    Args:
        verts: (V, 3) places of the cut's vertices [m].
        inwards: (V, 3) how far the folded edge lies from each of them [m]; only the rim's count.

    Returns:
        Which vertex of the cut each new one repeats (N,), places (N, 3), further corners (F', 3) that count on from
        `cut.owner`, which rows these repeat (M,), and the new rows' vertices (M,) that count on from `verts`.
    """
    repeated = np.unique(cut.owner[cut.rim])
    number = np.full(len(verts), -1)
    number[repeated] = np.arange(len(repeated)) + len(verts)
    rows = np.unique(cut.rim)
    row_number = np.full(len(cut.owner), -1)
    row_number[rows] = np.arange(len(rows)) + len(cut.owner)
    a, b = cut.rim.T
    ring = np.concatenate([np.stack([b, a, row_number[a]], 1), np.stack([b, row_number[a], row_number[b]], 1)])
    return repeated, verts[repeated] + inwards[repeated], ring, rows, number[cut.owner[rows]]
