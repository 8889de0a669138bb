"""The package as it is installed: what the wheel holds, and that stable-audio-tools knows it in a plain interpreter.

Both installs are real, each into an environment of its own that borrows everything else from this one.
"""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
HOOK = "snac_plugin_autoload.pth"
KNOWN = "import stable_audio_tools as s; print(hasattr(s.create_model_from_config, 'wrapped_by_snac_plugin'))"


def run(python: Path | str, *arguments: str, **environment: str) -> str:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SNAC_PLUGIN_AUTOLOAD")}
    done = subprocess.run([str(python), *arguments], capture_output=True, text=True, env=env | environment, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "autoload" not in done.stderr, done.stderr
    return done.stdout.strip()


def pip(*arguments: str) -> None:
    run(sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--no-index", "--no-build-isolation")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build reads: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "snac_plugin", folder / "snac_plugin", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", str(source), "--wheel-dir", str(folder))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment has the plugin installed in one of the two ways."""
    folder = tmp_path_factory.mktemp(f"environment_{request.param}")
    venv.create(folder, with_pip=False, symlinks=True)
    interpreter = folder / "bin" / "python"
    packages = Path(run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (packages / "borrowed.pth").write_text("\n".join([sysconfig.get_path("purelib"), *site.getsitepackages()]))
    target = [str(request.getfixturevalue("wheel"))] if request.param == "wheel" else ["--editable", str(source)]
    pip("--python", str(interpreter), "install", "--ignore-installed", *target)
    assert (packages / HOOK).is_file()
    return interpreter


def test_the_wheel_holds_the_hook_and_the_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        record = archive.read(next(name for name in names if name.endswith(".dist-info/RECORD"))).decode()
    assert {HOOK, "snac_plugin/py.typed", "snac_plugin/plugin/registry.py", "snac_plugin/cli/doctor.py"} <= names
    data = {str(path.relative_to(ROOT)) for path in (ROOT / "snac_plugin" / "codec" / "shipped").rglob("*") if path.is_file()}
    data |= {str(path.relative_to(ROOT)) for path in (ROOT / "snac_plugin").rglob("*.json")}
    assert data <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "build/"))]
    assert record.count(HOOK) == 1, "what is not in RECORD stays behind when the package is removed"


def test_stable_audio_tools_knows_the_types_with_nothing_else_done(python: Path) -> None:
    assert run(python, "-c", KNOWN) == "True"


def test_an_interpreter_s_start_costs_next_to_nothing_and_can_be_spared(python: Path) -> None:
    loaded = "import sys; print(*sorted(sys.modules))"
    with_hook, without = (set(run(python, "-c", loaded, SNAC_PLUGIN_AUTOLOAD=value).split()) for value in ("1", "0"))
    assert "snac_plugin" not in without
    extra = with_hook - without
    assert {"snac_plugin", "snac_plugin.autoload"} <= extra
    assert {name.partition(".")[0] for name in extra} <= {"snac_plugin", *sys.stdlib_module_names}
    assert len(extra) <= 6, f"the hook imports {sorted(extra)}"


def test_it_is_silent_where_it_or_stable_audio_tools_is_missing(python: Path, wheel: Path, tmp_path: Path) -> None:
    """The .pth file may outlive what it imports."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    bare = tmp_path / "bare" / "bin" / "python"
    packages = Path(run(bare, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(HOOK, packages)
        command = [str(bare), "-c", "import json"]
        without_plugin = subprocess.run(command, capture_output=True, text=True, check=True)
        archive.extractall(packages)
    code = "import snac_plugin\ntry: import stable_audio_tools\nexcept ImportError: print('missing')"
    without_tools = subprocess.run([str(bare), "-c", code], capture_output=True, text=True, check=True)
    assert (without_plugin.stdout, without_plugin.stderr) == ("", "")
    assert (without_tools.stdout, without_tools.stderr) == ("missing\n", "")
    (packages / "snac_plugin" / "autoload.py").write_text("this is no Python")
    broken = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (broken.stdout, broken.stderr) == ("", "")
