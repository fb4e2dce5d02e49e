"""Clips that a generator is driven by: filmed once, kept, cut into a reference and the moments that follow it.

A clip has 80 frames. Frame 0 is the reference; frames 39 to 79 drive, so that the reference is never among them.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from emosh_kernels.rasterize import rasterize

from emosh_core.artifacts import Motion, Truth
from emosh_core.body.assets import load_body
from emosh_core.body.joints import HANDS, JOINT_NAMES, WRISTS
from emosh_core.generate.generator import Camera, Reference
from emosh_core.image_io import write_image
from emosh_core.metrics.identity import look_of
from emosh_core.render.colors import mean_in_t_pose
from emosh_core.render.view import views
from emosh_core.retarget import RetargetConfig, retarget
from emosh_core.segmentation import person_mask
from emosh_core.settings import SynthConfig, TrackConfig
from emosh_core.synth.make import CLIPS, Set, begin, clip_name, make_clips, usual_workers
from emosh_core.tracker.track import track
from emosh_core.video_io import VideoWriter, open_source
from emosh_core.workspace.artifact import read

FRAMES, REFERENCE, DRIVEN = 80, 0, np.arange(39, 80)
CHOSEN = (
    ("bust", 7), ("full", 0), ("half", 1), ("bust", 22), ("full", 5), ("half", 4), ("bust", 20), ("full", 8),
    ("half", 16), ("bust", 15), ("full", 17), ("half", 12), ("bust", 13), ("full", 2), ("half", 9), ("bust", 17),
    ("full", 10), ("half", 3),
)  # fmt: skip
"""Framing and number in the protocol's test split; the busts are those with large faces that blink or speak while
they drive, chosen by the truth alone. Every number is another person."""
OTHERS = 100
"""Number of the first of the other people; the protocol's own clips have smaller ones."""
CRF = 12
"""H.264 quality of the video that is tracked again: no worse than the clip's own."""
ARMS = (16, 17, 18, 19)
LEGS = (1, 2, 4, 5, 7, 8, 10, 11)
PARTS = ("face", "hair", "torso", "arms", "hands", "legs")
"""Parts whose colours tell people apart; a sleeve or a trouser leg counts as the limb in it."""
EAR, BROW = (234, 454), (105, 334)
"""MediaPipe's face points between which the skin of the face lies: hair is behind or above them."""
Record = TypeVar("Record", Motion, Truth)


@dataclass(frozen=True, kw_only=True)
class Take:
    """What drives, what is true of it, and the still of the same person at another moment."""

    name: str
    notes: dict[str, str]
    """Motion, framing and camera in words."""
    motion: Motion
    """The driven moments."""
    truth: Truth
    frames: list[np.ndarray]
    """(H, W, 3) uint8 each."""
    parts: np.ndarray
    """(T, H, W) number in PARTS of what a pixel shows, −1 for anything else."""
    reference: Reference
    reference_parts: np.ndarray
    """(H, W)."""
    long: Motion
    """The whole clip, to time longer videos."""


def rows_of(record: Record, rows: np.ndarray) -> Record:
    """Return some frames of a motion or a truth."""
    names = [field.name for field in fields(record) if field.metadata.get("dims", ("",))[0] == "frame"]
    return replace(record, **{name: getattr(record, name)[rows] for name in names})


def film(folder: Path, chosen: list[tuple[str, int]], *, frames: int, side: int, assets: Path | None) -> list[Path]:
    """Film clips (framing, number) of the test split that are not there yet; return their folders."""
    places = []
    for framing in dict.fromkeys(framing for framing, _ in chosen):
        config = SynthConfig(frames=frames, resolution=side, aspect="1:1", framing=framing)
        set_ = Set.named("test", seed=None, others=0, assets=assets, config=config, device="cpu")
        kind = "pack" if assets else "painted"
        place = folder / f"{kind}-{side}px-{frames}-{framing}"
        begin(place, set_)
        numbers = [number for word, number in chosen if word == framing]
        missing = [number for number in numbers if not (place / CLIPS / clip_name(number)).is_dir()]
        list(make_clips(place, set_, missing, workers=usual_workers(set_)))
        places += [((framing, number), place / CLIPS / clip_name(number)) for number in numbers]
    return [dict(places)[choice] for choice in chosen]


def open_take(clip: Path) -> Take:
    """Read a clip and cut it."""
    motion, truth = read(clip / "motion.zarr", Motion), read(clip / "truth.zarr", Truth)
    frames = [frame for _, frame in open_source(clip / "video.mp4").frames()]
    notes = json.loads((clip / "clip.json").read_text(encoding="utf-8"))
    notes = {word: notes[word] for word in ("motion", "framing", "camera")}
    driven, first = rows_of(motion, DRIVEN), rows_of(motion, np.array([REFERENCE]))
    return Take(
        name=f"{notes['framing']}-{clip.name}", notes=notes, motion=driven, truth=rows_of(truth, DRIVEN),
        frames=[frames[t] for t in DRIVEN], parts=parts_of(driven), reference_parts=parts_of(first)[0],
        reference=Reference(image=frames[REFERENCE], motion=first, mask=truth.mask[REFERENCE],
                            camera=Camera(K=first.K[0], w2c=first.w2c[0])),
        long=motion,
    )  # fmt: skip


def tracked(take: Take) -> tuple[Motion, Reference]:
    """Return target and reference as the line makes them: from pictures alone."""
    still, body = take.reference.image, load_body()
    with tempfile.TemporaryDirectory() as scratch:
        video, picture = Path(scratch) / "drive.mp4", Path(scratch) / "still.png"
        with VideoWriter(video, take.motion.fps, take.motion.size, crf=CRF) as writer:
            for frame in take.frames:
                writer.write(frame)
        write_image(picture, still)
        motion, fit = (track(path, body, TrackConfig()) for path in (video, picture))
    target = retarget(motion, fit, body, RetargetConfig())
    return target, Reference(image=still, motion=fit, mask=person_mask(still))


def other_looks(folder: Path, count: int, *, side: int, assets: Path | None) -> Iterator[np.ndarray]:
    """Yield the looks (P, 6) of other people, of one picture each, in which all of them is seen."""
    chosen = [("full", OTHERS + k) for k in range(count)]
    for clip in film(folder, chosen, frames=1, side=side, assets=assets):
        _, frame = next(open_source(clip / "video.mp4").frames())
        yield look_of([frame], list(parts_of(read(clip / "motion.zarr", Motion))), len(PARTS))


def parts_of(motion: Motion) -> np.ndarray:
    """Return which of PARTS each pixel shows (T, H, W), −1 for none."""
    body, (width, height) = load_body(), motion.size
    labels, found = part_of_faces(), []
    for view in views(motion, body):
        seen = rasterize(view.verts_cam, body.faces, torch.as_tensor(motion.K[view.frames]), (height, width))
        face_id = seen.face_id.numpy()
        found.append(np.where(face_id >= 0, labels[face_id], -1))
    return np.concatenate(found)


def part_of_faces() -> np.ndarray:
    """Return which of PARTS each of the body's triangles belongs to (F,)."""
    body = load_body()
    rest = mean_in_t_pose(body)
    joint = body.lbs_weights[body.faces].sum(1).argmax(1).numpy()
    hands = [joint for side, wrist in WRISTS.items() for joint in (wrist, *HANDS[side])]
    labels = np.full(len(joint), PARTS.index("torso"))
    for name, joints in (("arms", ARMS), ("hands", hands), ("legs", LEGS)):
        labels[np.isin(joint, joints)] = PARTS.index(name)
    head = (body.face_part == body.part_names.index("head")).numpy()
    middle, marks = rest.verts[0][body.faces].mean(1).numpy(), rest.landmarks("face")[0].numpy()
    skin = (middle[:, 2] > marks[list(EAR), 2].mean()) & (middle[:, 1] < marks[list(BROW), 1].mean())
    on_head = head & np.isin(joint, [JOINT_NAMES.index(name) for name in ("head", "jaw")])
    labels[on_head] = np.where(skin, PARTS.index("face"), PARTS.index("hair"))[on_head]
    holes = [k for k, name in enumerate(body.part_names) if name.startswith(("eye", "mouth", "tongue"))]
    labels[np.isin(body.face_part.numpy(), holes)] = -1
    return labels


def resized(frame: np.ndarray, side: int) -> np.ndarray:
    """Return a square picture at another size, shrunk by area."""
    if len(frame) == side:
        return frame
    how = cv2.INTER_AREA if side < len(frame) else cv2.INTER_CUBIC
    return cv2.resize(frame, (side, side), interpolation=how)
