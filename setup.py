"""The wheel carries runbook/, checks/ and conftest.py as data of the package that writes them into a folder.

In the repository they lie at the top, once; an editable install takes them from there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TOP = Path(__file__).parent
CARRIED = ("conftest.py", "runbook/*.py", "checks/*.py")


class BuildWithRunbook(build_py):
    """Copies them into what is built."""

    def run(self) -> None:
        """Build the packages, then add the files."""
        super().run()
        if not self.editable_mode:
            target = self._target
            shutil.rmtree(target, ignore_errors=True)  # what an earlier build left may be gone by now
            for file in self._files():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(TOP / file, target / file)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All that is built, with the files."""
        added = [] if self.editable_mode else [str(self._target / file) for file in self._files()]
        return [*super().get_outputs(include_bytecode), *added]

    @property
    def _target(self) -> Path:
        return Path(self.build_lib, "pve_runbook", "project_copy", "files")

    @staticmethod
    def _files() -> list[Path]:
        return sorted(path.relative_to(TOP) for pattern in CARRIED for path in TOP.glob(pattern))


setup(cmdclass={"build_py": BuildWithRunbook})
