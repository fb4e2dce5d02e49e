"""Where MediaPipe sees the joints of body and hands, compared with where our skeleton has them."""

import mediapipe
import numpy as np
import roma
import torch
from observe import SIZE, Stage, View

from emosh_core.artifacts import keypoint_slice
from emosh_core.body import zero_pose
from emosh_core.body.joints import HANDS, JOINT_NAMES, WRISTS

BODY_RENDERS, HAND_RENDERS = 70, 60
BODY_PAIRS = [(0, 0), (1, 4), (2, 5), (3, 6), *((k, k + 1) for k in range(7, 33, 2))]
"""(left, right) of MediaPipe Pose; the nose is its own mirror image."""


class Residuals:
    """Collects how far detections lie from landmarks, as equations for an offset in the rest frame."""

    def __init__(self, count: int):
        self.rows: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(count)]

    def add(self, row: int, view: View, landmark: int, pixel: np.ndarray, mirrored: bool):
        """Add one detection; the right side's are reflected into the left one's unknown."""
        projected = view.pixels(view.landmarks[landmark][None])[0]
        metres = (pixel - projected[:2]) * [1, -1] * projected[2] / view.focal
        turn = view.turns[landmark][:2] * ([-1, 1, 1] if mirrored else [1, 1, 1])
        self.rows[row].append((turn, metres))

    def solve(self, label: str) -> np.ndarray:
        """Return offsets (N, 3) [m] by robust least squares (Cauchy weights); prints the median distance left."""
        found, before, after = np.zeros((len(self.rows), 3)), [], []
        for n, rows in enumerate(self.rows):
            if len(rows) < 8:
                continue
            turns, metres = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
            for _ in range(30):
                left = metres - turns @ found[n]
                weight = 1 / (1 + ((left**2).sum(1) / 0.015**2))
                normal = np.einsum("r,rix,riy->xy", weight, turns, turns) + 0.05 * np.eye(3)
                found[n] = np.linalg.solve(normal, np.einsum("r,rix,ri->x", weight, turns, metres))
            before.append(np.median(np.linalg.norm(metres, axis=1)))
            after.append(np.median(np.linalg.norm(metres - turns @ found[n], axis=1)))
        print(f"{label}: detections lie {np.mean(before) * 1000:.1f} mm from our points, "
              f"{np.mean(after) * 1000:.1f} mm once the offsets are taken out; "
              f"offsets up to {np.linalg.norm(found, axis=1).max() * 1000:.1f} mm")
        return found


def offsets(stage: Stage) -> np.ndarray:
    """Return (75, 3) [m]: what to add to the rest landmarks of body, left and right hand."""
    body, hand = body_residuals(stage).solve("body"), hand_residuals(stage).solve("hands")
    mirror = np.array([-1.0, 1.0, 1.0])
    result = np.zeros((75, 3))
    for row, (left, right) in enumerate(BODY_PAIRS):
        result[left], result[right] = body[row], body[row] * mirror
    result[0, 0] = 0
    result[33:54], result[54:] = hand, hand * mirror
    return result


def axis_angle(axis: str, angle: float) -> torch.Tensor:
    """Return the rotation vector of a turn about "X", "Y" or "Z"."""
    return roma.euler_to_rotvec(axis, [torch.tensor(float(angle))])


def body_residuals(stage: Stage) -> Residuals:
    """Compare MediaPipe Pose with our landmarks on whole bodies in many views and mild poses."""
    rng, residuals = stage.rng, Residuals(len(BODY_PAIRS))
    with mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1) as detector:
        for k in range(BODY_RENDERS):
            pose = zero_pose()
            yaw = (rng.normal() * 0.4, rng.normal() * 0.4, np.pi / 2, -np.pi / 2)[k % 4] + rng.normal() * 0.15
            pose.global_orient[0] = axis_angle("Y", yaw)
            for side, sign in (("left", 1.0), ("right", -1.0)):
                turns = {
                    "shoulder": axis_angle("Z", -sign * rng.uniform(0.0, 1.3)),
                    "elbow": axis_angle("Y", -sign * rng.uniform(0.0, 1.2)),
                    "hip": axis_angle("X", -rng.uniform(0.0, 0.5)), "knee": axis_angle("X", rng.uniform(0.0, 0.6)),
                }  # fmt: skip
                for joint, turn in turns.items():
                    pose.body_pose[0, JOINT_NAMES.index(f"{side}_{joint}") - 1] = turn
            betas = rng.normal(size=32) * 0.7, rng.normal(size=64) * 0.7
            view = stage.view(pose, *betas, 0, rng.uniform(3.0, 5.0), 1.35 * SIZE)
            found = detector.process(view.picture.rgb).pose_landmarks
            if found is None:
                continue
            for row, pair in enumerate(BODY_PAIRS):
                for landmark in set(pair):
                    point = found.landmark[landmark]
                    if point.visibility > 0.6:
                        pixel = np.array([point.x, point.y]) * SIZE
                        residuals.add(row, view, landmark, pixel, landmark != pair[0])
    return residuals


def hand_residuals(stage: Stage) -> Residuals:
    """Compare MediaPipe Hands with our landmarks on close views of both hands."""
    rng, residuals, seen = stage.rng, Residuals(21), 0
    with mediapipe.solutions.hands.Hands(static_image_mode=True, max_num_hands=2) as detector:
        for k in range(HAND_RENDERS):
            side, sign = (("left", 1.0), ("right", -1.0))[k % 2]
            pose = zero_pose()
            pose.global_orient[0] = axis_angle("Y", rng.uniform(-0.6, 0.6))
            elbow = roma.rotvec_composition([
                axis_angle("Z", sign * rng.uniform(0.3, 1.5)), axis_angle("X", rng.uniform(-1.6, 1.6))
            ])  # fmt: skip
            pose.body_pose[0, JOINT_NAMES.index(f"{side}_elbow") - 1] = elbow
            curl, fingers = rng.uniform(0, 0.9), getattr(pose, f"{side}_hand_pose")
            for joint in range(12):
                fingers[0, joint] = axis_angle("Z", -sign * curl * rng.uniform(0.4, 1.1))
            betas = rng.normal(size=32) * 0.7, rng.normal(size=64) * 0.7
            view = stage.view(pose, *betas, HANDS[side][3], rng.uniform(0.5, 0.8), 1.3 * SIZE)
            part = keypoint_slice(f"{side}_hand")
            wrist = view.pixels(view.joints[WRISTS[side]][None])[0, :2]
            for hand in detector.process(view.picture.rgb).multi_hand_landmarks or []:
                pixels = np.array([(p.x, p.y) for p in hand.landmark]) * SIZE
                if np.linalg.norm(pixels[0] - wrist) > 0.08 * SIZE:
                    continue
                seen += 1
                for n in range(21):
                    residuals.add(n, view, part.start + n, pixels[n], side == "right")
    print(f"hands found on {seen} of {HAND_RENDERS} renderings")
    return residuals
