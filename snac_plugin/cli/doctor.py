"""Report what is installed, what is wrong, and what to do about it: `python -m snac_plugin doctor`.

Standard library only: it has to run on the wrong Python and beside packages that cannot be imported, which `doctor_probe`
tries in a process of its own. Exit status 1 if something that the plugin needs is wrong.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snac_plugin
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.tested_set import EXTRAS, PYTHON, REQUIRED

OK, NOTE, WRONG = "ok", "note", "WRONG"
UNFINISHED = "unfinished"

# Another release of these is known to break something; another release of the rest is only untested.
ESSENTIAL = ("stable-audio-tools", "snac", "torch", "torchaudio", "gradio", "setuptools", "numpy")
HUB_CODEC = "hubertsiuzdak/snac_32khz"
HUB_SECONDS = 4.0


@dataclass(frozen=True)
class Finding:
    """One line of the report: the thing, its state, what was found, and what to do if that is not OK."""

    what: str
    state: str
    found: str
    advice: str = ""


def satisfies(version: str, specifier: str) -> bool:
    """Whether a version lies in a specifier such as "==2.8.0" or ">=5.20,<6"; a local part, "+cu128", does not count."""
    version = version.partition("+")[0]

    def release(text: str) -> list[int]:
        return [*map(int, re.findall(r"\d+", text)), 0, 0, 0, 0][:4]

    fits: dict[str, Callable[[str], bool]] = {
        "==": lambda wanted: version == wanted,
        ">=": lambda wanted: release(version) >= release(wanted),
        "<": lambda wanted: release(version) < release(wanted),
    }
    return all(fits[operator](wanted) for operator, wanted in re.findall(r"(==|>=|<)([^,]+)", specifier))


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    found = ".".join(map(str, version))
    if satisfies(found, PYTHON):
        return Finding("python", OK, found)
    return Finding("python", WRONG, f"{found}, needs {PYTHON}", "Make the environment with python3.11: python3.11 -m venv .venv")


def check_package(name: str, specifier: str, essential: bool, extra: str = "") -> Finding:
    options = ["torch==2.8.0", "torchaudio==2.8.0"] if name in ("torch", "torchaudio") else [f"{name}{specifier}"]
    install = " ".join(["pip install", *(f'"{option}"' for option in ([f".[{extra}]"] if extra else options))])
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, NOTE if extra else WRONG, f"not installed, tested with {specifier}", install)
    if satisfies(version, specifier):
        return Finding(name, OK, version)
    return Finding(name, WRONG if essential else NOTE, f"{version}, tested with {specifier}", install)


def check_packages() -> list[Finding]:
    """The whole tested set without the extra for `make test`."""
    sets = {"": REQUIRED, "demo": EXTRAS["demo"], "evaluate": EXTRAS["evaluate"]}
    packages = [(name, specifier, extra) for extra, packages in sets.items() for name, specifier in packages.items()]
    return [check_package(name, specifier, name in ESSENTIAL, extra) for name, specifier, extra in packages]


def probe(seconds: float = 180.0) -> dict[str, dict[str, Any]]:
    """What `doctor_probe` found, {step: result}; a step without a line brought the process down, or time ran out: `UNFINISHED`."""
    root = str(Path(snac_plugin.__file__).parents[1])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))  # last: it must not hide anything
    command = [sys.executable, "-m", "snac_plugin.cli.doctor_probe"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env={**os.environ, "PYTHONPATH": path})
        output, late = ran.stdout, {}
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout.decode() if isinstance(expired.stdout, bytes) else expired.stdout or ""
        late = {UNFINISHED: {"seconds": seconds}}
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('["')]
    return dict(lines) | late


def check_imports(probed: dict[str, dict[str, Any]]) -> list[Finding]:
    """Whether the packages that carry native code can be imported, together, and what they run on."""
    reinstall = "The versions above that are marked are the usual reason; otherwise: pip install --force-reinstall"
    findings = []
    for name in ("torch", "torchaudio", "soundfile", "snac", "stable_audio_tools", "gradio"):
        if name not in probed and UNFINISHED in probed:
            about = f"not done after {probed[UNFINISHED]['seconds']:.0f} s"
            findings.append(Finding(f"import {name}", NOTE, about, "The machine is busy, or its disk slow: run it again."))
            continue
        error = probed.get(name, {"error": "the interpreter did not survive it"}).get("error")
        advice = f"{reinstall} {name}." if error and "No module named" not in error else ""
        findings.append(Finding(f"import {name}", WRONG if error else OK, error or "works", advice))
    device = probed.get("torch", {}).get("device")
    if device is not None:
        blind = "cpu" in device and shutil.which("nvidia-smi") is not None
        driver = "There is an NVIDIA driver, but PyTorch finds no GPU: its CUDA 12.8 needs driver 570 or later."
        findings.append(Finding("device", NOTE if blind else OK, device, driver if blind else ""))
        findings.append(Finding("precision", OK, probed["torch"]["precision"]))
    return findings


def check_plugin(probed: dict[str, dict[str, Any]]) -> Finding:
    """Whether stable-audio-tools' own scripts know the plugin's types with nothing else typed."""
    explicit = "python -m snac_plugin SCRIPT works all the same."
    if os.environ.get("SNAC_PLUGIN_AUTOLOAD", "1") == "0":
        return Finding("plugin", NOTE, "switched off by SNAC_PLUGIN_AUTOLOAD=0", explicit)
    if probed.get("plugin", {}).get("registered"):
        return Finding("plugin", OK, "stable-audio-tools knows its types when it is imported")
    try:
        importlib.metadata.version("snac_plugin")
    except importlib.metadata.PackageNotFoundError:
        return Finding("plugin", NOTE, "not installed, only found in this folder", f"pip install -e . {explicit}")
    advice = "pip install --force-reinstall --no-deps ."
    return Finding("plugin", WRONG, "not registered when stable-audio-tools is imported", advice)


def check_codecs() -> list[Finding]:
    folder = Path(snac_plugin.__file__).parent / "codec" / "shipped"
    complete = [config for config in folder.glob("*/config.json") if config.with_name("model.safetensors").is_file()]
    shipped, advice = ", ".join(sorted(config.parent.name for config in complete)), "The package is incomplete: install it again."
    findings = [Finding("shipped codec", OK if shipped else WRONG, shipped or "none", advice)]
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")
    if (cached := hub_cached()) or (not offline and hub_reachable()):
        return [*findings, Finding("hub codecs", OK, f"{HUB_CODEC} is cached" if cached else "the hub can be reached")]
    reason = "switched off by HF_HUB_OFFLINE" if offline else "the hub cannot be reached"
    advice = (
        "The shipped codec needs no network. For another one, copy its config.json and pytorch_model.bin "
        'into a folder and name the folder as "codec" in the model config.'
    )
    return [*findings, Finding("hub codecs", NOTE, f"{reason}, and nothing is cached", advice)]


def hub_cached() -> bool:
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()
    return any(cache.glob(f"models--{HUB_CODEC.replace('/', '--')}/snapshots/*/config.json"))


def hub_reachable() -> bool:
    """Whether the hub answers in time. In a thread: looking up a name knows no time limit."""
    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{HUB_CODEC}/resolve/main/config.json"
    answered: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_SECONDS) as answer:
                answered.append(answer.status == 200)
        except (OSError, ValueError):
            answered.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS + 1)
    return answered == [True]


def check_sound_font() -> Finding:
    spec = importlib.util.find_spec("pretty_midi")
    fonts = list(Path(spec.origin).parent.glob("*.sf2")) if spec is not None and spec.origin else []
    return Finding("sound font", OK if fonts else NOTE, fonts[0].name if fonts else "none", 'pip install "snac_plugin[demo]"')


def parser() -> CommandParser:
    return CommandParser("doctor", description=__doc__)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; returns 0 if all that is essential is well, else 1."""
    parser().parse_args(argv)
    probed = probe()
    findings = [Finding("snac_plugin", OK, snac_plugin.__version__), check_python(), *check_packages(), *check_imports(probed)]
    findings += [check_plugin(probed), *check_codecs(), check_sound_font()]
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.state:<5}  {finding.what:<{width}}  {finding.found}")
        if finding.state != OK and finding.advice:
            print(f"{'':<5}  {'':<{width}}  -> {finding.advice}")
    wrong = sum(finding.state == WRONG for finding in findings)
    print(f"\n{wrong} thing{'s are' if wrong != 1 else ' is'} wrong: see WRONG above." if wrong else "\nAll is well.")
    return 1 if wrong else 0
