"""Installs snac_plugin, its tested set of packages, and the start-up hook that makes it a plugin.

    pip install .            a wheel
    pip install -e .         editable
    pip install .[demo,dev]  with the demo music's SoundFont and the tools that `make test` runs

The hook is a .pth file beside the package: the interpreter executes its one line at start-up. It watches for the
import of stable_audio_tools and does nothing else; SNAC_PLUGIN_AUTOLOAD=0 in the environment switches it off.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import runpy
import zipfile
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
TESTED = runpy.run_path(str(ROOT / "snac_plugin" / "tested_set.py"))

# The name sorts after setuptools' own __editable__*.pth, which puts an editable package on the path.
HOOK_NAME = "snac_plugin_autoload.pth"
HOOK = (
    "import os; exec('try: from snac_plugin import autoload; autoload.install()\\nexcept Exception: pass') "
    "if os.environ.get('SNAC_PLUGIN_AUTOLOAD', '1') != '0' else None\n"
)


class BuildWithHook(build_py):
    """Puts the hook beside the package, so that a wheel installs it into site-packages."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, HOOK_NAME).write_text(HOOK)

    def get_outputs(self, *args: Any, **kwargs: Any) -> list[str]:
        outputs = list(super().get_outputs(*args, **kwargs))
        return outputs if self.editable_mode else [*outputs, str(Path(self.build_lib, HOOK_NAME))]


class EditableWithHook(editable_wheel):
    """Adds the hook to the finished editable wheel: setuptools has no way to put a further file into it."""

    def run(self) -> None:
        super().run()
        for path in Path(self.dist_dir).glob("snac_plugin-*editable*.whl"):
            add_to_wheel(path, HOOK_NAME, HOOK.encode())


def add_to_wheel(wheel: Path, name: str, content: bytes) -> None:
    """Add a file to a wheel and to its RECORD, which lists every file with its checksum."""
    with zipfile.ZipFile(wheel) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    line = f"{name},sha256={digest},{len(content)}\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        for info, data in entries:
            archive.writestr(info, line + data if info.filename.endswith(".dist-info/RECORD") else data)


def version() -> str:
    """`__version__` of the package, read without importing it."""
    for node in ast.parse((ROOT / "snac_plugin" / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__":
            return str(ast.literal_eval(node.value))
    raise RuntimeError("snac_plugin/__init__.py sets no __version__")


def requirements(packages: dict[str, str]) -> list[str]:
    return [name + specifier for name, specifier in packages.items()]


setup(
    name="snac_plugin",
    version=version(),
    description="Diffusion over SNAC's hierarchical codes, as a plugin for stable-audio-tools",
    python_requires=TESTED["PYTHON"],
    install_requires=requirements(TESTED["REQUIRED"]),
    extras_require={extra: requirements(packages) for extra, packages in TESTED["EXTRAS"].items()},
    packages=find_packages(include=["snac_plugin", "snac_plugin.*"]),
    package_data={
        "snac_plugin": [
            "py.typed",
            "**/*.json",
            "interface/*.js",
            "interface/examples/*",
            "codec/shipped/**/*",
            "shipped_models/**/*",
        ]
    },
    cmdclass={"build_py": BuildWithHook, "editable_wheel": EditableWithHook},
    zip_safe=False,
)
