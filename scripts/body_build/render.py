"""Draw a textured body for a detector to look at: a z-buffer, plain shading, procedural eyes."""

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Picture:
    """A rendering and what each pixel shows."""

    rgb: np.ndarray  # (S, S, 3) uint8
    face_id: np.ndarray  # (S, S), −1 where nothing is
    bary: np.ndarray  # (S, S, 3)
    facing: np.ndarray  # (S, S) cosine between the surface and the viewer


@njit(cache=True)
def _rasterise(points, faces, size, face_id, bary, depth):
    for f in range(len(faces)):
        a, b, c = points[faces[f, 0]], points[faces[f, 1]], points[faces[f, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-12:
            continue
        x0, x1 = max(0, int(min(a[0], b[0], c[0]))), min(size - 1, int(max(a[0], b[0], c[0])) + 1)
        y0, y1 = max(0, int(min(a[1], b[1], c[1]))), min(size - 1, int(max(a[1], b[1], c[1])) + 1)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                px, py = x + 0.5, y + 0.5
                u = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) / area
                v = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = 1 / (u / a[2] + v / b[2] + w / c[2])
                if z < depth[y, x]:
                    depth[y, x] = z
                    face_id[y, x] = f
                    bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = u * z / a[2], v * z / b[2], w * z / c[2]


def draw(verts, faces, colors_at, points, size, light, background) -> Picture:
    """Draw a mesh.

    Args:
        verts: (V, 3) world [m], for normals.
        faces: (F, 3).
        colors_at: (face ids (P,), bary (P, 3)) → colours (P, 3) in 0..1.
        points: (V, 3) pixel x, y and depth [m] of the vertices.
        size: width and height [px].
        light: (3,) direction towards the lamp.
        background: (3,) colour in 0..1.
    """
    face_id = np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 3))
    _rasterise(points, faces, size, face_id, bary, np.full((size, size), np.inf))
    triangles = verts[faces]
    flat = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    smooth = np.zeros_like(verts)
    for k in range(3):
        np.add.at(smooth, faces[:, k], flat)
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True) + 1e-12
    seen = face_id >= 0
    ids, weights = face_id[seen], bary[seen]
    normal = np.einsum("pk,pkx->px", weights, smooth[faces[ids]])
    shade = 0.45 + 0.6 * np.clip(normal @ (light / np.linalg.norm(light)), 0, 1)
    image = np.broadcast_to(background, (size, size, 3)).copy()
    image[seen] = colors_at(ids, weights) * shade[:, None]
    facing = np.zeros((size, size))
    facing[seen] = normal[:, 2]
    return Picture((image.clip(0, 1) * 255).astype(np.uint8), face_id, bary, facing)


@dataclass(frozen=True)
class Skin:
    """Colours of a body: a picture in uv space, and eyes painted by the distance from the gaze axis."""

    picture: np.ndarray  # (H, W, 3) in 0..1
    uv: np.ndarray
    face_uv: np.ndarray
    eye_of_face: np.ndarray  # (F,) 0 none, 1 left, 2 right
    gaze_distance: np.ndarray  # (V,) [m] from the axis of the nearer eye, at rest
    iris: np.ndarray  # (3,)
    faces: np.ndarray

    def __call__(self, ids: np.ndarray, bary: np.ndarray) -> np.ndarray:
        uv = np.einsum("pk,pkx->px", bary, self.uv[self.face_uv[ids]])
        height, width = self.picture.shape[:2]
        column = (uv[:, 0] * width).astype(int).clip(0, width - 1)
        row = ((1 - uv[:, 1]) * height).astype(int).clip(0, height - 1)
        colors = self.picture[row, column].copy()
        eye = self.eye_of_face[ids] > 0
        distance = (bary * self.gaze_distance[self.faces[ids]]).sum(1)
        white = np.array([0.93, 0.91, 0.9])
        painted = np.where(distance[:, None] < 0.0022, 0.03, np.where(distance[:, None] < 0.0059, self.iris, white))
        colors[eye] = painted[eye]
        return colors
