"""Read the pickles and object arrays of licensed body models without running anything that they say.

A pickle is a program. Here it may build numpy arrays, sparse matrices and chumpy's arrays (as written by
Python 2) and nothing else: whatever other name it asks for is refused before it is looked up.
"""

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse

from emosh_core.errors import AssetError

SPARSE = {"csc_matrix": scipy.sparse.csc_matrix, "csr_matrix": scipy.sparse.csr_matrix}
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
LARGEST = 1 << 27
"""Most numbers of a sparse matrix written out; the largest real one (a regressor of SMPL-X) has 0.6 million."""


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that no body model holds."""


class _Stub:
    """Stands for an object of a package that is not imported: keeps its state, runs none of its code."""

    origin = ""
    state: ClassVar[dict[str, Any]] = {}

    def __init__(self, *_ignored, **_ignored_too):
        pass

    def __setstate__(self, state):
        state = state[0] if isinstance(state, tuple) and state and isinstance(state[0], dict) else state
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"{self.origin} has no readable state")
        self.state = {str(key).lstrip("_"): value for key, value in state.items()}


def _stub(origin: str) -> type:
    return type("Stub", (_Stub,), {"origin": origin})


def _allowed() -> dict[tuple[str, str], Any]:
    """Return what a pickle may name. Fresh each time, so that a pickle can spoil nothing for the next one."""

    def encode(text: str, encoding: str = "latin1") -> bytes:
        return text.encode("latin1")  # how protocol 2 of Python 3 writes bytes

    def empty() -> bytes:
        return b""  # how it writes none

    def frombuffer(buffer, dtype, shape, order):
        return np.frombuffer(buffer, dtype).reshape(shape, order=order)

    def reconstructor(kind, base, state):
        if not (isinstance(kind, type) and issubclass(kind, _Stub)):
            raise _Refused("copyreg._reconstructor of something else than an array")
        return kind()

    allowed = {
        ("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): encode,
        ("collections", "OrderedDict"): OrderedDict, ("copyreg", "_reconstructor"): reconstructor,
        ("builtins", "object"): object, ("builtins", "set"): set,
        ("builtins", "bytes"): empty,
    }  # fmt: skip
    array = np.array(0.0).__reduce__()[0], np.float64(0).__reduce__()[0]  # wherever this numpy keeps them
    for home in ("numpy.core", "numpy._core"):
        allowed[f"{home}.multiarray", "_reconstruct"], allowed[f"{home}.multiarray", "scalar"] = array
        allowed[f"{home}.numeric", "_frombuffer"] = frombuffer
    return allowed


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: io.BytesIO):
        super().__init__(content, encoding="latin1")
        self._allowed = _allowed()

    def find_class(self, module: str, name: str):
        """Return what the pickle asks for if it is harmless; nothing is imported."""
        module = PYTHON_2.get(module, module)
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        plain = name.isidentifier()
        if plain and module.split(".")[0] == "chumpy":
            return _stub(f"{module}.{name}")
        if plain and module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix", "coo_matrix"):
            return _stub(f"scipy.sparse.{name}")
        raise _Refused(f"{module}.{name}")


def read_pickle(content: bytes, name: str) -> Any:
    """Read a pickle; chumpy's objects and sparse matrices become plain arrays.

    Args:
        content: the file.
        name: of the file, for messages.

    Raises:
        AssetError: it asks for a global that no body model needs, or is damaged.
    """
    try:
        return _plain(_Unpickler(io.BytesIO(content)).load())
    except _Refused as error:
        raise AssetError(
            f"{name} asks for {error}, which no body model needs: it was not run", found=f"{name}: a pickle",
            fix="download the file again from where its licence is given; do not use one from elsewhere",
        ) from None  # fmt: skip
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise AssetError(
            f"{name} is damaged or no pickle of a body model", found=f"{type(error).__name__}: {error}",
            fix="download the file again",
        ) from error  # fmt: skip


def read_npy(content: bytes, name: str) -> np.ndarray:
    """Read a .npy file; one that holds objects goes through the same whitelist as a pickle.

    Raises:
        AssetError: it is damaged, or holds what is not allowed.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if not dtype.hasobject:
            return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise AssetError(f"{name} is damaged", found=str(error), fix="download the file again") from error
    held = read_pickle(stream.read(), name)
    if not isinstance(held, np.ndarray) or held.shape != shape:
        raise AssetError(f"{name} is damaged", found="objects of another shape", fix="download the file again")
    return held


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        AssetError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        fix = "make the file readable"
        raise AssetError(f"{path.name} cannot be read", found=f"{path}: {error.strerror}", fix=fix) from error


def _plain(value: Any) -> Any:
    """Replace stand-ins by arrays, down through dicts, lists and object arrays."""
    if isinstance(value, _Stub):
        return _sparse(value) if value.origin.startswith("scipy") else _chumpy(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        held = np.empty(value.size, object)
        for i, item in enumerate(value.ravel().tolist()):
            held[i] = _plain(item)
        return held.reshape(value.shape)
    return value


def _chumpy(stub: _Stub) -> np.ndarray:
    """Return the numbers of a chumpy object: a plain one keeps them in `x`."""
    if "x" not in stub.state:
        raise pickle.UnpicklingError(f"{stub.origin} is computed and holds no plain array")
    return np.asarray(_plain(stub.state["x"]))


def _sparse(stub: _Stub) -> np.ndarray:
    """Return a sparse matrix written out."""
    state = stub.state
    shape = tuple(int(n) for n in state["shape"])
    if len(shape) != 2 or shape[0] * shape[1] > LARGEST:
        raise pickle.UnpicklingError(f"a sparse matrix of shape {shape}")
    kind = stub.origin.rsplit(".", 1)[-1]
    if kind == "coo_matrix":
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
        return scipy.sparse.coo_matrix((state["data"], (row, column)), shape=shape).toarray()
    matrix = SPARSE[kind]((state["data"], state["indices"], state["indptr"]), shape=shape)
    matrix.check_format(full_check=True)  # indices out of range would be read as they stand
    return matrix.toarray()
