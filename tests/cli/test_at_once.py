"""Wrong flags and paths are told at once: before torch is imported, in one line, with the near miss and by the flags' own names."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import conditioned_model_config, write_tiny_codec

from snac_plugin.cli import COMMANDS
from snac_plugin.config.migration import CONFIG_VERSION
from snac_plugin.errors import UsageError
from snac_plugin.generation import option_rules
from snac_plugin.generation import request as request_module
from snac_plugin.generation.request import OPTIONS, Request, with_options

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ["--model-config", "model_configs/snac_dit.json"]
NEAR_MISSES = {
    "generate": ("--contiune", "--continue"),
    "train": ("--modle-config", "--model-config"),
    "pre_encode": ("--ouput-path", "--output-path"),
    "evaluate": ("--genrated", "--generated"),
    "run_gradio": ("--prot", "--port"),
    "unwrap": ("--use-safetensros", "--use-safetensors"),
    "ema": ("--legnth", "--length"),
    "export_codec": ("--no-eam", "--no-ema"),
    "songs": ("--sogns", "--songs"),
    "demo": ("--max-step-s", "--max-steps"),
    "doctor": ("--hlep", "--help"),
    "config_reference": ("--scheme", "--schema"),
    "scan": ("--wrokers", "--workers"),
}
NO_FILE = "nowhere.*: found no such file"
WRONG_PATHS = [
    ("generate", ["--ckpt", "nowhere.ckpt"], NO_FILE),
    ("generate", [*CONFIG[:1], "nowhere.json"], NO_FILE),
    ("generate", ["--ckpt", "README.md"], "README.md: found a file that cannot be read .* expected a checkpoint"),
    ("evaluate", ["--data", "docs", "--ckpt", "README.md"], "README.md: found a file that cannot be read"),
    ("generate", ["--continue", "nowhere.wav"], NO_FILE),
    ("generate", ["--lora", "nowhere:0.5"], "nowhere: found no such file or folder, expected an adapter in peft's format"),
    ("generate", ["--settings", "nowhere.json"], NO_FILE),
    ("train", [*CONFIG[:1], "nowhere.json"], NO_FILE),
    ("train", [*CONFIG, "--dataset-config", "nowhere.json"], NO_FILE),
    ("train", [*CONFIG, "--val-dataset-config", "nowhere.json", "--val-every", "5"], NO_FILE),
    ("train", [*CONFIG, "--pretrained-ckpt-path", "snac_dit_tny"], 'Did you mean "snac_dit_tiny"'),
    ("train", [*CONFIG, "--ckpt-path", "nowhere.ckpt"], "--ckpt-path: found no file nowhere.ckpt"),
    ("pre_encode", [*CONFIG[:1], "nowhere.json", "--output-path", "made"], NO_FILE),
    ("pre_encode", [*CONFIG, "--dataset-config", "nowhere.json", "--output-path", "made"], NO_FILE),
    ("pre_encode", [*CONFIG, "--output-path", "README.md"], "--output-path: found README.md, which is a file"),
    ("pre_encode", [*CONFIG, "--output-path", "docs"], "--output-path: found docs with codecs.md in it, expected a new folder"),
    ("evaluate", ["--data", "nowhere", "--codec", "snac_tiny_32khz"], "--data: found nowhere, which is no folder"),
    ("evaluate", ["--data", "docs", "--ckpt", "nowhere.ckpt"], NO_FILE),
    ("evaluate", ["--data", "docs", "--codec", "snac_tiny_32kHz"], '^error: --codec: .*Did you mean "snac_tiny_32khz"'),
    ("run_gradio", ["--ckpt-path", "nowhere.ckpt"], NO_FILE),
    ("run_gradio", [*CONFIG[:1], "nowhere.json"], NO_FILE),
    ("unwrap", ["--ckpt-path", "nowhere.ckpt"], NO_FILE),
    ("unwrap", ["--ckpt-path", "snac_dit_tiny", "--average", "snac_dit_tiny", "nowhere.ckpt"], NO_FILE),
    ("export_codec", ["--ckpt-path", "nowhere.ckpt", "--out", "made"], NO_FILE),
    ("ema", ["--run", "nowhere", "--length", "0.1"], "--run: found nowhere, expected the folder of a training"),
    ("ema", ["--run", "docs", "--length", "0.3"], "--length: found 0.3, expected a number from 0.001 to 0.28"),
    ("demo", [*CONFIG[:1], "nowhere.json", "--save-dir", "made"], NO_FILE),
]
FLAG_NAMES = [
    ("generate", ["--continue", "README.md", "--from", "3", "--edit", "b.wav"], "--from: found --edit beside it, expected one of"),
    ("generate", ["--bridge", "a.wav", "b.wav", "--lead-in", "c.wav"], "--bridge: found --lead-in beside it"),
    ("generate", ["--keep-levels", "A"], "--keep-levels: found no recording to change, expected --edit beside it"),
    ("generate", ["--put-back"], "expected --repaint, --lead-in, --bridge or --loop beside it"),
    ("generate", ["--keep-levels", "E", "--edit", "README.md"], "--keep-levels: found E, expected levels from the coarsest on"),
    ("generate", ["--steps", "0"], "--steps: found 0, expected a whole number from 1 to 1,000,000, or one for each level"),
    ("generate", ["--steps", "9" * 30], "--steps: found 9{30}, expected a whole number from 1 to 1,000,000"),
    ("generate", ["--steps", "A=1,X=2"], "--steps: found level X, expected one number, or one for each of the levels A, B, C, D"),
    ("generate", ["--repaint", "5:3", "--edit", "README.md"], "--repaint: found 5:3, expected pairs of seconds"),
    ("generate", ["--loop", *CONFIG], "--loop: found a model that was trained without known frames, .* Or ask for --put-back"),
    ("generate", ["--condition", "mood=dark"], "--condition: found the key 'mood', expected only key, style, tempo"),
    ("generate", ["--conditioning", '{"mood": 1}'], "--conditioning: found the key 'mood', expected only key, style, tempo"),
    ("generate", ["--negative-condition", "mood=dark"], "--negative-condition: found the key 'mood', expected"),
    ("generate", ["--guidance", "mood=2"], "--guidance: found 'mood', expected one of style, tempo, key, context"),
    ("generate", ["--steps", "3"], "--steps: found 3, expected at least 4 in all"),
    ("generate", ["--lora", "docs:abc"], "--lora: found 'abc' behind docs, expected a number there: the adapter's strength"),
    ("evaluate", ["--data", "docs", "--ckpt", "snac_dit_tiny", "--condition", "mood=dark"], "found the key 'mood'"),
    ("generate", ["--style", "house"], 'A condition of the model is said so: --condition "style=house"'),
    ("evaluate", ["--data", "docs", "--tempo=120"], 'A condition of the model is said so: --condition "tempo=120"'),
    ("generate", ["--cfg-scale", "-1"], "--cfg-scale: found -1.0"),
    ("evaluate", ["--data", "docs", "--ckpt", "snac_dit_tiny", "--cfg-rescale", "2"], "--cfg-rescale: found 2.0"),
]  # fmt: skip
CASES = [(name, [flag], f'Did you mean "{meant}"') for name, (flag, meant) in NEAR_MISSES.items()] + WRONG_PATHS + FLAG_NAMES
PROGRAM = """
import contextlib, io, json, sys
from snac_plugin.cli import main
for arguments in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([status, said.getvalue(), "torch" in sys.modules]))
    if "torch" in sys.modules:
        break
"""


@pytest.fixture(scope="module")
def told() -> list[Any]:
    return said_to([[command, *arguments] for command, arguments, _ in CASES])


def said_to(commands: list[list[str]]) -> list[Any]:
    """What a fresh interpreter says to each, one after the other: status, text, and whether torch is imported by then."""
    lines = json.dumps(commands)
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, input=lines, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("index", range(len(CASES)), ids=[" ".join([case[0], *case[1]]) for case in CASES])
def test_what_is_wrong_is_told_before_torch_is_imported(index: int, told: list[Any]) -> None:
    """A wrong path took up to thirty seconds to be named, and errors named fields of Python."""
    status, text, torch_imported = told[index]
    assert (status in (1, 2), torch_imported) == (True, False)
    assert re.search(CASES[index][2], text), text
    assert text.startswith("error: ")
    assert text.count("\n") == 1


def test_a_checkpoint_of_torch_tells_as_soon_what_fits_it(tmp_path: Path) -> None:
    """Wrong conditions were told once the weights were loaded, after 17 s."""
    config, file = conditioned_model_config(write_tiny_codec(tmp_path)), str(tmp_path / "last.ckpt")
    torch.save({"state_dict": {}, "model_config": config, "snac_config_version": CONFIG_VERSION}, file)
    codec = str(tmp_path / "codec.ckpt")
    torch.save({"state_dict": {}, "model_config": {"model_type": "autoencoder"}}, codec)
    named, made = ["generate", "--ckpt", file], ["--condition", "style=house"]
    cases = [
        ([*named, "--condition", "style=hause", "--condition", "tempo=90"], '--condition: style: found "hause"'),
        ([*named, *made], '--condition: found nothing for tempo, .* --condition "tempo=..."'),
        ([*named, *made, "--condition", "tempo=300"], "--condition: tempo: found .*300.*, expected a number from 60 to 200"),
        ([*named, *made, "--condition", "tempo=90", "--steps", "A=1,E=2"], "--steps: found level E, expected one number"),
        (["evaluate", "--data", "docs", "--ckpt", file, "--condition", "tempo=300"], "expected a number from 60 to 200"),
        (["generate", "--ckpt", codec], "found a model of type autoencoder, expected one of type diffusion_snac_dit. Of a codec"),
    ]
    for (_, expected), (status, text, torch_imported) in zip(cases, said_to([words for words, _ in cases]), strict=True):
        assert re.search(expected, text), text
        assert (status, torch_imported) == (1, False)
    (tmp_path / "checkpoints").mkdir()
    Path(file).rename(tmp_path / "checkpoints" / "last.ckpt")
    assert said_to([["generate", "--ckpt", str(tmp_path), *made]])[0][2] is False, "the folder of the run"


@pytest.mark.parametrize("index", [index for index, case in enumerate(CASES) if "contiune" in str(case)])
def test_a_flag_that_is_nearly_another_is_no_condition(index: int, told: list[Any]) -> None:
    assert "condition" not in told[index][1]


def test_every_command_knows_near_misses() -> None:
    assert NEAR_MISSES.keys() == COMMANDS.keys()


def test_every_option_of_a_request_has_a_flag_and_texts_name_only_options() -> None:
    flags = import_module("snac_plugin.cli.generate").parser().flag_names
    assert OPTIONS.keys() - flags.keys() == {"sample_size"}
    sources = [Path(module.__file__).read_text() for module in (request_module, option_rules)]
    calls = [node for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    errors = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "UsageError"]
    named = {name for text in errors for name in re.findall(r"`([a-z_]+)`", text)}
    assert {"edit", "before", "chunks", "context"} <= named <= {*OPTIONS, "context"}
    assert flags["context"] == "--continue"


def test_an_error_names_arguments_of_python_or_flags() -> None:
    error = UsageError("from_second", "`edit` beside it", "one of `edit`, `from_second`", "See `edit`.")
    assert str(error) == "from_second: found edit beside it, expected one of edit, from_second. See edit."
    names = {"from_second": "--from", "edit": "--edit", "conditioning": "--conditioning"}
    assert error.message(names) == "--from: found --edit beside it, expected one of --edit, --from. See --edit."
    assert UsageError("conditioning: bpm", 900, "less").message(names).startswith("--conditioning: bpm: found 900")


def test_unknown_arguments_of_a_call_are_named() -> None:
    """They were a TypeError about the constructor of Request."""
    with pytest.raises(UsageError, match=r'stpes: found an unknown argument, expected one of .*Did you mean "steps"'):
        with_options(Request(), {"stpes": 8})
    with pytest.raises(UsageError, match='Did you mean "context"'):
        with_options(Request(), {"contxt": 8}, ["context"])
    assert with_options(Request(), {"steps": 8}) == Request(steps=8)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_keeps_the_lines_of_its_description_and_names_no_default_that_is_none(command: str) -> None:
    """`unwrap` and `ema` ran the example into the sentence before it, and ended each flag in "(default: None)"."""
    text = import_module(f"snac_plugin.cli.{command}").parser().format_help()
    assert "(default: " not in text
    examples = [line for line in str(import_module(f"snac_plugin.cli.{command}").__doc__).splitlines() if line.startswith("    py")]
    assert all(f"\n{line}\n" in text for line in examples)
    assert examples or command not in ("unwrap", "ema", "generate")
