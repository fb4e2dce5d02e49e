"""Files of weights: an original folder, a diffusers folder or one file, read tensor by tensor.

Only safetensors. The headers of all files are read and held against the files' lengths before the first
weight is, so that a download that broke off is noticed in milliseconds. A tensor is read into memory of
its own, never mapped: no more than one is held here, whatever the size of the shards, and a disk that
fails is an error instead of a crash.
"""

import json
import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from emosh_core.errors import AssetError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Names in safetensors' headers of what a weight may be stored as."""
FP8 = ("F8_E4M3", "F8_E5M2")
_SCALES = (".scale_weight", ".weight_scale")
_BESIDE = (*_SCALES, ".scale_input", ".input_scale", ".comfy_quant")
"""What quantised files hold beside a layer's weight; only the weight's scale matters once it is multiplied in."""
_FETCH_AGAIN = "fetch the file again: the download broke off, or it was stored by git-lfs as a pointer"


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies: bytes [start, stop) of a file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """A checkpoint whose headers have been read and checked.

    Attributes:
        path: what was asked for.
        config: its config.json; empty without one.
        stored: name in the file → weight.
        scales: name of a weight in fp8 → what to multiply it with.
    """

    path: Path
    config: dict
    stored: dict[str, Stored]
    scales: dict[str, Stored]

    def check_readable(self, names: Container[str]) -> None:
        """Refuse weights that are stored in a way that cannot be read as numbers, or not well enough.

        Raises:
            AssetError: some of `names` are.
        """
        used = {name: entry for name, entry in self.stored.items() if name in names}
        foreign = [f"{name} ({entry.dtype})" for name, entry in used.items() if entry.dtype not in DTYPES]
        if foreign:
            found = f"{self.path}: {_some(foreign)}"
            raise AssetError("weights quantised in a way that emosh does not read", found=found, fix=_BETTER)
        bare = [
            f"{name} ({entry.dtype})" for name, entry in used.items() if entry.dtype in FP8 and name not in self.scales
        ]
        if bare:
            raise AssetError(
                "fp8 weights without a scale shift the colours of what they make (ComfyUI issue 9975)",
                found=f"{self.path}: {_some(bare)}",
                fix=_BETTER,
            )
        odd = [f"{name}: {entry.dtype} {entry.shape}" for name, entry in self.scales.items() if not self._scales(name)]
        if odd:
            raise AssetError("fp8 scales of an unknown kind", found=f"{self.path}: {_some(odd)}", fix=_BETTER)

    def _scales(self, name: str) -> bool:
        """Whether a scale is one number or one per row of its weight."""
        scale, weight = self.scales[name], self.stored.get(name)
        return scale.dtype in DTYPES and weight is not None and math.prod(scale.shape) in (1, weight.shape[0])

    def tensors(self, names: Container[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor) file by file in the order of the bytes; fp8 comes multiplied out, as fp32."""
        files = dict.fromkeys(entry.file for entry in self.stored.values())
        for path in files:
            here = [(n, e) for n, e in self.stored.items() if e.file == path and n in names]
            with path.open("rb", buffering=0) as file:
                for name, entry in sorted(here, key=lambda pair: pair[1].start):
                    tensor = _read(file, entry)
                    if name in self.scales:
                        tensor = self._scaled(tensor, self.scales[name])
                    yield name, tensor
                    del tensor  # before the next one is read

    @staticmethod
    def _scaled(weight: Tensor, stored: Stored) -> Tensor:
        with stored.file.open("rb", buffering=0) as file:
            scale = _read(file, stored).float().flatten()
        return weight.float().mul_(scale.reshape(-1, *[1] * (weight.ndim - 1)))


_BETTER = "use the bf16, fp16 or fp8_scaled version of the checkpoint"


def open_source(path: str | Path, part: str = "transformer") -> Source:
    """Find the files of a checkpoint and read their headers.

    Args:
        path: a safetensors file, a folder with such files, or a folder with the folder `part`.
        part: what to take of a diffusers folder.

    Raises:
        AssetError: there is none, or a file is missing, cut short or no safetensors file.
    """
    path = Path(path)
    folder = path / part if (path / part).is_dir() else path
    files, index = _files(folder)
    stored: dict[str, Stored] = {}
    for file in files:
        header = read_header(file)
        if twice := stored.keys() & header.keys():
            found = f"{', '.join(sorted(twice)[:3])} again in {file.name}"
            raise AssetError(f"{folder} holds more than one checkpoint", found=found, fix="name one file of it")
        stored |= header
    if absent := [name for name, file in index.items() if name not in stored or stored[name].file.name != file]:
        found = f"{folder}: {_some([f'{name}, by the index in {index[name]}' for name in absent])}"
        raise AssetError("files do not hold what their index says", found=found, fix="fetch the folder again")
    config = folder / "config.json"
    return Source(path, _json(config) if config.is_file() else {}, *_weights_and_scales(stored))


def read_header(path: Path) -> dict[str, Stored]:
    """Read what a safetensors file holds, and check that all of it is there.

    Raises:
        AssetError: the file is too short, too long or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= min(size - 8, 100 << 20) else b""
    except OSError as error:  # a link to nothing, or a file of somebody else
        raise AssetError("a file of weights cannot be opened", found=str(error), fix="fetch the file again") from error
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        stored = {name: _entry(path, 8 + length, value) for name, value in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        found = f"{path}: {size:,} bytes that do not begin with a header"
        raise AssetError("not a safetensors file, or only its beginning", found=found, fix=_FETCH_AGAIN) from error
    expected = max((entry.stop for entry in stored.values()), default=8 + length)
    if size != expected:
        found = f"{path}: {expected:,} bytes expected, {size:,} found"
        what = (
            "a file of weights is cut short" if size < expected else "a file of weights is longer than its header says"
        )
        raise AssetError(what, found=found, fix=_FETCH_AGAIN)
    return stored


def _entry(path: Path, base: int, value: dict) -> Stored:
    start, stop = value["data_offsets"]
    entry = Stored(path, value["dtype"], tuple(value["shape"]), base + start, base + stop)
    if entry.dtype in DTYPES and math.prod(entry.shape) * DTYPES[entry.dtype].itemsize != stop - start:
        raise ValueError("shape and bytes disagree")
    return entry


def _read(file, entry: Stored) -> Tensor:
    """Read one tensor into memory of its own."""
    raw = torch.empty(entry.stop - entry.start, dtype=torch.uint8)
    view, done = memoryview(raw.numpy()), 0
    file.seek(entry.start)
    while done < len(view):  # a single read returns 2 GB at most
        count = file.readinto(view[done:])
        if not count:
            raise AssetError("a file of weights became shorter", found=str(entry.file), fix=_FETCH_AGAIN)
        done += count
    return raw.view(DTYPES[entry.dtype]).reshape(entry.shape)


def _files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Return the files of a checkpoint and its index: name of a tensor → name of a file; empty without one."""
    if folder.is_file() and folder.suffix == ".safetensors":
        return [folder], {}
    if not folder.is_dir():
        found = f"{folder}: {'a file of another sort' if folder.exists() else 'not there'}"
        fix = "name a .safetensors file or a folder of them; emosh opens no file that can run code, nor .gguf"
        raise AssetError("no weights to read", found=found, fix=fix)
    indices = _one_set(sorted(folder.glob("*.safetensors.index.json")))
    if len(indices) == 1:
        index = _json(indices[0]).get("weight_map", {})
        files = [folder / name for name in sorted(set(index.values()))]
        if absent := [file.name for file in files if not file.is_file()]:
            found = f"{folder}: no {_some(absent)}; {len(files) - len(absent)} of {len(files)} files are there"
            raise AssetError("files of weights are missing", found=found, fix="fetch the folder again")
        return files, index
    files = _one_set(sorted(folder.glob("*.safetensors")))
    if len(indices) > 1 or (len(files) > 1 and not all("-of-" in file.name for file in files)):
        found = f"{folder}: {_some([file.name for file in indices or files])}"
        raise AssetError("more than one checkpoint in a folder", found=found, fix="name one file of it")
    if not files:
        raise AssetError("no weights to read", found=f"{folder}: no *.safetensors", fix="name a folder with weights")
    last = files[-1].stem.rpartition("-of-")[2]
    if len(files) > 1 and last.isdigit() and int(last) != len(files):
        found = f"{folder}: {len(files)} of {int(last)} files are there"
        raise AssetError("files of weights are missing", found=found, fix="fetch the folder again")
    return files, {}


def _one_set(paths: list[Path]) -> list[Path]:
    """Of several files prefer those with diffusers' usual name: variants and adapters may lie beside them."""
    usual = [
        path
        for path in paths
        if path.name.startswith("diffusion_pytorch_model") and "." not in path.stem.removesuffix(".safetensors.index")
    ]
    return usual or paths


def _json(path: Path) -> dict:
    """Read a file of settings."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise AssetError("a file of settings cannot be read", found=f"{path}: {error}", fix="fetch it again") from error


def _weights_and_scales(stored: dict[str, Stored]) -> tuple[dict[str, Stored], dict[str, Stored]]:
    weights = {n: e for n, e in stored.items() if not n.endswith((*_BESIDE, "scaled_fp8"))}
    scales = {}
    for name, entry in stored.items():
        for ending in _SCALES:
            weight = f"{name.removesuffix(ending)}.weight"
            if name.endswith(ending) and weights.get(weight, entry).dtype in FP8:
                scales[weight] = entry
    return weights, scales


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
