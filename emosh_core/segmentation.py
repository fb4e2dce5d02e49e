"""Which pixels of a still belong to the person."""

import cv2
import numpy as np

from emosh_core.quiet import quiet_native_stderr

SURE = 0.9  # MediaPipe's probability from which a pixel certainly is the person
GRABCUT_ROUNDS = 4
LONG_SIDE = 512  # working size [px]; the boundary is smooth enough to be enlarged again


def person_mask(image: np.ndarray) -> np.ndarray:
    """Segment the person in an image.

    MediaPipe's selfie model says roughly where the person is (256², offline); GrabCut then moves the
    boundary to the picture's own edges.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W) bool.
    """
    height, width = image.shape[:2]
    zoom = min(1.0, LONG_SIDE / max(height, width))
    small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    probability = _probability(small)
    likely = probability > 0.5
    if not likely.any() or likely.all():
        return cv2.resize(likely.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(small.shape[0] // 25, 3) | 1,) * 2)
    around = cv2.dilate(likely.astype(np.uint8), reach) > 0
    inside = (cv2.erode((probability > SURE).astype(np.uint8), reach) > 0) & likely
    labels = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[~around], labels[inside] = cv2.GC_BGD, cv2.GC_FGD
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), labels, None, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(cv2.GaussianBlur(person, (5, 5), 0), (width, height), interpolation=cv2.INTER_CUBIC) > 0.5


def _probability(image: np.ndarray) -> np.ndarray:
    with quiet_native_stderr():
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

        with SelfieSegmentation(model_selection=0) as model:
            return model.process(image).segmentation_mask
