"""Ask MediaPipe where its landmarks lie on renderings of our body, whose surface is known in every pixel."""

from dataclasses import dataclass, replace
from pathlib import Path

import mediapipe
import numpy as np
import outline
import PIL.Image
import roma
import torch
from render import Picture, Skin, draw

from emosh_core.body import EhmModel, Pose, zero_pose
from emosh_core.body.joints import EYES, HEAD

FACE_RENDERS, SIZE = 90, 1024


@dataclass(frozen=True)
class View:
    """One rendering of a body and its camera: pixel = focal · (x, −y) / depth + size / 2."""

    picture: Picture
    verts: np.ndarray  # (V, 3) world [m]
    joints: np.ndarray  # (55, 3)
    landmarks: np.ndarray  # (553, 3)
    turns: np.ndarray  # (553, 3, 3) how the surroundings of each landmark are turned away from rest
    eye: np.ndarray  # (3,) where the camera stands; it looks along −z
    focal: float

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Project world points (N, 3) to pixels and depth (N, 3)."""
        local = points - self.eye
        depth = -local[:, 2]
        xy = self.focal * local[:, :2] * [1, -1] / depth[:, None] + SIZE / 2
        return np.column_stack([xy, depth])


class Stage:
    """Draws random people."""

    def __init__(self, body: EhmModel, skins: Path, seed: int):
        self.body = body
        self.rng = np.random.default_rng(seed)
        self.skins = [np.asarray(PIL.Image.open(path).convert("RGB")) / 255 for path in sorted(skins.glob("*_hi.jpg"))]
        names = np.array(body.part_names)[body.face_part.numpy()]
        self.eye_of_face = np.select([np.char.startswith(names, "eye_front"), np.char.startswith(names, "eye_back")],
                                     [1, 1], 0)

    def skin(self, rest_verts: np.ndarray, rest_joints: np.ndarray) -> Skin:
        """Dress somebody in a random skin."""
        body, rng = self.body, self.rng
        axes = rest_joints[list(EYES), :2]
        distance = np.linalg.norm(rest_verts[:, None, :2] - axes, axis=2).min(1)
        iris = np.array([[0.25, 0.14, 0.07], [0.2, 0.35, 0.5], [0.3, 0.32, 0.2]])[rng.integers(3)]
        return Skin(self.skins[rng.integers(len(self.skins))], body.uv.numpy(), body.face_uv.numpy(),
                    self.eye_of_face, distance, iris, body.faces.numpy())

    def view(self, pose: Pose, betas_body, betas_head, aim: int, distance: float, focal: float) -> View:
        """Draw one person in one pose; the camera looks at a joint."""
        body, rng = self.body, self.rng
        shaped = body.with_shape(torch.as_tensor(betas_body).float(), torch.as_tensor(betas_head).float())
        posed = shaped.with_pose(pose)
        verts, joints = posed.verts[0].double().numpy(), posed.joints[0].double().numpy()
        eye = joints[aim] + [0, 0, distance]
        turned = (posed.rotmats[0] @ body.rest_rot).double().numpy()
        turns = np.einsum("nk,nkj,jxy->nxy", body.landmark_weights.numpy(),
                          body.lbs_weights.numpy()[body.landmark_verts.numpy()], turned)
        blank = View(None, verts, joints, posed.landmarks()[0].double().numpy(), turns, eye, focal)
        light = np.array([rng.uniform(-1, 1), rng.uniform(0, 1), 1.0])
        picture = draw(verts, body.faces.numpy(), self.skin(shaped.rest_verts.numpy(), shaped.rest_joints.numpy()),
                       blank.pixels(verts), SIZE, light, rng.uniform(0.2, 0.8, 3))
        return replace(blank, picture=picture)

    def bust(self, expression: dict[str, float], yaw: float, pitch: float) -> View:
        """Draw a random person's head."""
        rng, pose = self.rng, zero_pose()
        for name, value in expression.items():
            pose.expression[0, self.body.expression_names.index(name)] = value
        turn = roma.euler_to_rotvec("YX", [torch.tensor(yaw), torch.tensor(pitch)])
        pose.body_pose[0, HEAD - 1] = turn
        betas = rng.normal(size=32) * 0.5, rng.normal(size=64) * 0.7
        return self.view(pose, *betas, HEAD, rng.uniform(0.8, 1.5), 1.0 * SIZE * rng.uniform(1.8, 2.6))


def detect_face(mesh, picture: Picture) -> np.ndarray | None:
    """Return the 478 landmarks (478, 3) [px] or None; z is depth, in the same scale as x."""
    found = mesh.process(picture.rgb).multi_face_landmarks
    if not found:
        return None
    return np.array([(p.x, p.y, p.z) for p in found[0].landmark]) * SIZE


def face_points(stage: Stage) -> np.ndarray:
    """Return where MediaPipe's 478 landmarks lie on the mean neutral face (478, 3) [m], symmetric."""
    template, faces = stage.body.template.double().numpy(), stage.body.faces.numpy()
    observed: list[list[tuple[np.ndarray, float]]] = [[] for _ in range(478)]
    shapes = []
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        for _ in range(FACE_RENDERS):
            view = stage.bust({}, stage.rng.uniform(-0.55, 0.55), stage.rng.uniform(-0.25, 0.25))
            found = detect_face(mesh, view.picture)
            if found is None:
                continue
            shapes.append(found * [1, -1, -1])  # our axes: y up, z towards the viewer
            for point, (x, y, _) in enumerate(found):
                column, row = int(x), int(y)
                if not (0 <= column < SIZE and 0 <= row < SIZE) or view.picture.face_id[row, column] < 0:
                    continue
                corners = template[faces[view.picture.face_id[row, column]]]
                observed[point].append((view.picture.bary[row, column] @ corners, view.picture.facing[row, column]))
    print(f"faces found on {len(shapes)} of {FACE_RENDERS} renderings, fewest observations {min(map(len, observed))}")
    points, spread = map(np.array, zip(*(_settle(samples) for samples in observed), strict=True))
    print(f"face landmarks: spread median {np.median(spread) * 1000:.2f} mm, largest {spread.max() * 1000:.1f} mm")
    return outline.complete(points, spread, outline.mean_shape(np.array(shapes)))


def _settle(samples: list[tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
    """Return the median of the trustworthy observations and their spread: frontal ones first, no outliers."""
    places, facing = np.array([s[0] for s in samples]), np.array([s[1] for s in samples])
    if (facing > 0.45).sum() >= 12:
        places = places[facing > 0.45]
    distance = np.linalg.norm(places - np.median(places, 0), axis=1)
    kept = places[distance <= max(np.median(distance) * 2, 1e-4)]
    return np.median(kept, 0), float(np.median(distance))


def report_expressions(stage: Stage) -> None:
    """Print how far MediaPipe's landmarks lie from ours on faces with an expression."""
    expressions = [{}, {"jawOpen": 0.6}, {"mouthSmileLeft": 1, "mouthSmileRight": 1}, {"mouthPucker": 1},
                   {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, {"browInnerUp": 1, "jawOpen": 0.3}]  # fmt: skip
    lips, lids = [0, 17, 61, 291, 13, 14, 78, 308], [159, 145, 386, 374, 33, 133, 362, 263]
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        for expression in expressions:
            errors = []
            for _ in range(6):
                view = stage.bust(expression, stage.rng.uniform(-0.3, 0.3), stage.rng.uniform(-0.1, 0.1))
                found = detect_face(mesh, view.picture)
                if found is not None:
                    projected = view.pixels(view.landmarks[75:])
                    gap = np.linalg.norm((found - projected)[:, :2], axis=1) * projected[:, 2] / view.focal * 1000
                    errors.append([np.median(gap), np.median(gap[lips]), np.median(gap[lids])])
            whole, lip, lid = np.mean(errors, 0) if errors else (np.nan,) * 3
            print(f"{expression or 'neutral'}: all {whole:.1f} mm, lips {lip:.1f} mm, lids {lid:.1f} mm "
                  f"({len(errors)} of 6 found)")
