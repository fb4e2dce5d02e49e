"""Write `workspace_template/emosh.toml` from the settings dataclasses: every setting, its meaning, its default."""

import ast
import dataclasses
import inspect
import json
import textwrap
import typing
from itertools import pairwise
from pathlib import Path

from emosh_core.config import describe
from emosh_core.settings import SECTIONS

TARGET = Path(__file__).parents[1] / "workspace_template" / "emosh.toml"

HEADER = """\
# Settings of this workspace. Every line shows a default; uncomment one to change it.
# `--set section.key=value` on the command line wins over this file.
"""


def template() -> str:
    """Return the text of the settings file."""
    return HEADER + "".join(_section(name, cls) for name, cls in SECTIONS.items())


def _section(name: str, cls: type) -> str:
    lines, meanings, hints = [f"\n[{name}]"], _meanings(cls), typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        words = f" ({describe(hints[field.name])})" if typing.get_origin(hints[field.name]) is typing.Literal else ""
        lines += textwrap.wrap(meanings[field.name] + words, 110, initial_indent="# ", subsequent_indent="# ")
        default = '"none"' if field.default is None else json.dumps(field.default, ensure_ascii=False)
        lines.append(f"# {field.name} = {default}")
    return "\n".join(lines) + "\n"


def _meanings(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


if __name__ == "__main__":
    TARGET.write_text(template(), encoding="utf-8")
