"""Check a model config, and a dataset config, against the codec of the model: channels, sample_size, names of levels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from snac_plugin.config.model_keys import SnacModelConfig
from snac_plugin.config.section import check_level
from snac_plugin.config.training_keys import options_by_level
from snac_plugin.config.validation import Problem, raise_problems, show
from snac_plugin.diffusion.sampler_names import SAMPLERS
from snac_plugin.errors import ConfigError
from snac_plugin.levels import Levels, nearest_multiples

NETWORK = "model.diffusion.config"
SAMPLING = f"{NETWORK}.sampling"


def check_against_codec(config: SnacModelConfig, levels: Levels, codec_name: str, source: str = "model config") -> None:
    """Raise a ConfigError with every problem, and the number that would fit, if a checked model config does not fit its codec."""
    problems = [*_geometry_problems(config, levels, codec_name), *_sample_size_problems(config, levels, codec_name)]
    network = config.model.diffusion.config
    problems += _problem_of(network.visibility.resolved, levels.names)
    problems += _problem_of(network.patches, levels.names, levels.per_frame)
    for rule in (_level_name_problems, _steps_problems, _level_training_problems):
        problems += rule(config, levels.names)
    raise_problems(problems, source)


def holds_latents(dataset: Mapping[str, Any]) -> bool:
    """Whether a dataset holds what a codec or a pretransform made, not audio."""
    return dataset["dataset_type"] == "pre_encoded" or bool(dataset.get("pre_encoded"))


def check_dataset_against_model(
    dataset: Mapping[str, Any],
    config: SnacModelConfig,
    levels: Levels,
    source: str = "dataset config",
    codes: Mapping[str, Mapping[str, Any] | None] | None = None,
) -> None:
    """Raise a ConfigError if a dataset holds audio where the model expects latents (or the reverse), or crops of another length.

    `codes` are the details of each folder of packed codes, None of those that hold something else. Any model trains on codes.
    """
    folders = [path for path, details in (codes or {}).items() if details is not None]
    frames, crop = config.sample_size // levels.frame_samples, dataset.get("latent_crop_length", "nothing" if folders else None)
    problems = [*(_codes_problems(codes or {}, folders, frames) if folders else _contents_problems(dataset, config))]
    if holds_latents(dataset) and crop not in (None, frames):
        problems.append(Problem("latent_crop_length", str(crop), f"{frames}, the frames in the model's sample_size"))
    raise_problems(problems, source)


def _contents_problems(dataset: Mapping[str, Any], config: SnacModelConfig) -> Iterator[Problem]:
    """Audio and latents are not told apart by their shape."""
    holds, expects = holds_latents(dataset), config.training is not None and config.training.pre_encoded
    if holds != expects:
        kind, advice = ("latents", "true") if holds else ("audio", "false")
        expected = "latents, as training.pre_encoded of the model config says" if expects else "audio"
        yield Problem("dataset_type", kind, expected, f"Or set training.pre_encoded to {advice} in the model config.")


def _codes_problems(codes: Mapping[str, Mapping[str, Any] | None], folders: Sequence[str], frames: int) -> Iterator[Problem]:
    """Codes in all folders or in none, and no track shorter than a crop."""
    for path, details in codes.items():
        if details is None:
            yield Problem("datasets", f"codes in {folders[0]} and something else in {path}", "codes in all folders")
        elif details["min_frames"] < frames:
            found, advice = f"tracks of {details['min_frames']} frames or more", "it only encodes short tracks anew."
            expected = f"{frames} or more in {path}"
            yield Problem("datasets", found, expected, f"Run pre_encode.py again with this model config: {advice}")


def _problem_of(check: Callable[..., object], *args: Any) -> Iterator[Problem]:
    """What a check raises, to be told with all other problems."""
    try:
        check(*args)
    except ConfigError as error:
        yield Problem(error.where, str(error.found), error.expected, error.advice)


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
        objects |= {f"training.{key}": value for key, value in training if key != "condition_dropout"}
        if not options_by_level(training.timestep_sampler_options):
            del objects["training.timestep_sampler_options"]
        for index, phase in enumerate(training.curriculum or ()):
            objects[f"training.curriculum[{index}].level_weights"] = phase.level_weights
    for where, value in objects.items():
        for name in value if isinstance(value, dict) else ():
            yield from _problem_of(check_level, f"{where}.{name}", name, names)


def _steps_problems(config: SnacModelConfig, names: str) -> Iterator[Problem]:
    """Each level needs steps of its own, and a sampler of its objective."""
    sampling, each = config.model.diffusion.config.sampling, f"one for each level ({', '.join(names)})"
    objective = config.model.diffusion.diffusion_objective
    advice_of = {"steps": ""}
    if "euler" not in SAMPLERS[objective]:
        advice_of["sampler"] = f"Levels left out take euler, which objective {objective} does not know."
    for key, advice in advice_of.items():
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
