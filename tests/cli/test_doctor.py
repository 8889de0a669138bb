"""The doctor: it reports what is wrong and what to do, and runs where the packages it looks at do not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snac_plugin.cli import doctor
from snac_plugin.cli.doctor import NOTE, OK, WRONG

ALL_IMPORTS: dict[str, dict[str, Any]] = {
    "torch": {"device": "cpu (2 threads)", "precision": "32-true"},
    **{name: {} for name in ("torchaudio", "soundfile", "snac", "stable_audio_tools", "gradio")},
    "plugin": {"registered": True},
}


@pytest.mark.parametrize(
    ("version", "specifier", "fits"),
    [
        ("2.8.0", "==2.8.0", True),
        ("2.8.0+cu128", "==2.8.0", True),
        ("2.11.0", "==2.8.0", False),
        ("0.2.11.post0", "==0.2.11.post0", True),
        ("5.50.0", ">=5.20,<6", True),
        ("5.9.1", ">=5.20,<6", False),
        ("6.0.0", ">=5.20,<6", False),
        ("3.9.18", doctor.PYTHON, False),
        ("3.10.0", doctor.PYTHON, True),
        ("3.11.13", doctor.PYTHON, True),
        ("3.12.1", doctor.PYTHON, False),
    ],
)
def test_versions_are_compared_as_numbers(version: str, specifier: str, fits: bool) -> None:
    assert doctor.satisfies(version, specifier) is fits


def test_every_specifier_of_the_tested_set_is_understood() -> None:
    for specifier in [*doctor.REQUIRED.values(), *(s for packages in doctor.EXTRAS.values() for s in packages.values())]:
        lowest = specifier.split(",")[0].lstrip("=>")
        assert doctor.satisfies(lowest, specifier), specifier
        assert not doctor.satisfies("0.0.0.dev0", specifier), specifier


def test_python_3_12_is_wrong() -> None:
    finding = doctor.check_python((3, 12, 4))
    assert finding.state == WRONG
    assert "3.12.4" in finding.found
    assert "python3.11" in finding.advice


@pytest.fixture
def newer_torchaudio(tmp_path: Path) -> Path:
    """A folder for the path, with a torchaudio of another release that this torch cannot load."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('undefined symbol: torch_library_impl')")
    (tmp_path / "torchaudio-2.11.0.dist-info").mkdir()
    (tmp_path / "torchaudio-2.11.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torchaudio\nVersion: 2.11.0\n")
    return tmp_path


@pytest.mark.slow
def test_torch_and_torchaudio_that_do_not_fit(newer_torchaudio: Path) -> None:
    """A plain install of stable-audio-tools brings this pair, and it cannot even be imported together."""
    env = {**os.environ, "PYTHONPATH": str(newer_torchaudio), "HF_HUB_OFFLINE": "1", "HF_HOME": str(newer_torchaudio / "empty")}
    done = subprocess.run([sys.executable, "-m", "snac_plugin", "doctor"], capture_output=True, text=True, env=env)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    rows = {line.split("  ")[1].strip() if line.startswith("WRONG") else "": line for line in done.stdout.splitlines()}
    assert "2.11.0, tested with ==2.8.0" in rows["torchaudio"]
    assert "undefined symbol" in rows["import torchaudio"]
    assert 'pip install "torch==2.8.0" "torchaudio==2.8.0"' in done.stdout
    assert "HF_HUB_OFFLINE" in done.stdout, "what comes after the failed import is missing"


@pytest.mark.slow
def test_an_import_that_kills_the_interpreter_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SNAC_PLUGIN_AUTOLOAD", "0")
    findings = {finding.what: finding for finding in doctor.check_imports(doctor.probe())}
    assert findings["import torch"].state == WRONG
    assert "did not survive" in findings["import torch"].found
    assert "device" not in findings


@pytest.mark.slow
def test_a_slow_machine_is_not_taken_for_a_broken_one() -> None:
    findings = {finding.what: finding for finding in doctor.check_imports(doctor.probe(seconds=0.01))}
    assert findings["import torch"].state == NOTE
    assert "not done after" in findings["import torch"].found
    assert "reinstall" not in findings["import torch"].advice


def test_a_gpu_that_pytorch_cannot_use_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    device = {finding.what: finding for finding in doctor.check_imports(ALL_IMPORTS)}["device"]
    assert device.state == NOTE
    assert "driver" in device.advice


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise doctor.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    findings = {finding.what: finding for finding in doctor.check_packages()}
    assert findings["torch"].state == WRONG
    assert findings["gradio"].advice == 'pip install "gradio>=5.20,<6"'
    assert findings["pretty_midi"].state == NOTE, "only the demo music needs it"


def test_another_release_is_wrong_only_where_it_breaks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "0.0.1")
    findings = {finding.what: finding.state for finding in doctor.check_packages()}
    assert (findings["torchaudio"], findings["gradio"]) == (WRONG, WRONG)
    assert (findings["tqdm"], findings["pretty_midi"]) == (NOTE, NOTE)


def test_the_plugin_s_registration_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAC_PLUGIN_AUTOLOAD", raising=False)
    assert doctor.check_plugin(ALL_IMPORTS).state == OK
    assert doctor.check_plugin({"plugin": {"registered": False}}).state == WRONG
    monkeypatch.setenv("SNAC_PLUGIN_AUTOLOAD", "0")
    assert "SNAC_PLUGIN_AUTOLOAD=0" in doctor.check_plugin({"plugin": {"registered": False}}).found


def test_codecs_without_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    hub = doctor.check_codecs()[-1]
    assert (hub.what, hub.state) == ("hub codecs", NOTE)
    assert "config.json" in hub.advice

    (tmp_path / "models--hubertsiuzdak--snac_32khz" / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "models--hubertsiuzdak--snac_32khz" / "snapshots" / "abc" / "config.json").write_text("{}")
    assert doctor.check_codecs()[-1].state == OK


def test_a_package_without_its_shipped_codec_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.snac_plugin, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(doctor, "hub_cached", lambda: True)
    assert doctor.check_codecs()[0].state == WRONG
    (tmp_path / "codec" / "shipped" / "some_codec").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "codec" / "shipped" / "some_codec" / name).touch()
    assert doctor.check_codecs()[0].found == "some_codec"


def test_the_exit_status_counts_only_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    well = doctor.Finding("well", OK, "1.0")
    monkeypatch.setattr(doctor, "probe", lambda: ALL_IMPORTS)
    monkeypatch.setattr(doctor, "check_packages", list)
    monkeypatch.setattr(doctor, "check_codecs", lambda: [well])
    monkeypatch.setattr(doctor, "check_sound_font", lambda: doctor.Finding("sound font", NOTE, "none", "get it"))
    assert doctor.main([]) == 0
    out = capsys.readouterr().out
    assert "-> get it" in out
    assert "All is well." in out
    monkeypatch.setattr(doctor, "check_python", lambda: doctor.Finding("python", WRONG, "3.12.1", "use 3.11"))
    assert doctor.main([]) == 1
    assert "1 thing is wrong" in capsys.readouterr().out
