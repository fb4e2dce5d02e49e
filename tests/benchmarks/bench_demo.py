"""Collect what the README quotes of the two demos: `make bench-demo`.

Reads the reports and artifacts that `make demo demo-head` left; times are those of the run that made them.
"""

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path

import torch
import zarr

ROOT = Path(__file__).parents[2]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("workspaces", type=Path, nargs="+")
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "demo.json")
    arguments = options.parse_args()
    result = {
        "benchmark": "demo",
        "clips": {path.name: describe(path) for path in arguments.workspaces},
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def describe(workspace: Path) -> dict:
    """Return the fit's error and jitter, and the seconds that each artifact took."""
    report = json.loads((workspace / "report.json").read_text())
    artifacts = sorted(workspace.glob("artifacts/*/*.zarr"))
    if not artifacts:
        sys.exit(f"{workspace} holds no artifacts: run `make demo demo-head` first")
    name = lambda path: f"{path.parent.name} {path.name.rpartition('-')[0]}"  # noqa: E731
    seconds = {name(path): zarr.open(path, mode="r").attrs["seconds"] for path in artifacts}
    return {
        "reprojection_error_px": report["reprojection_error"],
        "jitter_m_s3": report["jitter"],
        "frames": report["frames"],
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
