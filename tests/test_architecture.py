"""Who may import whom, how long files may be, and what `emosh --help` may load."""

import ast
import importlib.util
import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("emosh_cli", "emosh_core", "kernels/emosh_kernels")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

FORBIDDEN = {
    # A module (by the start of its path) and what it must not import, nor what it imports in turn at load time.
    "emosh_kernels": ("emosh_core", "emosh_cli"),
    "emosh_core": ("emosh_cli", "smplx"),  # that package's licence allows research alone; tests compare with it
    "emosh_core.errors": ("torch", "numpy", "zarr", "emosh_core."),
    "emosh_core.config": ("torch", "numpy", "zarr"),
    "emosh_core.settings": ("torch", "numpy", "zarr"),
    "emosh_core.workspace": (
        "torch", "emosh_core.tracker", "emosh_core.render", "emosh_core.generate", "emosh_core.body",
    ),
    "emosh_core.workspace.layout": ("torch", "numpy", "zarr", "emosh_core."),
    "emosh_core.geometry": ("emosh_core.body", "emosh_core.render", "emosh_core.tracker", "emosh_core.generate"),
    "emosh_core.body": ("emosh_core.render", "emosh_core.tracker", "emosh_core.generate", "emosh_core.workspace"),
    "emosh_core.render": ("emosh_core.tracker", "emosh_core.generate", "emosh_core.workspace", "diffusers"),
    "emosh_core.tracker": ("emosh_core.generate", "emosh_core.training", "emosh_core.workspace", "diffusers"),
    "emosh_core.generate": ("emosh_core.tracker", "emosh_core.workspace"),
    "emosh_core.retarget": (
        "emosh_core.tracker", "emosh_core.generate", "emosh_core.training", "emosh_core.workspace",
        "emosh_core.render",
    ),
    "emosh_core.training": ("emosh_core.tracker",),
    "emosh_core.metrics": (
        "torch", "emosh_core.tracker", "emosh_core.render", "emosh_core.generate", "emosh_core.body",
        "emosh_core.workspace",
    ),
    "emosh_cli": ("emosh_kernels",),
}  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "kernels" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def starts(module: str, prefix: str) -> bool:
    return module.startswith(prefix) if prefix.endswith(".") else module == prefix or module.startswith(prefix + ".")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_layers(path):
    name = module_name(path)
    for layer, forbidden in FORBIDDEN.items():
        if starts(name, layer):
            wrong = {m for m in imports(path) for f in forbidden if starts(m, f) and not starts(m, layer)}
            assert not wrong, f"{name} must not import {sorted(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_fits_in_the_head(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    declared = {name.split("[")[0].split(">")[0].split("=")[0] for name in [*project["dependencies"], *extras]}
    comes_with = {"cv2": "mediapipe", "google": "mediapipe", "pytorch3d": "easypytorch3d", "PIL": "pillow"}
    comes_with["triton"] = "torch"  # on CUDA; on a CPU only tests want it
    used = {module.split(".")[0] for path in FILES for module in imports(path)}
    foreign = {m for m in used if m not in sys.stdlib_module_names and not m.startswith("emosh_")}
    undeclared = {m for m in foreign if comes_with.get(m, m) not in declared}
    assert not undeclared, f"not in pyproject.toml: {sorted(undeclared)}"


def test_the_kernels_folder_is_no_package_that_hides_the_one_on_pypi(tmp_path):
    code = "import importlib.util as u; s = u.find_spec('kernels'); print(s and s.origin)"

    def found(**environment):
        command = [sys.executable, "-c", code]
        result = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
        )
        return result.stdout.strip()

    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert found() == "None" or not Path(found()).is_relative_to(ROOT / "kernels")
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("")
    # The working folder comes first on the path; a real package behind it wins all the same.
    assert found(PYTHONPATH=str(tmp_path)) == str(package / "__init__.py")


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="needs the diffusion extra")
def test_diffusers_and_transformers_see_no_kernels_package_in_ours():
    code = (
        "import importlib.metadata as m, diffusers.utils.import_utils as d, transformers.utils as t\n"
        "installed = any(x.metadata['Name'] == 'kernels' for x in m.distributions())\n"
        "print(installed or not (d.is_kernels_available() or t.is_kernels_available()))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("True")


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom emosh_cli.main import app\nsys.argv = ['emosh', '--help']\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'zarr', 'cv2', 'av', 'numba', 'mediapipe'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "render-cond" in output and "HEAVY []" in output
    times = []
    for _ in range(5):  # processor time, because other processes on the machine do not change it
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "emosh_cli", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert sorted(times)[2] < 0.3, f"median {sorted(times)[2]:.2f} s"
