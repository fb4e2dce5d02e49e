"""`emosh inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options


def inspect(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="Folder `….zarr` of a workspace.", show_default=False)
    ],
    json: options.Json = False,
):
    """Show an artifact: arrays, units, where it comes from; writes a picture of it into `media/`.

    Example: emosh inspect ws/artifacts/track/dance-0123456789ab.zarr
    """
    from emosh_cli.console import print_json, print_table
    from emosh_core.previews import picture
    from emosh_core.video_io import write_image
    from emosh_core.workspace.artifact import arrays, read_any, read_header

    header = read_header(artifact)
    lazy = ("frames", "mask") if header["kind"] == "cond" else ()
    value = read_any(artifact, lazy=lazy)
    root = artifact.resolve().parents[2]
    shown = root / "media" / f"{artifact.stem}-{header['kind']}.png"
    shown.parent.mkdir(exist_ok=True)
    write_image(shown, picture(value, root))
    rows = arrays(artifact)
    if json:
        print_json(header | {"artifact": str(artifact), "arrays": rows, "picture": str(shown)})
        return
    origin = (
        "kind",
        "schema_version",
        "fingerprint",
        "created",
        "emosh_version",
        "seconds",
        "device",
        "frames",
        "notes",
    )
    print_table(["", ""], [[key, header[key]] for key in origin])
    print_table(["array", "shape", "axes", "dtype", "unit"], [list(row.values()) for row in rows])
    print_table(["value", ""], list(header["values"].items()))
    print_table(["setting", ""], list(header["config"].items()))
    print_table(
        ["input", ""], [[entry["role"], entry.get("sha256") or entry["fingerprint"]] for entry in header["inputs"]]
    )
    print(shown)
