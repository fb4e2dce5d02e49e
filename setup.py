"""The one build step that pyproject.toml cannot say: `emosh init` needs the template in the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithTemplate(build_py):
    """Copy `workspace_template/` beside the workspace package; an editable install reads the original."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "emosh_core" / "workspace" / "template"
            shutil.copytree("workspace_template", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithTemplate})
