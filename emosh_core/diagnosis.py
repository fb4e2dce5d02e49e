"""What works on this machine: packages, devices, memory, codecs, models."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

EXTRAS = {
    "diffusers": ("diffusion", "train and animate with a trained generator"),
    "transformers": ("diffusion", "train and animate with a trained generator"),
    "peft": ("diffusion", "train LoRA weights"),
    "deepspeed": ("train", "train on several GPUs"),
    "smplx": ("smplx", "compare with the SMPL-X package"),
    "pytorch3d": ("pytorch3d", "compare with another rasteriser"),
    "onnxruntime": ("onnx", "run DWPose, HaMeR, WiLoR, TEASER and SMIRK"),
    "rtmlib": ("dwpose", "detect with DWPose"),
    "gvhmr": ("gvhmr", "start the tracker from GVHMR"),
}
GIBIBYTE = 1 << 30
ENOUGH_MEMORY = 4


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "absent", "broken"]
    """`absent` is optional, `broken` is not."""
    found: str
    fix: str = ""


def diagnose(workspace: Path | None = None) -> Iterator[Check]:
    """Look at everything, also at a workspace if one is named; nothing is downloaded and nothing is changed."""
    yield Check("python", "ok", platform.python_version())
    yield _memory()
    yield from _torch()
    for package in ("numba", "zarr", "mediapipe", "cv2", "av"):
        yield _importable(package)
    yield _codec()
    yield _body()
    yield _licensed_body()
    if workspace is not None:
        yield _workspace(workspace)
    for package, (extra, use) in EXTRAS.items():
        yield _optional(package, extra, use)
    yield from _weights()


def _memory() -> Check:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    found = f"{size:.0f} GiB, {os.cpu_count()} cores"
    if size < ENOUGH_MEMORY:
        return Check("memory", "broken", found, f"use a machine with {ENOUGH_MEMORY} GiB or more")
    return Check("memory", "ok", found)


def _torch() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("torch", "broken", str(error), "pip install --force-reinstall torch")
        return
    yield Check("torch", "ok", torch.__version__)
    if not torch.cuda.is_available():
        yield Check(
            "cuda", "absent", "torch sees no CUDA device", "optional; install a CUDA build of torch and a driver"
        )
        return
    for i in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(i)
        yield Check(f"cuda:{i}", "ok", f"{about.name}, {about.total_memory / GIBIBYTE:.0f} GiB")


def _importable(package: str) -> Check:
    try:
        module = importlib.import_module(package)
    except (ImportError, OSError) as error:
        fix = "bash scripts/system_packages.sh" if ".so" in str(error) else f"pip install --force-reinstall {package}"
        return Check(package, "broken", str(error), fix)
    return Check(package, "ok", getattr(module, "__version__", ""))


def _codec() -> Check:
    import av

    if "libx264" in av.codecs_available:
        return Check("codec H.264", "ok", "libx264")
    return Check("codec H.264", "broken", "PyAV without libx264", "pip install --force-reinstall av")


def _body() -> Check:
    from emosh_core.errors import AssetError

    try:
        from emosh_core.body.assets import load_body

        body = load_body()
    except AssetError as error:
        return Check("body model", "broken", str(error.found), error.fix)
    size = files("emosh_core").joinpath("assets", "ehm_embedded.npz")
    return Check(
        "body model", "ok", f"{body.name}, {len(body.template)} vertices, {os.path.getsize(str(size)) / 1e6:.1f} MB"
    )


def _licensed_body() -> Check:
    from emosh_core.body.choose import FOLDER
    from emosh_core.body.smplx.load import WHERE
    from emosh_core.errors import AssetError

    folder = os.environ.get(FOLDER)
    if not folder:
        return Check("SMPL-X and FLAME", "absent", f"{FOLDER} is not set", f"optional; make a folder and {WHERE}")
    try:
        from emosh_core.body.choose import choose_body

        body = choose_body()
    except AssetError as error:
        return Check("SMPL-X and FLAME", "broken", f"{error.what}: {error.found}", error.fix)
    return Check("SMPL-X and FLAME", "ok", f"{len(body.head_verts)} of {len(body.template)} vertices are FLAME's")


def _workspace(root: Path) -> Check:
    from emosh_core.errors import ArtifactError
    from emosh_core.workspace.workspace import Workspace

    try:
        Workspace.open(root)
    except ArtifactError as error:
        return Check("workspace", "broken", str(error.what), error.fix)
    if not os.access(root, os.W_OK):
        return Check("workspace", "broken", f"{root} may not be written", f"chmod u+w {root}")
    return Check("workspace", "ok", f"{root}, {shutil.disk_usage(root).free / GIBIBYTE:.0f} GiB free")


def _optional(package: str, extra: str, use: str) -> Check:
    if importlib.util.find_spec(package) is None:
        return Check(package, "absent", f"needed to {use}", f'.venv/bin/pip install -e ".[{extra}]"')
    return Check(package, "ok", importlib.metadata.version(package))


def _weights() -> Iterator[Check]:
    """The user's own weights; what is not registered is not missed and not listed."""
    from emosh_core import models
    from emosh_core.errors import AssetError

    for kind in models.KINDS.values():
        try:
            entry = models.registered(kind.name)
            state = models.state_of(entry) if entry else "ok"
        except AssetError as error:
            yield Check(f"{kind.name} weights", "broken", str(error.found), error.fix)
            continue
        if entry and state == "ok":
            yield Check(f"{kind.name} weights", "ok", entry.path)
        elif entry:
            fix = f"{models.add_command(kind.name)}, or emosh models remove {kind.name}"
            yield Check(f"{kind.name} weights", "broken", f"{entry.path}: {state}", fix)
