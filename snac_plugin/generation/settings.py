"""How the stages of a chunk are solved: the config's sampling section with what a caller overrides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snac_plugin.config import SamplingConfig
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER
from snac_plugin.errors import Mismatch


@dataclass(frozen=True)
class Settings:
    """How the stages of a chunk are solved; one entry a level, coarsest first.

    Args:
        steps: denoising steps.
        samplers: stable-audio-tools' names.
        shifts: above 1 spends more steps near noise.
        temperatures: what logits are divided by where codes are drawn from them; other samplers have none.
        guidance: classifier-free guidance of all levels.
    """

    steps: tuple[int, ...]
    samplers: tuple[str, ...]
    shifts: tuple[float, ...]
    temperatures: tuple[float, ...]
    guidance: Guidance

    def as_dict(self, names: str) -> dict[str, Any]:
        """For a file beside the audio."""
        return {
            "steps": dict(zip(names, self.steps, strict=True)),
            "sampler": dict(zip(names, self.samplers, strict=True)),
            "shift": dict(zip(names, self.shifts, strict=True)),
            "temperature": dict(zip(names, self.temperatures, strict=True)),
            "cfg_scale": self.guidance.scale,
            "cfg_rescale": self.guidance.rescale,
            "cfg_interval": list(self.guidance.interval),
        }


def settings_from(
    sampling: SamplingConfig,
    names: str,
    *,
    steps: int | Sequence[int] | Mapping[str, int] | None = None,
    sampler: str | None = None,
    temperature: float | None = None,
    cfg_scale: float | None = None,
    cfg_rescale: float | None = None,
    cfg_interval: tuple[float, float] | None = None,
) -> Settings:
    """The config's sampling section with what a caller overrides.

    Args:
        sampling: the section.
        names: the codec's level names.
        steps: in all (split by the section's weights), one a level in order, or by level name.
        sampler: for all levels.
        temperature: for all levels.
        cfg_scale, cfg_rescale, cfg_interval: see `Guidance`.
    """
    samplers = sampling.samplers(names) if sampler is None else (sampler,) * len(names)
    return Settings(
        steps=_steps(sampling, names, steps),
        samplers=samplers,
        shifts=sampling.shifts(names),
        temperatures=_temperatures(sampling.temperatures(names), temperature, samplers),
        guidance=_guidance(
            sampling.cfg_scale if cfg_scale is None else cfg_scale,
            sampling.cfg_rescale if cfg_rescale is None else cfg_rescale,
            sampling.cfg_interval if cfg_interval is None else cfg_interval,
        ),
    )


def _steps(sampling: SamplingConfig, names: str, steps: int | Sequence[int] | Mapping[str, int] | None) -> tuple[int, ...]:
    expected = f"one number, or at least 1 step for each of the levels {', '.join(names)}"
    if steps is None or isinstance(steps, int):
        if steps is not None and steps < len(names):
            raise Mismatch("steps", steps, f"at least {len(names)} in all, one for each of the levels {', '.join(names)}")
        return sampling.steps_per_level(names, steps)
    if isinstance(steps, Mapping):
        if set(steps) != set(names):
            raise Mismatch("steps", dict(steps), expected)
        steps = [steps[name] for name in names]
    if len(steps) != len(names) or any(not isinstance(n, int) or n < 1 for n in steps):
        raise Mismatch("steps", steps, expected)
    return tuple(steps)


def _temperatures(own: tuple[float, ...], given: float | None, samplers: Sequence[str]) -> tuple[float, ...]:
    """What is given for all levels, or their own; 1 where no codes are drawn."""
    if given is not None and not 0 < given < math.inf:
        raise Mismatch("temperature", given, "a finite number above 0")
    if given not in (None, 1) and CODE_SAMPLER not in samplers:
        raise Mismatch("temperature", given, f"the sampler {CODE_SAMPLER} beside it: {samplers[0]} draws no codes")
    wanted = own if given is None else (given,) * len(own)
    return tuple(value if name == CODE_SAMPLER else 1.0 for value, name in zip(wanted, samplers, strict=True))


def _guidance(scale: float, rescale: float, interval: tuple[float, float]) -> Guidance:
    if not 0 <= scale < math.inf:
        raise Mismatch("cfg_scale", scale, "a number from 0 up")
    if not 0 <= rescale <= 1:
        raise Mismatch("cfg_rescale", rescale, "a share between 0 and 1")
    low, high = interval
    if not 0 <= low < high <= 1:
        raise Mismatch("cfg_interval", tuple(interval), "two noise levels between 0 and 1, the smaller first")
    return Guidance(scale, rescale, (low, high))
