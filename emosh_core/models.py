"""Weights that the user brings: which file or folder each network is read from, and whether it still is that one.

Nothing is downloaded and nothing is copied. The registry is a folder with one small JSON file per kind:
`$EMOSH_HOME/models`, else `$XDG_DATA_HOME/emosh/models`, else `~/.local/share/emosh/models`.
"""

import hashlib
import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from emosh_core.durable import durable_file
from emosh_core.errors import AssetError, ConfigError, MissingDependencyError

ONNX_FIX = '.venv/bin/pip install -e ".[onnx]"'
Size = int | None | tuple[int, ...]
"""What one axis may be long: exactly, anything, or one of several."""


@dataclass(frozen=True)
class Port:
    """An input or output that a network must have.

    Attributes:
        name: what it is called; empty if exporters disagree, then its place counts.
        shapes: one of these.
    """

    name: str
    shapes: tuple[tuple[Size, ...], ...]

    def __str__(self) -> str:
        return f"{self.name or 'any name'} {' or '.join(_shape_text(shape) for shape in self.shapes)}"


def _port(name: str, *shapes: tuple[Size, ...]) -> Port:
    return Port(name, shapes)


@dataclass(frozen=True)
class Kind:
    """One kind of weights: what it is for, who may use it, and what its file looks like inside."""

    name: str
    use: str
    licence: str
    suffixes: tuple[str, ...] = (".onnx",)
    """How the file's name ends; "" stands for a folder."""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    counted: tuple[str, ...] = ()
    """What counts of a folder, as patterns."""
    look: str = ""
    """Looks into weights of another format, as `module:function`: it takes the path and raises AssetError for what
    is not whole or not of this kind."""


@dataclass(frozen=True)
class Entry:
    """A registered file or folder."""

    kind: str
    path: str
    sha256: str
    bytes: int
    modified_ns: int


_HAND_INPUT = _port("", (None, 3, (256, 512), (256, 512)))
_HAND_OUTPUTS = (
    _port("pred_cam", (None, 3)),
    _port("global_orient", (None, 3, 3), (None, 1, 3, 3), (None, 6), (None, 1, 6)),
    _port("hand_pose", (None, 15, 3, 3), (None, 90), (None, 15, 6)),
)
_FACE_OUTPUTS = (
    _port("pose_params", (None, 3)), _port("cam", (None, 3)), _port("shape_params", (None, 300)),
    _port("expression_params", (None, 50)), _port("eyelid_params", (None, 2)), _port("jaw_params", (None, 3)),
)  # fmt: skip
_FACE_INPUT = _port("", (None, 3, 224, 224))

_WAN = "emosh_core.generate.wan.registry"

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "dwpose-det", "find people (YOLOX), for estimator dwpose", "Apache-2.0 (YOLOX)",
            inputs=(_port("", (None, 3, None, None)),),
            outputs=(_port("", (None, None, 85), (None, None, 5)),),
        ),
        Kind(
            "dwpose-pose", "133 points of a person (DWPose or RTMW), for estimator dwpose",
            "Apache-2.0 (DWPose, RTMW)",
            inputs=(_port("", (None, 3, (256, 384), (192, 288))),),
            outputs=(_port("", (None, 133, (384, 576))), _port("", (None, 133, (512, 768)))),
        ),
        Kind("gvhmr", "body pose from video, for the package gvhmr", "non-commercial (GVHMR, SMPL-X)", (".ckpt",)),
        Kind("hamer", "hands, for estimator hamer", "code MIT; MANO and its training data: non-commercial",
             inputs=(_HAND_INPUT,), outputs=_HAND_OUTPUTS),
        Kind("wilor", "hands, for estimator wilor", "CC-BY-NC-ND 4.0; MANO: non-commercial",
             inputs=(_HAND_INPUT,), outputs=_HAND_OUTPUTS),
        Kind("teaser", "head and face, for estimator teaser", "no licence stated; FLAME: its own terms",
             inputs=(_FACE_INPUT,), outputs=_FACE_OUTPUTS),
        Kind("smirk", "head and face, for estimator smirk", "code MIT; FLAME: its own terms",
             inputs=(_FACE_INPUT,), outputs=_FACE_OUTPUTS),
        Kind("wan", "Wan2.2-Animate-14B or Wan2.1-I2V-14B, for generator wan", "Apache-2.0 (Wan)",
             (".safetensors", ""), look=f"{_WAN}:look_at_checkpoint",
             counted=("*.safetensors", "*.json", "Wan2.1_VAE.pth", "transformer/*", "vae/*", "image_encoder/*")),
        Kind("wan-vae", "the VAE of Wan 2.1, where the checkpoint has none", "Apache-2.0 (Wan)",
             (".safetensors", ".pth", ""), look=f"{_WAN}:look_at_vae", counted=("*.safetensors", "*.json", "*.pth")),
        Kind("wan-clip", "its picture encoder (CLIP ViT-H), where the checkpoint has none", "MIT (open_clip)",
             ("",), look=f"{_WAN}:look_at_clip", counted=("*.safetensors", "*.json")),
        Kind("wan-text", "its text encoder and tokenizer (umT5), for prompts alone", "Apache-2.0 (umT5)",
             ("",), look=f"{_WAN}:look_at_text", counted=("text_encoder/*", "tokenizer/*")),
        Kind("wan-prompt", "the embedding of the prompt that is used without --prompt", "that of its maker",
             (".safetensors",), look=f"{_WAN}:look_at_prompt"),
    )
}  # fmt: skip


def folder() -> Path:
    """Return where the registry lies (it need not exist)."""
    if home := os.environ.get("EMOSH_HOME"):
        return Path(home).expanduser() / "models"
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "emosh" / "models"


def kind_of(name: str) -> Kind:
    """Return a kind by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in KINDS:
        raise ConfigError(f"there is no kind of model named {name!r}", found=", ".join(KINDS), fix="emosh models list")
    return KINDS[name]


def add(name: str, path: Path) -> Entry:
    """Look into a file and register it for a kind, in place of an earlier one.

    Raises:
        ConfigError: there is no such kind.
        AssetError: there is no such file, or it is not what the kind needs.
        MissingDependencyError: onnxruntime is needed to look into the file.
    """
    kind = kind_of(name)
    if not path.exists() or (path.is_dir() and "" not in kind.suffixes):
        raise AssetError(f"no such file: {path}", fix="give the path of the weights that you have")
    if (path.suffix.lower() if path.is_file() else "") not in kind.suffixes:
        fix = add_command(name)
        raise AssetError(f"{name} weights {_endings(kind)}", found=str(path), fix=fix)
    _look(kind, path)
    path = path.resolve()
    size, modified = _status(kind, path)
    entry = Entry(name, str(path), _digest(kind, path), size, modified)
    folder().mkdir(parents=True, exist_ok=True)
    with durable_file(folder() / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(asdict(entry), indent=1) + "\n", encoding="utf-8")
    return entry


def remove(name: str) -> Entry:
    """Forget a kind's file; the file itself stays.

    Raises:
        AssetError: none is registered.
    """
    entry = registered(name)
    if entry is None:
        raise _missing(name)
    (folder() / f"{name}.json").unlink()
    return entry


def registered(name: str) -> Entry | None:
    """Return what is registered for a kind, whether or not the file is still there."""
    record = folder() / f"{kind_of(name).name}.json"
    if not record.is_file():
        return None
    try:
        return Entry(**json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise AssetError(
            f"the record of {name} weights is damaged", found=f"{record}: {error}", fix=add_command(name)
        ) from error


def require(name: str) -> Entry:
    """Return the registered file of a kind, certain that it is the one that was added.

    Raises:
        AssetError: none is registered, or the file is gone or was changed since; `fix` is the command that adds it.
    """
    entry = registered(name)
    if entry is None:
        raise _missing(name)
    state = state_of(entry)
    if state == CHANGED and KINDS[name].look:
        _look(KINDS[name], Path(entry.path))  # of a file that was cut short this says so
    if state != "ok":
        raise AssetError(f"the {name} weights are {state}", found=entry.path, fix=add_command(name))
    return entry


CHANGED = "changed since they were added"


def state_of(entry: Entry, *, thorough: bool = False) -> str:
    """Return "ok", "gone" or "changed since they were added".

    Args:
        thorough: read the whole file even if its size and time are the old ones.
    """
    path, kind = Path(entry.path), KINDS[entry.kind]
    if not path.exists():
        return "gone"
    size, modified = _status(kind, path)
    same = (size, modified) == (entry.bytes, entry.modified_ns)
    # Another size is another content; to read 35 GB would not make it surer.
    if (same and not thorough) or (size == entry.bytes and _digest(kind, path) == entry.sha256):
        return "ok"
    return CHANGED


def check_network(kind: Kind, path: Path) -> None:
    """Compare an ONNX file's inputs and outputs with what a kind needs.

    Raises:
        AssetError: it does not fit; `found` lists what is there and what is wanted.
    """
    session = open_network(path)
    have = {"inputs": _described(session.get_inputs()), "outputs": _described(session.get_outputs())}
    lines = [str(path)]
    for what, ports in (("inputs", kind.inputs), ("outputs", kind.outputs)):
        matched = zip(ports, match_ports(ports, have[what]), strict=True)
        if lacking := [str(port) for port, match in matched if match is None]:
            there = ", ".join(f"{name} {_shape_text(shape)}" for name, shape in have[what])
            lines += [f"{what} in the file: {there}", f"{what} that are lacking: {', '.join(lacking)}"]
    if len(lines) > 1:
        found = "\n         ".join(lines)
        raise AssetError(f"this is no {kind.name} network", found=found, fix=add_command(kind.name))


def match_ports(ports: Sequence[Port], have: Sequence[tuple[str, Sequence]]) -> list[str | None]:
    """Return for each port the name of the file's input or output that serves it, or None.

    By name; where the file knows none of the names (exporters number them), by order.
    """
    shapes = dict(have)
    if not any(port.name in shapes for port in ports):
        in_order = len(have) >= len(ports) and all(_fits(port, pair[1]) for port, pair in zip(ports, have))
        return [pair[0] if in_order else None for _, pair in zip(ports, [*have, *[("", ())] * len(ports)])]
    return [port.name if port.name in shapes and _fits(port, shapes[port.name]) else None for port in ports]


def need_onnxruntime() -> None:
    """Say how to install onnxruntime if it is not there.

    Raises:
        MissingDependencyError: it is not.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingDependencyError("onnxruntime is needed to run ONNX networks", fix=ONNX_FIX)


def open_network(path: str | Path):
    """Open an ONNX file with onnxruntime: CUDA where it is there, else the processor.

    Raises:
        AssetError: it is not an ONNX file.
        MissingDependencyError: onnxruntime is not installed.
    """
    need_onnxruntime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # what it warns about (unused weights) is not the user's to mend
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own errors share no base class but this one
        found = f"{path}: {str(error).splitlines()[0]}"
        raise AssetError("not an ONNX network that can be read", found=found, fix="export it again") from error


def _described(ports) -> list[tuple[str, Sequence]]:
    return [(port.name, port.shape) for port in ports]


def _fits(port: Port, shape: Sequence) -> bool:
    return any(
        len(wanted) == len(shape) and all(_axis_fits(w, s) for w, s in zip(wanted, shape, strict=True))
        for wanted in port.shapes
    )


def _axis_fits(wanted: Size, size) -> bool:
    """An axis of free length in the file (a name or nothing) fits everything."""
    if wanted is None or not isinstance(size, int):
        return True
    return size in (wanted if isinstance(wanted, tuple) else (wanted,))


def _shape_text(shape: Sequence) -> str:
    word = lambda size: "|".join(map(str, size)) if isinstance(size, tuple) else size if isinstance(size, int) else "?"  # noqa: E731
    return "×".join(str(word(size)) for size in shape)


def _missing(name: str) -> AssetError:
    return AssetError(f"{name} weights are needed", found=f"none in {folder()}", fix=add_command(name))


def add_command(name: str) -> str:
    """Return the command that registers weights of a kind."""
    suffixes = KINDS[name].suffixes
    return f"emosh models add {name} PATH{'' if '' in suffixes else suffixes[0]}"


def _endings(kind: Kind) -> str:
    named = [suffix for suffix in kind.suffixes if suffix]
    ending = f"end in {' or '.join(named)}" if named else ""
    return " or ".join(filter(None, [ending, "are a folder" if "" in kind.suffixes else ""]))


def _look(kind: Kind, path: Path) -> None:
    """Look into weights, as far as there is a way."""
    if kind.outputs:
        check_network(kind, path)
    if kind.look:
        module, _, function = kind.look.partition(":")
        getattr(importlib.import_module(module), function)(path)


def _files(kind: Kind, path: Path) -> list[Path]:
    """Return the files that count, sorted."""
    if path.is_file():
        return [path]
    return sorted({file for pattern in kind.counted for file in path.glob(pattern) if file.is_file()})


def _status(kind: Kind, path: Path) -> tuple[int, int]:
    """Return the size [bytes] of the files that count and when the newest was written [ns]."""
    statuses = [file.stat() for file in _files(kind, path)]
    return sum(status.st_size for status in statuses), max((s.st_mtime_ns for s in statuses), default=0)


def _digest(kind: Kind, path: Path) -> str:
    """Return the SHA-256 of a file; of several that of their names and SHA-256."""
    files = _files(kind, path)
    sums = {}
    for each in files:
        with each.open("rb") as file:
            sums[each] = hashlib.file_digest(file, "sha256").hexdigest()
    if files == [path]:
        return sums[path]
    text = "".join(f"{file.relative_to(path)} {value}\n" for file, value in sums.items())
    return hashlib.sha256(text.encode()).hexdigest()
