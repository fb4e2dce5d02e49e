"""How much people move: range and speed of every joint, so that motion is neither frozen nor frantic."""

from collections.abc import Sequence

import numpy as np
import roma
import torch

from emosh_core.artifacts import Motion
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.body.pose import pose_from_motion

STILL = 0.02
"""A frame is static if its joints move slower than this on average [m/s]."""
ORDINARY = {
    "median_joint_speed": (0.03, 0.8), "p95_joint_speed": (0.15, 3.5), "static_share": (0.0, 0.35),
    "elbow_range": (20.0, 150.0), "p95_elbow_speed": (10.0, 600.0),
}  # fmt: skip
"""What sets of clips lie within: m/s, shares, degrees and degrees per second. Hands of people who gesture move at
0.2 to 1.5 m/s, ordinary walking bends the knee by 60° at up to 350° per second (Perry and Burnfield 2010, ch. 6);
faster than 600° per second are throws."""


def statistics(motions: Sequence[Motion]) -> dict:
    """Return figures about a set of clips.

    Returns:
        `joints`: per joint the range over the clip [deg], averaged over clips, and median and 95th percentile of
        the angular speed [deg/s]; and, over all, speeds of joints [m/s], the share of static frames, and the
        median magnitude of the jerk of joints [m/s³].
    """
    ranges, turning, speeds, jerks, static = [], [], [], [], []
    for motion in motions:
        if len(motion.time) < 4:
            continue
        local = pose_from_motion(motion).rotmats()
        turns = roma.rotmat_geodesic_distance(local[1:], local[:-1]).numpy()
        ranges.append(_spread(local))
        turning.append(np.degrees(turns) * motion.fps)
        velocity = np.diff(motion.joints, axis=0) * motion.fps
        speed = np.linalg.norm(velocity, axis=-1)
        speeds.append(speed)
        static.append(speed.mean(1) < STILL)
        jerks.append(np.linalg.norm(np.diff(velocity, 2, axis=0), axis=-1) * motion.fps**2)
    if not speeds:
        return {"clips": len(motions), "joints": {}}
    ranges, turning, speeds = np.mean(ranges, 0), np.concatenate(turning), np.concatenate(speeds)
    rows = {
        name: {"range_deg": _short(ranges[j]), "median_deg_s": _short(np.median(turning[:, j])),
               "p95_deg_s": _short(np.quantile(turning[:, j], 0.95))}
        for j, name in enumerate(JOINT_NAMES)
    }  # fmt: skip
    elbows = [JOINT_NAMES.index(f"{side}_elbow") for side in ("left", "right")]
    return {
        "clips": len(motions), "frames": sum(len(motion.time) for motion in motions),
        "median_joint_speed": _short(np.median(speeds)), "p95_joint_speed": _short(np.quantile(speeds, 0.95)),
        "static_share": _short(np.concatenate(static).mean()),
        "median_jerk": _short(np.median(np.concatenate([jerk.ravel() for jerk in jerks]))),
        "elbow_range": _short(ranges[elbows].mean()), "p95_elbow_speed": _short(np.quantile(turning[:, elbows], 0.95)),
        "joints": rows,
    }  # fmt: skip


def _spread(local: torch.Tensor) -> np.ndarray:
    """Return the largest turn (55,) of each joint away from its middle frame, twice [deg]."""
    middle = local[len(local) // 2]
    return 2 * np.degrees(roma.rotmat_geodesic_distance(local, middle.expand_as(local)).numpy()).max(0)


def _short(value: float) -> float:
    return float(f"{float(value):.4g}")
