"""From detections and trust to what the fit must explain, weighted and in its units."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, keypoint_slice
from emosh_core.body.ehm import EhmModel
from emosh_core.tracker import losses, priors
from emosh_core.tracker.contacts import hands_touch, planted
from emosh_core.tracker.detectors import Detections
from emosh_core.tracker.estimators.protocol import Coarse
from emosh_core.tracker.eyelids import LIDS, LIPS, open_as, openness
from emosh_core.tracker.fit_model import at_rest
from emosh_core.tracker.gating import Trust
from emosh_core.tracker.objective import BONE_MARKS
from emosh_core.tracker.parameters import Observations, Parameters

LID_WORTH, LIP_WORTH = 20.0, 5.0
"""Independent observations that these points are worth beside other face points."""
FINGERS, HEELS = (slice(17, 23), 0.3), (slice(29, 31), 0.3)
"""Body points that are rough: the pose model's own fingers, and heels, which are seen from behind only."""


def observe(seen: Detections, trust: Trust, shot: np.ndarray, time: np.ndarray, K: Tensor, fps: float) -> Observations:
    """Weigh every detected point by its confidence and by the trust in its part."""
    person, face = trust.of("person"), trust.of("face")
    weight = seen.confidence**2 * person[:, None]
    for part, count in KEYPOINTS.items():
        trusted = trust.of(part) if part != "body" else np.ones_like(person)
        weight[:, keypoint_slice(part)] *= trusted[:, None] * losses.EFFECTIVE_POINTS[part] / count
    weight[:, 0:11] *= (0.5 * (1 - face))[:, None]  # the face points say it better
    for rows, worth in (FINGERS, HEELS):
        weight[:, rows] *= worth
    start = keypoint_slice("face").start
    weight[:, [start + i for lids, _, _ in LIDS.values() for i in lids]] *= LID_WORTH
    weight[:, [start + i for i in LIPS]] *= LIP_WORTH
    ends = [[marks[i] for marks in BONE_MARKS] for i in (0, 1)]
    directions = torch.from_numpy(seen.body3d[:, ends[1]] - seen.body3d[:, ends[0]])
    confidence = np.minimum(*(seen.confidence[:, end] for end in ends))
    begins = np.r_[True, shot[1:] != shot[:-1]]
    touch, touching = hands_touch(seen, trust.valid("left_hand"), trust.valid("right_hand"), time)
    return Observations(
        pixels=torch.from_numpy(seen.keypoints2d),
        weight=torch.from_numpy(weight.astype(np.float32)),
        depth=torch.from_numpy(seen.depth),
        directions=torch.nn.functional.normalize(directions, dim=-1),
        direction_weight=torch.from_numpy((confidence**2 * person[:, None]).astype(np.float32)),
        metre=torch.ones(len(person)),
        trust=torch.from_numpy(trust.values),
        begins=torch.from_numpy(begins),
        planted=torch.from_numpy(planted(seen, fps, time, _height(seen, person > 0.5)) & (person > 0.5)[:, None]),
        touch=torch.from_numpy(touch),
        touching=torch.from_numpy(touching),
        body_mean=priors.body_mean().repeat(len(person), 1, 1),
        left_hand_mean=priors.hand_mean("left").repeat(len(person), 1, 1),
        right_hand_mean=priors.hand_mean("right").repeat(len(person), 1, 1),
        K=K,
        rate=fps / 30,
    )


def _height(seen: Detections, there: np.ndarray) -> float:
    """Return about how tall the person stands in the picture [px]: 3.3 times the trunk."""
    shoulders, hips = (seen.keypoints2d[there][:, [a, b]].mean(1) for a, b in ((11, 12), (23, 24)))
    return 3.3 * float(np.median(np.linalg.norm(shoulders - hips, axis=-1))) if there.any() else 0.0


def expecting(seen: Observations, coarse: Coarse, p: Parameters) -> Observations:
    """Return the same with a coarse estimate as what is likely, wherever it is known; `p` is the start made of it."""
    means = {}
    for part, name in (("body", "body_pose"), ("left_hand", "left_hand_pose"), ("right_hand", "right_hand_pose")):
        known = getattr(coarse, f"{part}_known")
        if known is not None:
            usual = getattr(seen, f"{part}_mean")
            means[f"{part}_mean"] = torch.where(torch.from_numpy(known)[:, None, None], getattr(p, name), usual)
    return replace(seen, **means)


def with_open_eyes(seen: Observations, p: Parameters, body: EhmModel, readable: np.ndarray) -> Observations:
    """Return the same with eyelids in terms of the model's open eyes, see `eyelids.open_as`.

    Args:
        p: gives the shape.
        readable: (T,) bool, frames whose face can be read.
    """
    face = keypoint_slice("face")
    rest = at_rest(body, p.betas_body, p.betas_head).landmarks("face").numpy()
    usual = {side: float(openness(rest, side)[0]) for side in LIDS}
    pixels = seen.pixels.clone()
    pixels[:, face] = torch.from_numpy(open_as(pixels[:, face].numpy(), readable, usual)).to(pixels)
    return replace(seen, pixels=pixels)
