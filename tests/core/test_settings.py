"""The settings file of the template and the dataclasses say the same."""

import dataclasses
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from emosh_core.config import load_settings
from emosh_core.settings import SECTIONS

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "workspace_template" / "emosh.toml"


def uncommented() -> str:
    """Return the template with every setting switched on."""
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    names = {field.name for cls in SECTIONS.values() for field in dataclasses.fields(cls)}
    return "\n".join(line[2:] if line[2:].split(" = ")[0] in names and " = " in line else line for line in lines)


def test_template_lists_every_setting_with_its_default(tmp_path):
    table = tomllib.loads(uncommented())
    assert list(table) == list(SECTIONS)
    for name, cls in SECTIONS.items():
        assert list(table[name]) == [field.name for field in dataclasses.fields(cls)], name
    (tmp_path / "all.toml").write_text(uncommented(), encoding="utf-8")
    assert load_settings(SECTIONS, file=tmp_path / "all.toml") == {name: cls() for name, cls in SECTIONS.items()}


def test_template_is_what_the_script_writes():
    code = "import sys; sys.path.insert(0, 'scripts'); import write_settings as w; sys.stdout.write(w.template())"
    text = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text == TEMPLATE.read_text(encoding="utf-8"), "run scripts/write_settings.py"


def test_template_is_valid_and_changes_nothing():
    assert load_settings(SECTIONS, file=TEMPLATE) == {name: cls() for name, cls in SECTIONS.items()}


@pytest.mark.parametrize("cls", SECTIONS.values())
def test_settings_are_plain_enough_for_a_fingerprint(cls):
    json.dumps(dataclasses.asdict(cls()))
