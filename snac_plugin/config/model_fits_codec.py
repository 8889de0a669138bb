"""Check a model config against the codec that it names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from snac_plugin.config.error_messages import Problem, config_error, did_you_mean, show
from snac_plugin.config.model_keys import SnacModelConfig
from snac_plugin.errors import ConfigError

SAMPLING = "model.diffusion.config.sampling"


class Grid(Protocol):
    """What has to be known of a codec's levels; `snac_plugin.levels.Levels` knows it."""

    @property
    def sample_rate(self) -> int: ...
    def __len__(self) -> int: ...
    @property
    def names(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def frame_samples(self) -> int: ...
    @property
    def grid_frames(self) -> int: ...


def check_against_codec(config: SnacModelConfig, levels: Grid, codec_name: str, source: str = "model config") -> None:
    """Raise if a model config does not fit its codec.

    Args:
        config: a checked model config.
        levels: the geometry of the codec's levels.
        codec_name: for the message.
        source: where the config was read from, for the message.

    Raises:
        ConfigError: with every problem and the number that would fit.
    """
    problems = [*_geometry(config, levels, codec_name), *_window(config, levels, codec_name), *_levels(config, levels.names)]
    if problems:
        raise config_error(problems, source)


def check_dataset_against_model(
    dataset: Mapping[str, Any], config: SnacModelConfig, levels: Grid, source: str = "dataset config"
) -> None:
    """Raise if a checked dataset config gives a model something else than it trains on: audio for latents, other crops.

    Raises:
        ConfigError: with every problem.
    """
    problems = []
    encoded = dataset["dataset_type"] == "pre_encoded" or bool(dataset.get("pre_encoded"))
    expects = config.training is not None and config.training.pre_encoded
    if encoded != expects:
        kind, advice = ("latents", "true") if encoded else ("audio", "false")
        expected = "latents, as training.pre_encoded of the model config says" if expects else "audio"
        problems.append(Problem("dataset_type", kind, expected, f"Or set training.pre_encoded to {advice} in the model config."))
    frames, crop = config.sample_size // levels.frame_samples, dataset.get("latent_crop_length")
    if encoded and crop is not None and crop != frames:
        problems.append(Problem("latent_crop_length", show(crop), f"{frames}, the frames in the model's sample_size"))
    if problems:
        raise config_error(problems, source)


def _geometry(config: SnacModelConfig, levels: Grid, codec: str) -> Iterator[Problem]:
    if config.model.io_channels != levels.channels:
        yield Problem("model.io_channels", show(config.model.io_channels), f"{levels.channels}, the latent channels of {codec}")
    if config.sample_rate != levels.sample_rate:
        yield Problem("sample_rate", show(config.sample_rate), f"{levels.sample_rate}, the sample rate of {codec}")
    if config.audio_channels != 1:
        yield Problem("audio_channels", show(config.audio_channels), "1", "SNAC is mono.")


def _window(config: SnacModelConfig, levels: Grid, codec: str) -> Iterator[Problem]:
    """The window is (context_chunks + 1) whole chunks, and a chunk is what SNAC encodes without padding of its own."""
    network = config.model.diffusion.config
    grid = levels.grid_frames
    if network.chunk_frames % grid:
        expected = f"a multiple of {grid} frames, which the attention of {codec} works in"
        close = " or ".join(str(n) for n in _neighbours(network.chunk_frames, grid))
        yield Problem("model.diffusion.config.chunk_frames", show(network.chunk_frames), expected, f"Nearest: {close}.")
        return
    chunk = network.chunk_frames * levels.frame_samples
    window = (network.context_chunks + 1) * chunk
    if config.sample_size == window:
        return
    expected = f"{window}: (context_chunks {network.context_chunks} + 1) * {chunk} samples a chunk"
    if config.sample_size % chunk:
        close = " or ".join(str(n) for n in _neighbours(config.sample_size, chunk))
        advice = f"A chunk is {network.chunk_frames} frames of {levels.frame_samples} samples; nearest whole chunks: {close}."
    else:
        advice = f"Or set context_chunks to {config.sample_size // chunk - 1}."
    yield Problem("sample_size", show(config.sample_size), expected, advice)


def _neighbours(value: int, grid: int) -> list[int]:
    return sorted({max(math.floor(value / grid), 1) * grid, math.ceil(value / grid) * grid})


def _levels(config: SnacModelConfig, names: str) -> Iterator[Problem]:
    """Every level that a config names exists, and every list that goes by level has the right length."""
    network = config.model.diffusion.config
    try:
        network.visibility.resolved(names)
    except ConfigError as error:
        yield Problem(error.where, str(error.found), error.expected, error.advice)
    for where, value in _by_level(config):
        for name in value:
            if name not in tuple(names):
                yield Problem(f"{where}.{name}", f"level {show(name)}", f"a level: {', '.join(names)}", did_you_mean(name, names))
    steps, weights = network.sampling.steps, network.sampling.step_weights
    if isinstance(steps, int) and steps < len(names):
        yield Problem(f"{SAMPLING}.steps", show(steps), f"at least {len(names)}, one for each level")
    if isinstance(steps, dict) and (left_out := [name for name in names if name not in steps]):
        yield Problem(f"{SAMPLING}.steps", f"no steps for {', '.join(left_out)}", f"steps for each level: {', '.join(names)}")
    if weights is not None and len(weights) != len(names):
        yield Problem(
            f"{SAMPLING}.step_weights", f"{len(weights)} weights", f"{len(names)}, one for each level ({', '.join(names)})"
        )
    demo_steps = config.training.demo.demo_steps if config.training else len(names)
    if demo_steps < len(names):
        yield Problem("training.demo.demo_steps", show(demo_steps), f"at least {len(names)}, one for each level")
    yield from _phases(config, names)


def _by_level(config: SnacModelConfig) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object of a config whose keys are levels, with its JSON path."""
    sampling, training = config.model.diffusion.config.sampling, config.training
    found: list[tuple[str, Any]] = [
        (f"{SAMPLING}.{key}", getattr(sampling, key)) for key in ("steps", "sampler", "shift", "temperature")
    ]
    if training is not None:
        found += [(f"training.{key}", getattr(training, key)) for key in ("timestep_sampler", "level_weights", "corruption")]
        if any(isinstance(value, dict) for value in training.timestep_sampler_options.values()):
            found.append(("training.timestep_sampler_options", training.timestep_sampler_options))
        for index, phase in enumerate(training.curriculum or ()):
            found.append((f"training.curriculum[{index}].level_weights", phase.level_weights))
    yield from ((where, value) for where, value in found if isinstance(value, dict))


def _phases(config: SnacModelConfig, names: str) -> Iterator[Problem]:
    curriculum = config.training.curriculum if config.training else None
    shared = config.training.level_weights if config.training else None
    if curriculum is None and shared and not any(shared.get(name, 1.0) for name in names):
        yield Problem("training.level_weights", show(shared), f"a weight above 0 for a level ({names})")
    for index, phase in enumerate(curriculum or ()):
        where = f"training.curriculum[{index}]"
        trained = names if phase.levels is None else phase.levels
        wrong = [name for name in trained if name not in names]
        if wrong or len(set(trained)) < len(trained):
            yield Problem(f"{where}.levels", show(phase.levels), f"levels out of {names}, each once")
            continue
        idle = [name for name, weight in (phase.level_weights or {}).items() if weight and name in names and name not in trained]
        if idle:
            yield Problem(f"{where}.level_weights", show(phase.level_weights), f"weights of the levels in training ({trained})")
            continue
        weights = phase.level_weights if phase.level_weights is not None else shared
        if weights and not any(weights.get(name, 1.0) for name in trained):
            yield Problem(f"{where}.level_weights", show(weights), f"a weight above 0 for a level in training ({trained})")
