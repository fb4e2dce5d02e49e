"""The camera of each frame: the driver's, or moved away from it by key frames."""

import numpy as np

from emosh_core.geometry.keyframes import CameraMoves, Keys


def move_camera(
    K: np.ndarray, w2c: np.ndarray, moves: CameraMoves, pivot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the moved cameras K (T, 3, 3) [px] and w2c (T, 4, 4).

    Args:
        K: (T, 3, 3).
        w2c: (T, 4, 4).
        pivot: (3,) a point on the vertical about which the camera orbits, world axes [m].
    """
    count = len(w2c)
    K, w2c = np.array(K, np.float64), np.asarray(w2c, np.float64)
    if moves.zoom:
        K[:, :2, :2] *= np.exp(_curve([(t, np.log(z)) for t, z in moves.zoom], count))[:, None, None]
    if moves.orbit:
        angle = np.radians(_curve(moves.orbit, count))
        turn = np.tile(np.eye(4), (count, 1, 1))
        turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angle)
        turn[:, 0, 2], turn[:, 2, 0] = -np.sin(angle), np.sin(angle)
        # The world turns the other way about the pivot, which is the same picture.
        turn[:, :3, 3] = pivot - turn[:, :3, :3] @ pivot
        w2c = w2c @ turn
    if moves.dolly:
        w2c = w2c.copy()
        w2c[:, 2, 3] -= _curve(moves.dolly, count)
    return K.astype(np.float32), w2c.astype(np.float32)


def _curve(keys: Keys | list, count: int) -> np.ndarray:
    """Return a value for each frame: straight between keys, level before the first and after the last."""
    frames, values = zip(*keys)
    return np.interp(np.arange(count), frames, values)
