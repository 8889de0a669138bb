"""Check a model config, and a dataset config, against the codec of the model: channels, sample_size, names of levels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from snac_plugin.config.model_keys import SnacModelConfig
from snac_plugin.config.training_keys import options_by_level
from snac_plugin.config.validation import Problem, not_one_of, raise_problems, show
from snac_plugin.errors import ConfigError

if TYPE_CHECKING:  # configs are checked without torch, which `levels` imports
    from snac_plugin.levels import Levels

NETWORK = "model.diffusion.config"
SAMPLING = f"{NETWORK}.sampling"


def check_against_codec(config: SnacModelConfig, levels: Levels, codec_name: str, source: str = "model config") -> None:
    """Raise a ConfigError with every problem, and the number that would fit, if a checked model config does not fit its codec."""
    problems = [*_geometry_problems(config, levels, codec_name), *_sample_size_problems(config, levels, codec_name)]
    network = config.model.diffusion.config
    for fits in (network.visibility.resolved, lambda names: network.patches(names, levels.per_frame)):
        try:
            fits(levels.names)
        except ConfigError as error:
            problems.append(Problem(error.where, str(error.found), error.expected, error.advice))
    for rule in (_level_name_problems, _steps_problems, _level_training_problems):
        problems += rule(config, levels.names)
    raise_problems(problems, source)


def check_dataset_against_model(
    dataset: Mapping[str, Any], config: SnacModelConfig, levels: Levels, source: str = "dataset config"
) -> None:
    """Raise a ConfigError if a dataset holds audio where the model expects latents (or the reverse), or crops of another length."""
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
    raise_problems(problems, source)


def nearest_multiples(value: int, grid: int) -> str:
    """The multiples of `grid` around `value`, none of them 0, for a message: "60 or 64"."""
    return " or ".join(str(n) for n in sorted({max(value // grid, 1) * grid, math.ceil(value / grid) * grid}))


def _geometry_problems(config: SnacModelConfig, levels: Levels, codec: str) -> Iterator[Problem]:
    if config.model.io_channels != levels.channels:
        yield Problem("model.io_channels", show(config.model.io_channels), f"{levels.channels}, the latent channels of {codec}")
    if config.sample_rate != levels.sample_rate:
        yield Problem("sample_rate", show(config.sample_rate), f"{levels.sample_rate}, the sample rate of {codec}")
    if config.audio_channels != 1:
        yield Problem("audio_channels", show(config.audio_channels), "1", "SNAC is mono.")


def _sample_size_problems(config: SnacModelConfig, levels: Levels, codec: str) -> Iterator[Problem]:
    """sample_size is (context_chunks + 1) whole chunks, and a chunk is what SNAC encodes without padding of its own."""
    network = config.model.diffusion.config
    grid = levels.grid_frames
    if network.chunk_frames % grid:
        expected = f"a multiple of {grid} frames, which the attention of {codec} works in"
        advice = f"Nearest: {nearest_multiples(network.chunk_frames, grid)}."
        yield Problem(f"{NETWORK}.chunk_frames", show(network.chunk_frames), expected, advice)
        return
    chunk = network.chunk_frames * levels.frame_samples
    window = (network.context_chunks + 1) * chunk
    if config.sample_size == window:
        return
    expected = f"{window}: (context_chunks {network.context_chunks} + 1) * {chunk} samples a chunk"
    advice = f"Or set context_chunks to {config.sample_size // chunk - 1}."
    if config.sample_size % chunk:
        close = nearest_multiples(config.sample_size, chunk)
        advice = f"A chunk is {network.chunk_frames} frames of {levels.frame_samples} samples; nearest whole chunks: {close}."
    yield Problem("sample_size", show(config.sample_size), expected, advice)


def _level_name_problems(config: SnacModelConfig, names: str) -> Iterator[Problem]:
    """Keys that are no level of the codec, in every object of a config whose keys are levels."""
    sampling, training = config.model.diffusion.config.sampling, config.training
    objects = {f"{SAMPLING}.{key}": value for key, value in sampling}
    if training is not None:
        objects |= {f"training.{key}": value for key, value in training}
        if not options_by_level(training.timestep_sampler_options):
            del objects["training.timestep_sampler_options"]
        for index, phase in enumerate(training.curriculum or ()):
            objects[f"training.curriculum[{index}].level_weights"] = phase.level_weights
    for where, value in objects.items():
        for name in value if isinstance(value, dict) else ():
            if name not in tuple(names):
                yield not_one_of(f"{where}.{name}", name, "a level", names)._replace(found=f"level {show(name)}")


def _steps_problems(config: SnacModelConfig, names: str) -> Iterator[Problem]:
    """Each level needs steps of its own, and a sampler of its objective."""
    sampling, each = config.model.diffusion.config.sampling, f"one for each level ({', '.join(names)})"
    is_v = config.model.diffusion.diffusion_objective == "v"
    for key, advice in (("steps", ""), ("sampler", "Levels left out take euler, which objective v does not know."))[: 1 + is_v]:
        value = getattr(sampling, key)
        if isinstance(value, dict) and (left_out := [name for name in names if name not in value]):
            expected = f"{key} for each level: {', '.join(names)}"
            yield Problem(f"{SAMPLING}.{key}", f"no {key} for {', '.join(left_out)}", expected, advice)
    if isinstance(sampling.steps, int) and sampling.steps < len(names):
        yield Problem(f"{SAMPLING}.steps", show(sampling.steps), f"at least {len(names)}, {each}")
    if sampling.step_weights is not None and len(sampling.step_weights) != len(names):
        yield Problem(f"{SAMPLING}.step_weights", f"{len(sampling.step_weights)} weights", f"{len(names)}, {each}")
    if config.training is not None and config.training.demo.demo_steps < len(names):
        yield Problem("training.demo.demo_steps", show(config.training.demo.demo_steps), f"at least {len(names)}, {each}")


def _level_training_problems(config: SnacModelConfig, names: str) -> Iterator[Problem]:
    """In each phase a level has a weight, and no other than those in training."""
    if config.training is None:
        return
    shared = config.training.level_weights
    if config.training.curriculum is None and shared and not any(shared.get(name, 1.0) for name in names):
        yield Problem("training.level_weights", show(shared), f"a weight above 0 for a level ({names})")
    for index, phase in enumerate(config.training.curriculum or ()):
        where = f"training.curriculum[{index}]"
        trained = phase.levels or names
        weights = shared if phase.level_weights is None else phase.level_weights
        if len(set(trained) & set(names)) < len(trained):
            yield Problem(f"{where}.levels", show(phase.levels), f"levels out of {names}, each once")
        elif any(weight and name in names and name not in trained for name, weight in (phase.level_weights or {}).items()):
            yield Problem(f"{where}.level_weights", show(phase.level_weights), f"weights of the levels in training ({trained})")
        elif weights and not any(weights.get(name, 1.0) for name in trained):
            yield Problem(f"{where}.level_weights", show(weights), f"a weight above 0 for a level in training ({trained})")
