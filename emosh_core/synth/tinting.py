"""Change the colour of a texture: skin, hair, cloth."""

import cv2
import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def scaled(picture: np.ndarray, gain) -> np.ndarray:
    """Multiply the colours of a picture (h, w, 4), premultiplied, by a gain (3,); no colour exceeds alpha."""
    return _mapped(picture, np.diag(gain))


def dyed(picture: np.ndarray, rgb, contrast: float = 0.75) -> np.ndarray:
    """Give a picture (h, w, 4), premultiplied, another mean colour (3,) and keep its light and dark places."""
    alpha = picture[..., 3]
    luma = picture[..., :3] @ _LUMA / np.maximum(alpha, 1e-3)
    mean = max(float((luma * alpha).sum() / max(alpha.sum(), 1e-3)), 1e-3)
    relative = np.clip(luma / mean, 0.02, 6.0) ** contrast
    relative /= max(float((relative * alpha).sum() / max(alpha.sum(), 1e-3)), 1e-3)
    color = np.clip(relative[..., None] * np.asarray(rgb, np.float32), 0, 1)
    return np.concatenate([color * alpha[..., None], alpha[..., None]], -1).astype(np.float32)


def turned(picture: np.ndarray, hue: float, saturation: float, gain) -> np.ndarray:
    """Turn the hues of a picture (h, w, 4), premultiplied, about the grey axis and scale its saturation.

    Args:
        picture: the picture.
        hue: angle [rad].
        saturation: factor.
        gain: (3,) on the resulting colours.
    """
    grey = np.tile(_LUMA, (3, 1))
    return _mapped(picture, np.diag(gain) @ (grey + saturation * _about_grey(hue) @ (np.eye(3) - grey)))


def _mapped(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a linear map (3, 3) to colours; results stay between 0 and alpha."""
    whole = np.eye(4, dtype=np.float32)
    whole[:3, :3] = matrix
    mapped = cv2.transform(picture, whole)
    np.maximum(mapped, 0, out=mapped)
    return np.minimum(mapped, picture[..., 3:], out=mapped)


def _about_grey(angle: float) -> np.ndarray:
    """Return the rotation (3, 3) about (1, 1, 1), by Rodrigues' formula."""
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    return turn.astype(np.float32)
