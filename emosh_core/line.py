"""The line: what each stage needs, what names its result, and how it is made.

    drive.mp4 ─track─▶ motion ┐
    ref.png   ─track─▶ motion ┴retarget▶ target ─render-cond▶ cond ─animate▶ clip

A `Step` knows its fingerprint before anything has run, because that depends only on settings, files
and the fingerprints of what it needs. Nothing here imports torch before a step really is made.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from emosh_core import settings as stage_settings
from emosh_core.artifacts import Clip, Cond, Motion, Target
from emosh_core.config import result_settings
from emosh_core.errors import ArtifactError, AssetError, ConfigError
from emosh_core.generate.names import (
    MINI,
    PREVIEW,
    WAN,
    adapts_wan,
    choose,
    choose_base,
    find_lora,
    mini_folder,
    parse_lora,
)
from emosh_core.generate.wan import parts as wan
from emosh_core.making import Making
from emosh_core.models import KINDS, registered, require, state_of
from emosh_core.tracker.estimators.names import find_result, parse_estimators, weights_of
from emosh_core.workspace import layout
from emosh_core.workspace.artifact import read, read_header
from emosh_core.workspace.store import fingerprint
from emosh_core.workspace.workspace import Workspace

SECTION = {"track": "track", "retarget": "retarget", "render-cond": "render", "animate": "animate"}
"""Stage and its section of the settings."""

PREVIEW_VERSION = "4"
"""Counts the changes of the preview generator's pictures: clips of another version are stale."""

LORA = "lora "
"""Begins the name of LoRA weights among a step's models; their place follows."""

ORBIT = (
    "the camera orbits: a mesh seen by a turning camera and a turning body seen by a still one give the same picture, "
    "so a generator may turn the person in front of a still background; render.grid = true may help it"
)
"""The paper's stated limit of mesh conditioning (arXiv 2606.28026)."""

STANDARD_SETTINGS = {name: cls() for name, cls in stage_settings.SECTIONS.items()}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage applied to known inputs."""

    stage: str
    name: str
    fingerprint: str
    config: dict[str, Any]
    inputs: tuple[dict[str, str], ...]
    models: dict[str, str]
    frames: int
    """How many frames it makes; 0 where nobody knows yet."""
    needs: tuple["Step", ...]
    make: Callable[[Making], Any] | None
    """Makes the artifact's content; None for an artifact that is taken as it lies there."""
    file: Path | None = None
    """What a user gave it to read, if anything."""


class Line:
    """Builds the steps of one workspace under one set of settings."""

    def __init__(self, workspace: Workspace, settings: dict[str, Any] | None = None):
        self.workspace = workspace
        self.settings = STANDARD_SETTINGS | (settings or {})
        asked = self.settings["animate"]
        if adapts_wan(workspace.root / asked.generator):
            loras = (asked.generator, *asked.loras)
            self.settings = with_settings(self.settings, "animate", generator=WAN, loras=loras)
        name, self._why = choose(self.settings["animate"].generator)
        base, method = choose_base(self.settings["train"].base, self.settings["train"].method)
        self.settings = with_settings(self.settings, "animate", generator=name)
        self.settings = with_settings(self.settings, "train", base=base, method=method)

    def track(self, path: Path, *, still: bool = False) -> Step:
        """Track a video, an image or a folder of images.

        Args:
            still: refuse everything but an image.
        """
        given = self.workspace.identify(path)
        config = self.settings["track"]

        def make(making: Making) -> Motion:
            from emosh_core.image_io import read_image
            from emosh_core.video_io import open_source

            if still:
                read_image(path)
            source = open_source(path)  # an unreadable file is known before torch is loaded
            from emosh_core.body.choose import body_of
            from emosh_core.previews import overlay, write_video
            from emosh_core.tracker.track import track

            body = body_of(config.body)
            # The path as it was given, for messages; `inputs/` holds the same content.
            motion = track(path, body, config, scratch=making.scratch, progress=making.progress, note=making.note)
            if config.preview:
                write_video(making.media("overlay"), overlay(source, motion, body), motion.fps, motion.time)
            else:
                for _ in source.frames():  # only reading tells what is damaged
                    pass
            for problem in source.problems:
                making.note(problem)
            return motion

        inputs = [{"role": "source", "sha256": given.sha256}]
        if config.gvhmr_results and "body" in parse_estimators(config.estimator, path):
            result = find_result(Path(config.gvhmr_results), path)
            inputs.append({"role": "gvhmr", "sha256": self.workspace.sha256(result)})
        kinds = weights_of(config.estimator, path, config.gvhmr_results)
        models = {name: self.model(name) for name in ("mediapipe", *(["smplx"] if config.body == "smplx" else []))}
        models |= {kind: require(kind).sha256[:16] for kind in kinds}
        return self._step("track", given.name, inputs, make, schema=Motion.SCHEMA, models=models, file=path)

    def take(self, artifact: Path) -> Step:
        """Use an artifact as it lies there, whatever settings made it."""
        header = read_header(artifact)
        return Step(
            stage=layout.stage_of(artifact), name=layout.artifact_name(artifact), fingerprint=header["fingerprint"],
            config=header["config"], inputs=tuple(header["inputs"]), models=header["models"],
            frames=header["frames"], needs=(), make=None,
        )  # fmt: skip

    def retarget(self, motion: Step, reference: Step) -> Step:
        """Put a driver's motion on a reference's shape."""

        def make(making: Making) -> Target:
            from emosh_core.body.choose import body_of
            from emosh_core.retarget import retarget

            driver = self.load(motion, Motion)
            return retarget(driver, self.load(reference, Motion), body_of(driver.body_model), self.settings["retarget"])

        inputs = [_from("motion", motion), _from("reference", reference)]
        name = f"{motion.name}-as-{reference.name}"
        return self._step(
            "retarget", name, inputs, make, schema=Target.SCHEMA, needs=(motion, reference), frames=motion.frames
        )

    def render(self, source: Step) -> Step:
        """Draw the condition pictures of a target, or of a driver's own motion."""
        kind = Target if source.stage == "retarget" else Motion

        def make(making: Making) -> Cond:
            from emosh_core.body.choose import body_of
            from emosh_core.geometry.keyframes import parse_camera
            from emosh_core.previews import write_video
            from emosh_core.render.condition import render_condition

            config = self.settings["render"]
            motion = self.load(source, kind)
            body = body_of(motion.body_model, device=making.device)
            cond = render_condition(motion, body, config, progress=making.progress)
            if parse_camera(config.camera).orbit:
                making.note(ORBIT)
            write_video(making.media("cond"), cond.frames, cond.fps, cond.time)
            return cond

        return self._step(
            "render-cond", source.name, [_from(kind.KIND, source)], make, schema=Cond.SCHEMA, needs=(source,),
            frames=source.frames,
        )  # fmt: skip

    def animate(self, target: Step, cond: Step, reference: Step, image: Path) -> Step:
        """Make the reference move like the target."""
        given, config = self.workspace.identify(image), self.settings["animate"]
        models = self._networks(config)

        def make(making: Making) -> Clip:
            from emosh_core.clip import make_clip

            if self._why:
                making.note(self._why)
            return make_clip(
                self.load(target, Target), self.load(cond, Cond, lazy=("frames", "mask")),
                self.load(reference, Motion), image, config,
                making=making, root=self.workspace.root, drive=self._drive(target),
            )  # fmt: skip

        inputs = [_from("target", target), _from("cond", cond), _from("reference", reference)]
        inputs.append({"role": "image", "sha256": given.sha256})
        return self._step(
            "animate", target.name, inputs, make, schema=Clip.SCHEMA, needs=(target, cond, reference),
            frames=target.frames, models=models, file=image,
        )  # fmt: skip

    def whole(self, reference: Path, motion: Path | None = None) -> Step:
        """Return the last step of the whole line for a reference image; what it needs comes with it."""
        driver, still = self.take(self.driver(motion)), self.track(reference, still=True)
        target = self.retarget(driver, still)
        return self.animate(target, self.render(target), still, reference)

    def driver(self, choice: Path | None = None) -> Path:
        """Return the motion to use: the one chosen, or the newest of the only clip that was tracked."""
        if choice is not None:
            return self.chosen(choice, "track")
        clips, stills = {}, []
        for artifact in self.workspace.artifacts("track"):
            header = read_header(artifact)
            if header["frames"] > 1:
                clips[header["inputs"][0]["sha256"]] = artifact
            else:
                stills.append(artifact.name)
        if not clips:
            found = f"single frames, which may drive if they are named: {', '.join(stills)}" if stills else "nothing"
            fix = f"emosh track CLIP.mp4 -o {self.workspace.root}" + (", or --motion NAME" if stills else "")
            raise ArtifactError(
                f"there is no tracked clip in the workspace {self.workspace.root}", found=found, fix=fix
            )
        if len(clips) > 1:
            names = ", ".join(path.name for path in clips.values())
            raise ConfigError("several clips are tracked; which one drives?", found=names, fix="--motion NAME")
        return next(iter(clips.values()))

    def newest_target(self, motion: Path | None = None) -> Step | None:
        """Return the newest target, of the chosen motion if one is chosen; None if there is none."""
        wanted = read_header(self.chosen(motion, "track"))["fingerprint"] if motion else None
        for artifact in reversed(self.workspace.artifacts("retarget")):
            step = self.take(artifact)
            if wanted in (None, step.inputs[0]["fingerprint"]):
                return step
        return None

    def load(self, step: Step, kind: type, lazy: tuple[str, ...] = ()) -> Any:
        """Read the artifact that a step left."""
        path = self.workspace.find(step.stage, step.fingerprint)
        if path is None:
            raise ArtifactError(f"the artifact of {step.stage} is gone", found=step.name, fix=f"emosh {step.stage} …")
        return read(path, kind, lazy=lazy)

    def source(self, motion: Step) -> Path:
        """Return the file that a motion was tracked from."""
        sha256 = motion.inputs[0]["sha256"]
        found = sorted((self.workspace.root / layout.INPUTS).glob(f"{sha256[:16]}*"))
        if not found:
            raise ArtifactError(
                f"the clip that {motion.name} was tracked from is gone",
                found=f"inputs/{sha256[:16]}…",
                fix="track it again",
            )
        if found[0].is_file() and self.workspace.sha256(found[0]) != sha256:
            raise ArtifactError(
                f"the clip that {motion.name} was tracked from was changed since",
                found=str(found[0]),
                fix="track it again",
            )
        return found[0]

    def _drive(self, target: Step) -> Path | None:
        """Return the clip that a target was tracked from, None if it is gone."""
        motion = self.workspace.find("track", target.inputs[0]["fingerprint"])
        try:
            return None if motion is None else self.source(self.take(motion))
        except ArtifactError:
            return None

    def models(self) -> dict[str, str]:
        """Return name and digest of the body model, which every stage but animate's generators uses."""
        return {"body": digest} if (digest := self.model("body")) else {}

    def model(self, name: str) -> str:
        """Return the digest or version that a model has now; empty if it is not there."""
        if name == PREVIEW:
            return PREVIEW_VERSION
        if name == MINI:
            return self.workspace.sha256(mini_folder())[:16] if mini_folder().is_dir() else ""
        if name == "mediapipe":
            return importlib.metadata.version("mediapipe")
        if name == "body":
            file = Path(str(files("emosh_core") / "assets" / "ehm_embedded.npz"))
            return self.workspace.sha256(file)[:16] if file.is_file() else ""
        if name == "smplx":
            return self._licensed_body()
        if name.startswith(LORA):
            return self._lora(name.removeprefix(LORA))
        if name in KINDS:
            entry = registered(name)
            return entry.sha256[:16] if entry and state_of(entry) == "ok" else ""
        return self._checkpoint(name)

    def _licensed_body(self) -> str:
        """Return one digest of the user's SMPL-X and FLAME files; empty if they are not there."""
        folder = Path(os.environ.get("EMOSH_BODY_MODELS") or os.devnull).expanduser()
        held = sorted(path for path in folder.rglob("*") if path.suffix in (".npz", ".pkl", ".npy"))
        digests = " ".join(self.workspace.sha256(path) for path in held)
        return hashlib.sha256(digests.encode()).hexdigest()[:16] if digests else ""

    def _lora(self, place: str) -> str:
        """Return the digest of LoRA weights; empty if they are not there."""
        try:
            return self.workspace.sha256(find_lora(place, self.workspace.root))[:16]
        except AssetError:
            return ""

    def _checkpoint(self, run: str) -> str:
        """Return the digest of a training run's newest checkpoint; empty if there is none."""
        found = sorted((self.workspace.root / run).glob("checkpoints/step_*"))
        return self.workspace.sha256(found[-1])[:16] if found else ""

    def _step(self, stage, name, inputs, make, *, schema, needs=(), frames=0, models=None, file=None) -> Step:
        config = result_settings(self.settings[SECTION[stage]])
        models = self.models() | (models or {})
        digests = [entry.get("sha256") or entry["fingerprint"] for entry in inputs]
        return Step(
            stage=stage, name=name, fingerprint=fingerprint(stage, schema, config, digests, models), config=config,
            inputs=tuple(inputs), models=models, frames=frames, needs=tuple(needs), make=make, file=file,
        )  # fmt: skip

    def _networks(self, config: stage_settings.AnimateConfig) -> dict[str, str]:
        """Return the digests of what a generator is made of; one that is shown the preview depends on that as well."""
        drawn, generator = {PREVIEW: PREVIEW_VERSION}, config.generator
        if generator == PREVIEW:
            if config.loras:
                fix = "--generator wan or mini, or no LoRA"
                raise ConfigError("the preview has no network for a LoRA", found=", ".join(config.loras), fix=fix)
            return drawn
        places = [parse_lora(text)[0] for text in config.loras]
        drawn |= {f"{LORA}{place}": self.workspace.sha256(find_lora(place, self.workspace.root))[:16]
                  for place in places}  # fmt: skip
        if generator == WAN:
            for prompt in (config.prompt, config.negative_prompt if config.guidance > 1 else ""):
                wan.check_prompt(prompt)
            return drawn | wan.digests()
        digest = self.model(generator)
        if not digest and generator == MINI:
            fix = "install the package again, or use --generator preview"
            raise AssetError("the package holds no weights of mini", found=f"no {mini_folder()}", fix=fix)
        if not digest:
            raise AssetError(
                f"there is no trained generator {generator!r} in the workspace",
                found=f"no checkpoint under {self.workspace.root / generator}",
                fix="train one with `emosh train`, or use --generator preview",
            )
        return drawn | {generator: digest}

    def chosen(self, choice: Path, *stages: str) -> Path:
        """Find an artifact by its path, its name or the beginning of its name; of several from one input the newest.

        Args:
            stages: where to look; everywhere by default.
        """
        stages = stages or tuple(layout.ARTIFACT_FOLDERS)
        artifacts = [path for stage in stages for path in self.workspace.artifacts(stage)]
        found = [path for path in artifacts if path.exists() and choice.exists() and path.samefile(choice)]
        found = found or [path for path in artifacts if layout.artifact_name(path) == str(choice)]
        found = found or [path for path in artifacts if choice.name and path.name.startswith(choice.name)]
        if not found:
            names = ", ".join(path.name for path in artifacts) or "none"
            fix = f"emosh status {self.workspace.root}"
            raise ArtifactError(f"no artifact of {', '.join(stages)} is named {choice}", found=names, fix=fix)
        if len({json.dumps(read_header(path)["inputs"]) for path in found}) > 1:
            names = ", ".join(f"{path.parent.name}/{path.name}" for path in found)
            raise ConfigError(f"{choice} names several artifacts", found=names, fix="give the whole name or the path")
        return found[-1]


def _from(role: str, step: Step) -> dict[str, str]:
    return {"role": role, "fingerprint": step.fingerprint}


def with_settings(settings: dict[str, Any], section: str, **changes: Any) -> dict[str, Any]:
    """Return settings with a section's fields replaced (what a command's own options say)."""
    return settings | {section: replace(settings[section], **{k: v for k, v in changes.items() if v is not None})}
