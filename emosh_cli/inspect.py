"""`emosh inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options

ORIGIN = ("kind", "schema_version", "fingerprint", "created", "emosh_version", "seconds", "device", "frames", "notes")


def inspect(
    artifact: Annotated[
        Path,
        typer.Argument(
            metavar="ARTIFACT",
            help="Folder `….zarr`, or with -w the beginning of its name.",
            show_default=False,
        ),
    ],
    workspace_option: options.WorkspaceOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
):
    """Show an artifact: arrays, units, where it comes from; draws a picture of it.

    Of a motion also curves, as PNG and as a page: speed, face, trust in each part over time.

    The picture goes into the workspace's `media/`; of an artifact outside a workspace, beside it.

    Example: emosh inspect ws/artifacts/track/dance-0123456789ab.zarr
    """
    from emosh_cli.console import print_json, print_table
    from emosh_core.workspace.artifact import arrays, read_header

    if workspace_option is not None:
        artifact = _find(workspace_option, artifact)
    header, rows = read_header(artifact), arrays(artifact)
    shown = _draw(artifact, header["kind"])
    if json:
        print_json(header | {"artifact": str(artifact), "arrays": rows, "picture": str(shown[0]) if shown else None,
                           "curves": [str(path) for path in shown[1:]]})
        return
    print_table(["", ""], [[key, header[key]] for key in ORIGIN])
    print_table(["array", "shape", "axes", "dtype", "unit"], [list(row.values()) for row in rows])
    print_table(["value", ""], list(header["values"].items()))
    print_table(["setting", ""], list(header["config"].items()))
    print_table(
        ["input", ""], [[entry["role"], entry.get("sha256") or entry["fingerprint"]] for entry in header["inputs"]]
    )
    print(shown[0] if shown else "no picture")
    for further in shown[1:]:
        print(further)


def _find(workspace: Path, choice: Path) -> Path:
    from emosh_core.line import Line
    from emosh_core.workspace.workspace import Workspace

    opened = Workspace.open(workspace)
    return choice if choice.exists() else Line(opened).chosen(choice)


def _draw(artifact: Path, kind: str) -> list[Path]:
    """Draw pictures and return their paths: none for a clip without its video or a shape alone.

    A motion's curves come after its picture, as PNG and as a page.
    """
    from emosh_core.image_io import write_image
    from emosh_core.previews import picture
    from emosh_core.workspace import layout
    from emosh_core.workspace.artifact import read_any

    if kind == "shape":
        return []
    value = read_any(artifact, lazy=("frames", "mask") if kind == "cond" else ())
    root = layout.root_of(artifact.resolve())
    if kind == "clip" and not (root is not None and (root / value.video).is_file()):
        return []
    folder = artifact.resolve().parent if root is None else root / layout.MEDIA
    folder.mkdir(exist_ok=True)
    shown = folder / f"{artifact.stem}-{kind}.png"
    write_image(shown, picture(value, root))
    if kind not in ("motion", "target"):
        return [shown]
    from emosh_core.body.choose import body_of
    from emosh_core.curves import draw_curves

    curves = [shown.with_name(f"{artifact.stem}-curves{suffix}") for suffix in (".png", ".html")]
    for path in curves:
        draw_curves(value, path, getattr(body_of(value.body_model), "expression_names", ()))
    return [shown, *curves]
