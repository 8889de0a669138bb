"""What docs/page.md says works, and page, command and Python have the same options."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import soundfile
from pages import build, served

from snac_plugin.cli import generate
from snac_plugin.generation.option_rules import LENGTHS
from snac_plugin.generation.request import OPTIONS
from snac_plugin.interface.controls import CHANGES, OTHER_OPTIONS, SLIDERS, Controls
from snac_plugin.interface.page import create_page

DOCS = (Path(__file__).parents[2] / "docs" / "page.md").read_text()
ADDRESS = "http://127.0.0.1:7860"


def test_page_command_and_python_have_the_same_options(tmp_path: Path) -> None:
    """An option that is added to one of them has to come to all."""
    python = {name for name, option in OPTIONS.items() if option.help}
    assert {action.dest for action in generate.parser()._actions} & OPTIONS.keys() == python
    conditioning = [{"id": "prompt", "type": "t5", "config": {}}]
    shown = Controls(*_model(tmp_path, conditioning)).components.keys()
    inputs = {**SLIDERS, **CHANGES, **{name: (name,) for name in ("seconds", "steps", "sampler", *OTHER_OPTIONS)}}
    inputs |= {"conditioning": ("prompt",), "negative_conditioning": ("negative_prompt",)}
    on_page = {name for name, parameters in inputs.items() if shown >= {*parameters}}
    assert python - on_page == {*LENGTHS} & python - {"seconds"}, "a length in chunks is one in seconds"
    assert on_page <= python


def _model(folder: Path, conditioning: list[dict[str, Any]]) -> tuple[Any, Any]:
    from tiny import LEVELS_32KHZ, tiny_model_config, write_tiny_codec

    from snac_plugin.config import check_model_config

    config = tiny_model_config(write_tiny_codec(folder), global_cond_dim=8, context_chunks=1)
    config["model"]["conditioning"] = {"configs": conditioning, "cond_dim": 8}
    config["model"]["diffusion"]["global_cond_ids"] = [entry["id"] for entry in conditioning]
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return check_model_config(config), LEVELS_32KHZ


def test_every_parameter_is_in_the_docs(tmp_path: Path) -> None:
    table = DOCS[DOCS.index("| parameter |") :]
    named = set(re.findall(r"`(\w+)`", table))
    own = Controls(*_model(tmp_path, [{"id": "prompt", "type": "t5", "config": {}}])).components.keys()
    first_of_levels = {name for name in own if re.fullmatch(r"\w+_[bcd]", name)}
    assert own - first_of_levels - {"prompt", "negative_prompt"} <= named


@pytest.mark.slow
def test_the_lines_of_the_docs_work(tmp_path: Path) -> None:
    python = re.search(r"```python\n(.*?)```", DOCS, re.DOTALL)
    bash = re.search(r"```bash\n(.*?)```", DOCS, re.DOTALL)
    assert python is not None
    assert bash is not None
    with served(create_page(*build(tmp_path, context_chunks=1, chunk_frames=32))) as client:
        address = client.src.rstrip("/")
        names: dict[str, Any] = {}
        exec(python[1].replace(ADDRESS, address), names)
        assert names["settings"]["seed"] == 1
        assert soundfile.info(names["audio"]).frames == 96000
        if shutil.which("curl"):
            told = subprocess.run(["bash", "-c", bash[1].replace(ADDRESS, address)], capture_output=True, text=True, timeout=120)
            event, data = told.stdout.strip().splitlines()[-2:]
            assert event == "event: complete"
            assert json.loads(data.removeprefix("data: "))[2] == 1
