"""How the levels of a chunk are solved: a request resolved against the model's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snac_plugin.config import NetworkConfig, SamplingConfig, SnacModelConfig
from snac_plugin.config.model_keys import is_context
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, SAMPLERS
from snac_plugin.errors import UsageError
from snac_plugin.generation.request import Metadata, Request, Steps, check_sampler


@dataclass(frozen=True)
class Settings:
    """How the levels of a chunk are solved; one entry a level, coarsest first."""

    steps: tuple[int, ...]
    samplers: tuple[str, ...]
    shifts: tuple[float, ...]  # above 1 spends more steps near noise
    temperatures: tuple[float, ...]  # what logits are divided by where codes are drawn from them; 1 for other samplers
    guidance: Guidance

    def as_dict(self, names: str) -> dict[str, Any]:
        """For a JSON file, by the names of the levels."""
        per_level = {"steps": self.steps, "sampler": self.samplers, "shift": self.shifts, "temperature": self.temperatures}
        return {key: dict(zip(names, values, strict=True)) for key, values in per_level.items()} | {
            "cfg_scale": self.guidance.scale,
            "cfg_rescale": self.guidance.rescale,
            "cfg_interval": list(self.guidance.interval),
        }


def resolve(request: Request, network: NetworkConfig, names: str, objective: str) -> Settings:
    """The model config's sampling section with what a request overrides; UsageError for what this model cannot follow."""
    sampling = network.sampling
    if request.sampler is not None:
        check_sampler(request.sampler, SAMPLERS[objective], f" for {objective}")
    samplers = sampling.samplers(names) if request.sampler is None else (request.sampler,) * len(names)
    if CODE_SAMPLER in samplers and network.head == "velocity":
        raise UsageError("sampler", CODE_SAMPLER, "another one: this model predicts velocities, and it draws from logits of codes")
    if request.temperature not in (None, 1) and CODE_SAMPLER not in samplers:
        expected = f"the sampler {CODE_SAMPLER} beside it: {samplers[0]} draws no codes"
        raise UsageError("temperature", request.temperature, expected)
    values = sampling.temperatures(names) if request.temperature is None else (request.temperature,) * len(names)
    temperatures = tuple(value if name == CODE_SAMPLER else 1.0 for value, name in zip(values, samplers, strict=True))
    scale = sampling.cfg_scale if request.cfg_scale is None else request.cfg_scale
    rescale = sampling.cfg_rescale if request.cfg_rescale is None else request.cfg_rescale
    low, high = sampling.cfg_interval if request.cfg_interval is None else request.cfg_interval
    guidance = Guidance(scale, rescale, (low, high))
    return Settings(_steps(sampling, names, request.steps), samplers, sampling.shifts(names), temperatures, guidance)


def _steps(sampling: SamplingConfig, names: str, steps: Steps | None) -> tuple[int, ...]:
    if steps is None or isinstance(steps, int):
        if steps is not None and steps < len(names):
            raise UsageError("steps", steps, f"at least {len(names)} in all, one for each of the levels {', '.join(names)}")
        return sampling.steps_per_level(names, steps)
    counts = [steps.get(name, 0) for name in names] if isinstance(steps, Mapping) else steps
    if len(steps) != len(names) or any(not isinstance(count, int) or count < 1 for count in counts):
        raise UsageError("steps", steps, f"one number, or at least 1 step for each of the levels {', '.join(names)}")
    return tuple(counts)


def check_request(request: Request, config: SnacModelConfig, names: str) -> Settings:
    """Resolve a request, and check without weights that its metadata is what the conditioners read; UsageError where it is not."""
    for metadata in (request.conditioning or {}, request.negative_conditioning):
        for one in [] if metadata is None else [metadata] if isinstance(metadata, Mapping) else metadata:
            _check_conditioning(one, config)
    return resolve(request, config.model.diffusion.config, names, config.model.diffusion.diffusion_objective)


def _check_conditioning(metadata: Metadata, config: SnacModelConfig) -> None:
    section = config.model.conditioning
    kinds, aliases = ({c.id: c.type for c in section.configs}, section.default_keys) if section else ({}, {})
    known = section.keys if section else []
    if unknown := [key for key in metadata if key not in known]:
        expected = f"only {', '.join(known)}" if known else "nothing: this model was trained without conditioning"
        raise UsageError("conditioning", f"the key {unknown[0]!r}", expected)
    needed = [name for name, kind in kinds.items() if not is_context(kind)]  # a sample may do without context
    if missing := [name for name in needed if name not in metadata and aliases.get(name) not in metadata]:
        raise UsageError("conditioning", f"nothing for {', '.join(missing)}", f"values for {', '.join(known)}")
