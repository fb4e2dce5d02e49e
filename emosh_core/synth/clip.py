"""One synthetic clip: throw the dice, then film it and write down what is true."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from emosh_core.artifacts import KEYPOINTS, Motion, Truth, keypoint_slice, trust_of
from emosh_core.body.ehm import EhmModel, PosedBody
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.body.pose import Pose
from emosh_core.geometry.camera import project, to_camera
from emosh_core.settings import SynthConfig
from emosh_core.synth.dice import Dice
from emosh_core.synth.draw import Drawn, Studio
from emosh_core.synth.figure import Person, Wardrobe
from emosh_core.synth.motion.score import compose
from emosh_core.synth.motion.stage import Staged, stage
from emosh_core.synth.scene.backdrop import Backdrop
from emosh_core.synth.scene.draws import draw
from emosh_core.synth.scene.film import Film, choose_film
from emosh_core.synth.scene.lights import Lights, choose_lights
from emosh_core.synth.scene.scenery import Kind, choose_backdrop
from emosh_core.synth.scene.shot import ASPECTS, Shot, choose_shot
from emosh_core.synth.visibility import points_of, visible

FINE_PIXELS = 2 << 20
"""Fine pixels drawn in one go; bounds the memory, and fewer stay in the processor's cache."""
SUBFRAMES = 8
"""Instants per frame time of a clip with motion blur; the open part of them is averaged."""
MIXED = "mixed"
"""The word in the settings for whatever is drawn."""
SEEN_SHARE = {"face": 0.35, "left_hand": 0.5, "right_hand": 0.5, "body": 0.3}
"""Share of a part's landmarks that must be seen for its `*_valid`; of a face in profile half are."""
LIPS, MOUTH_CORNERS = (13, 14), (78, 308)
"""MediaPipe's face landmarks: inner middles of the upper and lower lip; inner corners of the mouth."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything about a clip before it is filmed; the people do the same before the same camera."""

    people: tuple[Person, ...]
    """The clip's own person first, then the others of its pairs."""
    staged: tuple[Staged, ...]
    shot: Shot
    backdrop: Backdrop
    lights: Lights
    film: Film
    shutter: float
    """Share of a frame's time that the shutter is open."""
    subframes: int
    """Instants per frame."""
    kind: str
    dice: Dice
    fps: float

    def notes(self, which: int) -> dict:
        """Describe the clip of one person in plain words and numbers."""
        return {
            "split": self.dice.split, "seed": self.dice.seed, "clip": self.dice.clip, "person": which,
            "motion": self.kind, "framing": self.shot.framing, "camera": self.shot.moves,
            "background": self.backdrop.name, "light": self.lights.name,
            "film": asdict(self.film) | {"shutter": self.shutter},
            "looks": self.people[which].looks,
        }  # fmt: skip


def choose_scene(dice: Dice, config: SynthConfig, wardrobe: Wardrobe, body: EhmModel, *, others: int = 0) -> Scene:
    """Throw the dice of a clip.

    Args:
        others: how many other people do the same, for pairs.
    """
    people = tuple(wardrobe.person(dice.rng("person", which), dice.split) for which in range(1 + others))
    subframes = SUBFRAMES if config.shutter > 0 else 1
    score = compose(dice.rng("motion"), frames=config.frames * subframes, fps=config.fps * subframes,
                    motion=config.motion, split=dice.split)  # fmt: skip
    staged = tuple(stage(score, body.with_shape_of(person.shape)) for person in people)
    joints = np.stack([_joints(body, person, each.pose) for person, each in zip(people, staged, strict=True)])
    rng = dice.rng("shot")
    shot = choose_shot(rng, joints, fps=config.fps * subframes, size=_size(rng, config),
                       framing=_word(config.framing), moves=_word(config.camera))  # fmt: skip
    device = body.template.device
    backdrop = choose_backdrop(dice.rng("backdrop"), shot, joints[:, :, 0].reshape(-1, 3), device=device,
                               **_background(config.background))  # fmt: skip
    towards = shot.centres.mean(0) - joints[:, :, 0].mean((0, 1))
    yaw = float(np.arctan2(towards[0], towards[2]))
    return Scene(
        people=people, staged=staged, shot=shot, backdrop=backdrop,
        lights=choose_lights(dice.rng("lights"), yaw, backdrop.mood), film=choose_film(dice.rng("film"), config.noise),
        shutter=config.shutter, subframes=subframes, kind=score.kind, dice=dice, fps=config.fps,
    )  # fmt: skip


def _joints(body: EhmModel, person: Person, pose: Pose) -> np.ndarray:
    """Return the joints (T, 55, 3) in world axes [m]."""
    return body.with_shape_of(person.shape).place_joints(pose.rotmats(), pose.transl)[1].cpu().numpy()


def _word(setting: str) -> str | None:
    return None if setting == MIXED else setting


def _size(rng: np.random.Generator, config: SynthConfig) -> tuple[int, int]:
    """Return width and height [px], multiples of 16; the shorter is the resolution."""
    aspect = draw(rng, ASPECTS)
    if config.aspect != MIXED:
        aspect = tuple(int(side) for side in config.aspect.split(":"))
    return tuple(round(config.resolution * side / min(aspect) / 16) * 16 for side in aspect)


def _background(setting: str) -> dict:
    """Return what `choose_backdrop` is told: a kind, a place where pictures are, or nothing."""
    if setting == MIXED or setting in get_args(Kind):
        return {"kind": _word(setting)}
    return {"image": Path(setting)}


@dataclass(frozen=True)
class Recording:
    """What is true of a filmed clip."""

    motion: Motion
    truth: Truth


class Shooting:
    """Films one person of a scene."""

    def __init__(self, scene: Scene, which: int, wardrobe: Wardrobe, body: EhmModel):
        self.scene, self.which, self.body = scene, which, body
        self.person, self.staged = scene.people[which], scene.staged[which]
        self.device = body.template.device
        self.K, self.w2c = (torch.as_tensor(value, device=self.device) for value in (scene.shot.K, scene.shot.w2c))
        self.figure = wardrobe.figure(self.person, self._height())
        self.studio = Studio(self.figure, scene.lights, scene.backdrop)
        self.points = points_of(self.figure)

    def film(
        self, write: Callable[[Tensor], None], progress: Callable[[int, int], None] | None = None,
        only: np.ndarray | None = None,
    ) -> Recording:
        """Film the clip, or some of its frames.

        Args:
            write: takes the next frames (N, H, W, 3) uint8, on the device.
            progress: called with (frames done, frames).
            only: which frames, in their order; all by default.
        """
        scene, n = self.scene, self.scene.subframes
        wanted = np.arange(len(self.K) // n) if only is None else np.asarray(only)
        count = len(wanted)
        open_ = max(1, round(scene.shutter * n))
        grain, rows = scene.dice.rng("grain", self.which), []
        at_once = max(1, FINE_PIXELS // (4 * scene.shot.size[0] * scene.shot.size[1]))
        for first in range(0, count, at_once):
            frames = wanted[first : first + at_once]
            exact, drawn = self._draw(frames * n + open_ // 2)
            exposed = drawn.frames
            if open_ > 1:
                others = [self._draw(frames * n + k)[1].frames for k in range(open_) if k != open_ // 2]
                exposed = (exposed + sum(others)) / open_
            write(scene.film.apply(exposed, grain))
            rows.append(self._look(exact, drawn, frames * n + open_ // 2))
            if progress:
                progress(first + len(frames), count)
        columns = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
        return self._record(columns, wanted / scene.fps, wanted * n + open_ // 2)

    def still(self) -> Tensor:
        """Return the reference picture (H, W, 3) uint8: the person stands before the clip's first camera and waits."""
        dice = self.scene.dice
        score = compose(dice.rng("still", self.which), frames=1, fps=self.scene.fps, motion="idle", split=dice.split)
        pose = stage(score, self.figure.shaped).pose
        joints = self._pose(self.staged.pose)
        tallest = int(joints[:, JOINT_NAMES.index("head"), 1].argmax())
        pose = _stand_at(pose, joints[tallest, 0], self.w2c[tallest], float(dice.rng("still", self.which).normal()))
        _, drawn = self._draw_pose(pose, np.array([tallest]))
        return self.scene.film.apply(drawn.frames, dice.rng("grain", 1000 + self.which))[0]

    def _draw(self, indices: np.ndarray) -> tuple[PosedBody, Drawn]:
        return self._draw_pose(_part(self.staged.pose, indices), indices)

    @torch.no_grad()
    def _draw_pose(self, pose: Pose, indices: np.ndarray) -> tuple[PosedBody, Drawn]:
        verts, transforms, body = self.figure.pose(pose)
        shot = self.scene.shot
        return body, self.studio.draw(verts, transforms, shot.K[indices], shot.w2c[indices], shot.size)

    def _pose(self, pose: Pose) -> Tensor:
        """Return the joints (T, 55, 3)."""
        return self.figure.shaped.place_joints(pose.rotmats(), pose.transl)[1]

    def _height(self) -> float:
        """Return how tall the person stands in the picture where they are largest [px]."""
        rest = self.body.with_shape_of(self.person.shape).rest_verts
        stature = float(rest[:, 1].amax() - rest[:, 1].amin())
        pelvis = to_camera(self.staged.pose.transl[:, None], self.w2c)[:, 0, 2].clamp(min=0.3)
        return float((self.K[:, 1, 1] / pelvis).amax()) * stature

    def _look(self, posed: PosedBody, drawn: Drawn, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the camera shows of joints and landmarks."""
        K = self.K[indices]
        points = to_camera(torch.cat([posed.joints, posed.landmarks()], 1), self.w2c[indices])
        seen = visible(self.points, points, K, drawn)
        face = posed.landmarks("face")
        gap, width = ((face[:, a] - face[:, b]).norm(dim=-1) for a, b in (LIPS, MOUTH_CORNERS))
        count = len(JOINT_NAMES)
        found = {
            "joints": posed.joints, "keypoints2d": project(points[:, count:], K), "joint_visible": seen[:, :count],
            "keypoint_visible": seen[:, count:], "mouth_open": gap / width, "mask": drawn.mask > 0.5,
        }  # fmt: skip
        return {key: value.cpu().numpy() for key, value in found.items()}

    def _record(self, seen: dict[str, np.ndarray], time: np.ndarray, indices: np.ndarray) -> Recording:
        count, scene = len(indices), self.scene
        pose = {field.name: getattr(self.staged.pose, field.name)[indices].cpu().numpy() for field in fields(Pose)}
        names = self.body.expression_names
        lids = [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]
        visible_ = seen["keypoint_visible"]
        share = {part: visible_[:, keypoint_slice(part)].mean(1) >= SEEN_SHARE[part] for part in KEYPOINTS}
        motion = Motion(
            **pose, joints=seen["joints"], eyelid=pose["expression"][:, lids], K=scene.shot.K[indices],
            w2c=scene.shot.w2c[indices], keypoints2d=seen["keypoints2d"], confidence=visible_.astype(np.float32),
            face_valid=share["face"], left_hand_valid=share["left_hand"], right_hand_valid=share["right_hand"],
            person_valid=share["body"] | share["face"],
            trust=trust_of(share["body"] | share["face"], *(share[p] for p in ("face", "left_hand", "right_hand"))),
            reprojection_error=np.zeros(count, np.float32), time=time,
            shape=self.person.shape, fps=scene.fps, size=scene.shot.size, body_model=self.body.name,
        )  # fmt: skip
        truth = Truth(
            joint_visible=seen["joint_visible"], keypoint_visible=visible_, contacts=self.staged.contacts[indices],
            blink=self.staged.blink[indices], mouth_open=seen["mouth_open"], mask=seen["mask"], time=time,
            fps=scene.fps,
        )  # fmt: skip
        return Recording(motion, truth)


def _part(pose: Pose, indices: np.ndarray) -> Pose:
    return Pose(**{field.name: getattr(pose, field.name)[indices] for field in fields(Pose)})


def _stand_at(pose: Pose, pelvis: Tensor, w2c: Tensor, turn: float) -> Pose:
    """Move a pose of one frame under a pelvis (3,), facing the camera but for a turn in tenths of a circle."""
    import roma

    eye = -(w2c[:3, :3].T @ w2c[:3, 3])
    yaw = torch.atan2(eye[0] - pelvis[0], eye[2] - pelvis[2]) + 0.2 * turn
    spin = roma.rotvec_to_rotmat(torch.stack([0 * yaw, yaw, 0 * yaw]))
    facing = roma.rotmat_to_rotvec(spin @ roma.rotvec_to_rotmat(pose.global_orient))
    place = pose.transl.clone()
    place[:, [0, 2]] = pelvis[[0, 2]]
    return replace(pose, global_orient=facing, transl=place)
