"""Which faces meet at each edge of a mesh; needed to tell silhouettes."""

import numpy as np
import torch
from torch import Tensor


def mesh_edges(faces: Tensor) -> Tensor:
    """List the edges of a mesh; make it once per mesh and keep it.

    Args:
        faces: (F, 3) integer corner indices.

    Returns:
        (E, 7) int32: both ends; the third corner of one face at the edge and of the other; these two
        faces; and 1 if both run along the edge in the same direction, as they do where one of them is
        inside out, else 0. Where there is no other face both of its columns are −1. An edge of more
        than two faces is listed once per face, as if it were a rim.
    """
    corners = faces.cpu().numpy().astype(np.int32)
    ends = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    rising, ends = ends[:, 0] < ends[:, 1], np.sort(ends, 1)
    third, face = corners[:, [2, 0, 1]].ravel(), np.repeat(np.arange(len(corners), dtype=np.int32), 3)
    order = np.lexsort((face, ends[:, 1], ends[:, 0]))
    ends, third, face, rising = ends[order], third[order], face[order], rising[order]
    starts = np.flatnonzero(np.r_[True, (ends[1:] != ends[:-1]).any(1)]) if len(ends) else np.zeros(0, int)
    count = np.diff(np.r_[starts, len(ends)])
    pair = starts[count == 2]
    single = np.flatnonzero(np.repeat(count != 2, count))
    none = np.full(len(single), -1, np.int32)
    alike = rising[pair] == rising[pair + 1]
    two = np.column_stack([ends[pair], third[pair], third[pair + 1], face[pair], face[pair + 1], alike])
    one = np.column_stack([ends[single], third[single], none, face[single], none, none + 1])
    return torch.as_tensor(np.concatenate([two, one]).astype(np.int32), device=faces.device)
