"""The two trainings that `context.py` compares: with a curriculum, with full context at once."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from small_trainings import CHUNKS, CONTEXT_CHUNKS, PARTS, Training, model_config, training

from snac_plugin.config import check_model_config
from snac_plugin.levels import Levels
from snac_plugin.training.curriculum import curriculum_from_config

PHASES = {  # the first two take one of a training's parts each
    "no context": (1, {"context": {"0": 1.0}, "level_weights": {"A": 0.25}}),
    "one chunk": (1, {"context": {"0": 0.2, "1": 0.8}}),
    "two chunks": (6, {"context": {"0": 0.1, "1": 0.2, "2": 0.7}}),
}


def curriculum(steps: int) -> list[dict[str, Any]]:
    """The phases of a training of so many steps."""
    lengths = [steps * parts // PARTS for parts, _ in PHASES.values()]
    ends = [*lengths[:-1], None]
    return [{"name": name, "steps": end, **keys} for (name, (_, keys)), end in zip(PHASES.items(), ends, strict=True)]


def phase_ends(steps: int) -> list[int]:
    """The global step at the end of each phase."""
    parts = [sum(parts for parts, _ in list(PHASES.values())[: i + 1]) for i in range(len(PHASES))]
    return [steps * part // PARTS for part in parts]


def supervised_codes(config: Mapping[str, Any], levels: Levels, batch_size: int, steps: int) -> int:
    """Codes whose loss counted in the first steps of a training."""
    checked = check_model_config(dict(config))
    assert checked.training is not None
    phases = curriculum_from_config(checked.training, levels.names, CONTEXT_CHUNKS)
    frames = batch_size * CHUNKS * checked.model.diffusion.config.chunk_frames
    trained = [sum(n for n, w in zip(levels.per_frame, p.level_weights, strict=True) if w) for p in map(phases.at, range(steps))]
    return frames * sum(trained)


def trainings(args: argparse.Namespace, levels: Levels, codes: Path) -> list[Training]:
    """Both trainings, in folders named by their settings."""
    both = {"curriculum": curriculum(args.steps), "full context": None}
    configs = {name: model_config(args, levels, phases) for name, phases in both.items()}
    return [training("context", name, config, args.steps, args, codes) for name, config in configs.items()]
