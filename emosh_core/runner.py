"""Run what is missing of a line, say what would run, and say what in a workspace is stale."""

import importlib.metadata
import json
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from emosh_core.config import result_settings
from emosh_core.device import resolve_device
from emosh_core.errors import ArtifactError
from emosh_core.line import SECTION, Line, Step
from emosh_core.making import Making
from emosh_core.workspace import layout
from emosh_core.workspace.artifact import Provenance, check_schema, read_header, write
from emosh_core.workspace.workspace import Workspace

SECONDS_PER_FRAME = {"track": 0.5, "retarget": 0.005, "render-cond": 0.05, "animate": 0.15}
"""First guess of a stage's cost on two cores; a workspace's own artifacts know better."""
SECONDS_PER_CALL = {"track": 20.0, "retarget": 0.2, "render-cond": 0.5, "animate": 5.0}
"""What a stage costs however few frames it has (loading, the shape pass)."""

PER_CALL = {"generator", "chunks", "window", "profile", "loras", "prompt"}
"""Settings that are chosen call by call: another choice makes nothing stale."""


class Report(Protocol):
    """Where a run says how far it is."""

    def progress(self, title: str) -> AbstractContextManager[Any]:
        """Return a context whose value takes (done, total)."""
        ...

    def note(self, text: str) -> None:
        """Say one line."""
        ...


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of a step."""

    stage: str
    artifact: Path
    fingerprint: str
    cached: bool
    seconds: float
    """How long this call took for the step and what it needed [s]."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What would become of a step."""

    stage: str
    name: str
    fingerprint: str
    state: Literal["fresh", "stale", "missing"]
    why: str
    seconds: float
    """Estimated cost [s]; 0 where nothing has to be done."""


def run(line: Line, step: Step, *, report: Report, device: str = "cpu", force: bool = False) -> Done:
    """Make a step's artifact unless it is fresh, and before it whatever it needs and is missing."""
    started = time.perf_counter()
    _keep_inputs(line.workspace, step)
    found = None if force else find_whole(line.workspace, step)
    if found is None:
        for need in step.needs:
            run(line, need, report=report, device=device)
        waiting = lambda: report.note(f"waiting for another process that makes {step.stage} {step.name}")  # noqa: E731
        with line.workspace.lock(step.stage, step.fingerprint, waiting):
            fresh = None if force else find_whole(line.workspace, step)
            path = fresh or _make(line.workspace, step, report, device, force)
    return Done(
        stage=step.stage, artifact=found or path, fingerprint=step.fingerprint,
        cached=bool(found or fresh), seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _keep_inputs(workspace: Workspace, step: Step) -> None:
    """Keep what a step and its needs were given, also where all is fresh: `inputs/` may have been emptied."""
    for need in step.needs:
        _keep_inputs(workspace, need)
    if step.file and workspace.add_input(step.file).sha256 not in [entry.get("sha256") for entry in step.inputs]:
        raise ArtifactError(f"{step.file} changed meanwhile", found="another content", fix="run the command again")


def find_whole(workspace: Workspace, step: Step) -> Path | None:
    """Return a step's artifact if it is there, for a clip with its video."""
    found = workspace.find(step.stage, step.fingerprint)
    if found is None or step.stage != "animate":
        return found
    video = workspace.root / read_header(found)["values"]["video"]
    return found if video.is_file() else None


def plan(line: Line, step: Step) -> list[Planned]:
    """Say for a step, and before it for all that it needs, what a run would do."""
    planned: dict[str, Planned] = {}
    for need in step.needs:
        planned |= {f"{entry.stage} {entry.fingerprint}": entry for entry in plan(line, need)}
    found = find_whole(line.workspace, step)
    others = [path for path in line.workspace.artifacts(step.stage) if layout.artifact_name(path) == step.name]
    if found:
        state, why, seconds = "fresh", "", 0.0
        if step.make is None:
            drifted = _drift(line, step.stage, read_header(found))
            why = f"used as it lies: {'; '.join(drifted)}" if drifted else ""
    else:
        state = "stale" if others else "missing"
        why = _difference(read_header(others[-1]), step) if others else ""
        seconds = _estimate(line.workspace, step)
    planned[f"{step.stage} {step.fingerprint}"] = Planned(
        stage=step.stage, name=step.name, fingerprint=step.fingerprint, state=state, why=why, seconds=seconds
    )
    return list(planned.values())


def status(line: Line) -> list[dict[str, Any]]:
    """Describe every artifact of a workspace: what it is, and whether and why it is stale."""
    workspace, rows = line.workspace, []
    headers, stale = {}, set()
    for path in (path for stage in layout.ARTIFACT_FOLDERS for path in workspace.artifacts(stage)):
        try:
            headers[path] = read_header(path)
            check_schema(path, headers[path]["kind"], headers[path]["schema_version"])
        except ArtifactError as error:
            headers.pop(path, None)
            rows.append(_row(path, {}, "unreadable", f"{error.what.partition(':')[0]}: {error.found}"))
    known = {header["fingerprint"] for header in headers.values()}
    for path, header in headers.items():
        stage = layout.stage_of(path)
        reasons = _drift(line, stage, header)
        for entry in header["inputs"]:
            if "fingerprint" in entry and entry["fingerprint"] not in known:
                reasons.append(f"its {entry['role']} is gone")
            elif entry.get("fingerprint") in stale:
                reasons.append(f"its {entry['role']} is stale")
        if header["kind"] == "clip" and not (workspace.root / header["values"]["video"]).is_file():
            reasons.append("its video is gone")
        if reasons:
            stale.add(header["fingerprint"])
        rows.append(_row(path, header, "stale" if reasons else "fresh", "; ".join(reasons)))
    return rows


def _drift(line: Line, stage: str, header: dict[str, Any]) -> list[str]:
    """List in what today's settings and models differ from those that an artifact was made with."""
    models = {name: line.model(name) for name in line.models() | header["models"]}
    return _changes(header, result_settings(line.settings[SECTION[stage]]), models)


def _row(path: Path, header: dict[str, Any], state: str, why: str) -> dict[str, Any]:
    return {
        "stage": layout.stage_of(path),
        "name": layout.artifact_name(path),
        "fingerprint": path.stem.rpartition("-")[2],
        **{key: header.get(key) for key in ("frames", "created", "seconds")},
        "state": state,
        "why": why,
        "artifact": str(path),
    }


def _make(workspace: Workspace, step: Step, report: Report, device: str, force: bool) -> Path:
    scratch = workspace.scratch(step.stage, step.fingerprint)
    if force:
        shutil.rmtree(scratch)
        scratch.mkdir()
    for left in workspace.media.glob(f".{step.name}-{step.fingerprint}-*"):
        left.unlink()  # a killed run's: only the holder of the artifact's lock writes these
    device = resolve_device(device)
    started = time.perf_counter()

    def media(suffix: str) -> Path:
        return workspace.media / f"{step.name}-{step.fingerprint}-{suffix}.mp4"

    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        report.note(text)

    with report.progress(f"{step.stage} {step.name}") as progress:
        value = step.make(Making(scratch=scratch, media=media, device=device, progress=progress, note=note))
    provenance = Provenance(
        fingerprint=step.fingerprint, config=step.config, inputs=list(step.inputs), models=step.models,
        created=datetime.now(UTC).isoformat(timespec="seconds"), emosh_version=importlib.metadata.version("emosh"),
        seconds=round(time.perf_counter() - started, 3), device=device, notes=notes,
    )  # fmt: skip
    return workspace.commit(step.stage, step.name, step.fingerprint, lambda folder: write(folder, value, provenance))


def _estimate(workspace: Workspace, step: Step) -> float:
    """Guess the seconds a step takes, from the newest artifact of its stage or the first guess."""
    rate, once, frames = SECONDS_PER_FRAME[step.stage], SECONDS_PER_CALL[step.stage], step.frames
    for path in workspace.artifacts(step.stage):
        header = read_header(path)
        if header["frames"] > 1:
            rate = max(header["seconds"] - once, 0) / header["frames"]
    if step.stage == "track":
        from emosh_core.video_io import open_source

        frames = open_source(step.file).count
    return round(once + rate * max(1, frames), 1)


def _difference(header: dict[str, Any], step: Step) -> str:
    """Say in what an existing artifact of the same name differs from a step."""
    reasons = _changes(header, step.config, step.models, all_settings=True)
    for old, new in zip(header["inputs"], step.inputs):
        if old != new:
            reasons.append(f"another {new['role']}")
    return "; ".join(reasons) or "written by another schema"


def _changes(
    header: dict[str, Any], config: dict[str, Any], models: dict[str, str], *, all_settings: bool = False
) -> list[str]:
    """List settings and models in which an artifact differs from what is asked for."""
    wanted = json.loads(json.dumps(config))
    reasons = [
        f"{key} {header['config'].get(key)!r} → {value!r}"
        for key, value in wanted.items()
        if header["config"].get(key) != value and (all_settings or key not in PER_CALL)
    ]
    reasons += [f"another {name} model" for name, digest in models.items() if header["models"].get(name) != digest]
    return reasons
