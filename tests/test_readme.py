"""The commands of README, docs and Makefile: each is understood by the program it calls, and each file they name exists."""

import re
import shlex
from pathlib import Path

import pytest

from snac_plugin.cli import COMMANDS, evaluate, generate, pre_encode, run_gradio, scan, train_flags
from snac_plugin.config import CodecModelConfig
from snac_plugin.config.reference import reference_table

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
TEXT = "\n".join(path.read_text() for path in PAGES)
LARGEST_README = 220  # lines: tables and reference have pages of their own
MAKEFILE = (ROOT / "Makefile").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.strip()]
LINES += re.findall(r"\$\(BIN\)/(python (?:\w+\.py|-m snac_plugin) .*)", MAKEFILE.replace("\\\n", " "))
PARSERS = {
    "train.py": lambda argv: train_flags.parse(argv),
    "generate.py": lambda argv: generate.parser().parse_args(argv),
    "run_gradio.py": lambda argv: run_gradio.parser().parse_args(argv),
    "evaluate.py": lambda argv: evaluate.parser().parse_args(argv),
    "pre_encode.py": lambda argv: pre_encode.parser().parse_args(argv),
}
MADE_BY_OTHERS = ("runs/", "encoded/", "scan/", "recording.wav", "output", "my_", "codec/")


@pytest.mark.parametrize("line", LINES)
def test_commands_are_understood(line: str) -> None:
    """A renamed flag, command or config must not survive in the docs."""
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^(\w+ )*{words[0]}( \w+)*:", MAKEFILE, re.MULTILINE)
    elif program == "python" and words[0] in PARSERS:
        assert (ROOT / words[0]).is_file()
        PARSERS[words[0]](words[1:])
    elif program == "python" and words[:2] == ["-m", "snac_plugin"]:
        assert words[2] in COMMANDS
        if words[2] == "scan":
            scan.parser().parse_args(words[3:])
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert program == "pip"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"[\w./-]+\.(?:json|py|svg|png|ini)\b", TEXT))))
def test_files_exist(path: str) -> None:
    """A file that was moved must not survive in the docs."""
    if not path.startswith(MADE_BY_OTHERS) and "/" in path:
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "snac_plugin", ROOT / "docs"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LARGEST_README


def test_the_config_reference_is_that_of_the_schema() -> None:
    """A key that was added or renamed must not be missing in the docs."""
    reference = (ROOT / "docs" / "config.md").read_text()
    assert reference_table() in reference
    assert reference_table(CodecModelConfig) in reference


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in TEXT
