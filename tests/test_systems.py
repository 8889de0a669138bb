"""docs/systems.md names the keys that switch parts of other systems on: each row trains a step and makes a sample."""

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.cli import COMMANDS, generate, pre_encode
from snac_plugin.config import check_model_config
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper

PAGE = (Path(__file__).parents[1] / "docs" / "systems.md").read_text()
ROWS = [line.strip("| ").split(" | ", 1) for line in PAGE.splitlines() if re.match(r"\| .*(`|\*\*)", line)]
SWITCHES = [(part, quoted) for part, cell in ROWS for quoted in re.findall(r"`(\{.*?\})`", cell)]
COMMAND_LINES = [quoted for _, cell in ROWS for quoted in re.findall(r"`((?:\w+\.py|python -m) .*?)`", cell)]
SAMPLING = "model.diffusion.config.sampling"
PARSERS = {"generate.py": generate.parser, "pre_encode.py": pre_encode.parser}
DOWNLOADED = ("t5", "clap_text")
"""Conditioners whose weights come from the hub: their configs are checked, and no more."""
TOLD = {"style": "house", "grade": "high"}
WIDTHS = {
    "global_cond_ids": "global_cond_dim",
    "prepend_cond_ids": "prepend_cond_dim",
    "cross_attention_cond_ids": "cond_token_dim",
}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


def base(codec: Path) -> dict[str, Any]:
    """A tiny model with today's head and one chunk of context."""
    config = tiny_model_config(codec, head="logits", context_chunks=1)
    sampler = {"sampler": CODE_SAMPLER}  # as all shipped configs
    return put(config, {"training.pre_encoded": False, "training.mask_padding": False, SAMPLING: sampler})


def put(config: dict[str, Any], switch: dict[str, Any]) -> dict[str, Any]:
    """Each value at its path; objects are joined with what is there, and conditioners get the widths that they need."""
    for path, value in switch.items():
        *parents, key = path.split(".")
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = {**section.get(key, {}), **value} if isinstance(value, dict) else value
        if key in WIDTHS:
            config["model"]["conditioning"]["cond_dim"] = 8
            config["model"]["diffusion"]["config"][WIDTHS[key]] = 8
            config["training"]["demo"]["demo_cond_from_batch"] = True
    return config


def test_every_row_says_how() -> None:
    """A row whose JSON or command was not found would be tried by nobody."""
    assert len(ROWS) > 30
    for part, cell in ROWS:
        assert re.search(r"`\{.*\}`|`(\w+\.py|python -m) |\*\*always\*\*", cell), part


@pytest.mark.slow
@pytest.mark.parametrize(("part", "switch"), SWITCHES, ids=[part for part, _ in SWITCHES])
def test_the_part_trains_and_generates(part: str, switch: str, codec: Path) -> None:
    """With losses and gradients that are finite; and the key is no default by another name, unless it says what is one."""
    changes = json.loads(switch)
    config = put(base(codec), changes)
    checked = check_model_config(config)
    kinds = [entry["type"] for entry in changes.get("model.conditioning.configs", ())]
    if {*DOWNLOADED} & {*kinds}:
        return
    torch.manual_seed(0)
    wrapper = training_wrapper(config, builders.model(config))
    wrapper._trainer = SimpleNamespace(  # type: ignore[assignment]
        global_step=0, accumulate_grad_batches=1, global_rank=0, world_size=1, optimizers=[]
    )
    wrapper._log_step = lambda *_: None  # type: ignore[method-assign]
    frames = 2 * CHUNK_FRAMES
    audio = torch.rand(2, 1, config["sample_size"]) - 0.5
    batch = torch.randint(4096, (2, 15, frames)) if checked.training and checked.training.pre_encoded else audio
    loss = wrapper.training_step((batch, [TOLD | {"timestamps": (0.0, 0.5)}] * 2), 0)
    loss.backward()
    gradients = [p.grad for p in wrapper.diffusion.model.parameters() if p.grad is not None]
    assert loss.isfinite()
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    conditioning = {key: TOLD[key] for key in wrapper.diffusion.read_ids if key in TOLD} or None
    made = wrapper.diffusion.eval().generate(seed=1, conditioning=conditioning, progress=False)
    assert made.isfinite().all()


@pytest.mark.parametrize(("part", "switch"), SWITCHES, ids=[part for part, _ in SWITCHES])
def test_the_switch_changes_the_config(part: str, switch: str, codec: Path) -> None:
    """A key that did nothing would be ticked off as a part that is there; these are the ones that are on by default."""
    on = {"AdaLN-SOLA", "normalised queries and keys", "the likeliest draws are kept first"}
    changed, plain = check_model_config(put(base(codec), json.loads(switch))), check_model_config(base(codec))
    if part not in on:
        assert changed != plain


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_are_understood(line: str) -> None:
    program, *words = shlex.split(line)
    if program == "python":
        assert words[2] in COMMANDS
    else:
        PARSERS[program]().parse_args(words)
