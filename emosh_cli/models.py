"""`emosh models`: weights that the user brings."""

from pathlib import Path
from typing import Annotated

import typer

from emosh_cli import options

KindArgument = Annotated[
    str, typer.Argument(metavar="KIND", help="For example hamer; `emosh models list` names them.", show_default=False)
]
FileArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="The file or folder; it stays where it is.", show_default=False)
]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="""List, add, remove and find your own weights.

    Nothing is downloaded; each file's licence is its maker's.

    Example: emosh models add hamer hamer_encoder.onnx""")  # fmt: skip


@app.command("list")
def list_models(
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and compare its SHA-256.")] = False,
    json: options.Json = False,
):
    """Show each kind of weights, its file and its licence.

    Example: emosh models list
    """
    from emosh_cli.console import print_json, print_table
    from emosh_core import models

    rows = []
    for kind in models.KINDS.values():
        entry = models.registered(kind.name)
        state = models.state_of(entry, thorough=verify) if entry else "absent"
        path, sha256 = (entry.path, entry.sha256) if entry else ("", "")
        rows.append({"kind": kind.name, "state": state, "use": kind.use, "licence": kind.licence} | {
            "path": path, "sha256": sha256})  # fmt: skip
    if json:
        print_json({"folder": str(models.folder()), "models": rows})
        return
    shown = ["kind", "state", "use", "licence", "path"]
    print_table(shown, [[row[column] for column in shown] for row in rows])


@app.command("add")
def add(kind: KindArgument, path: FileArgument, json: options.Json = False):
    """Look into a file or folder and use it from now on; it is neither copied nor moved, but read once.

    Example: emosh models add dwpose-pose dw-ll_ucoco_384.onnx
    Example: emosh models add wan Wan2.2-Animate-14B
    """
    from dataclasses import asdict

    from emosh_cli.console import Console, print_json
    from emosh_core import models
    from emosh_core.generate.wan.parts import ready

    if kind == "wan":
        Console().note("its files are read once for their SHA-256; 35 GB take minutes")
    entry = models.add(kind, path)
    complete, lacking = ready() if kind.startswith("wan") else (True, "")
    if not complete:
        Console().note(lacking)
    licence = models.KINDS[kind].licence
    if json:
        print_json(asdict(entry) | {"licence": licence})
        return
    print(f"{kind}: {entry.path}\nsha256 {entry.sha256}\nlicence: {licence}")


@app.command("remove")
def remove(kind: KindArgument):
    """Forget a kind's file; the file itself is not touched.

    Example: emosh models remove hamer
    """
    from emosh_core import models

    print(f"forgotten, not deleted: {models.remove(kind).path}")


@app.command("path")
def path(kind: KindArgument):
    """Print where a kind's file lies, after checking that it is the one that was added.

    Example: emosh models path hamer
    """
    from emosh_core import models

    print(models.require(kind).path)
