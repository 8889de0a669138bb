"""How the levels of a chunk are solved: a request resolved against the model's config."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snac_plugin.config import NetworkConfig, SamplingConfig, SnacModelConfig
from snac_plugin.config.condition_checks import value_errors
from snac_plugin.config.condition_values import number_in, single
from snac_plugin.config.model_keys import ConditioningSection, conditions_missing
from snac_plugin.config.validation import show
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.diffusion.sampler_names import (
    CODE_SAMPLER,
    DRAWING,
    MASKED_SAMPLERS,
    NEEDS_UNCONDITIONED,
    OWN_ADDED_NOISE,
    SAMPLERS,
    check_sampler,
)
from snac_plugin.errors import UsageError, did_you_mean
from snac_plugin.generation.condition_inputs import condition_inputs, guided_names, may_be_left_out
from snac_plugin.generation.option import Metadata, as_written
from snac_plugin.generation.request import Request, Steps


@dataclass(frozen=True)
class Settings:
    """How the levels of a chunk are solved; one entry a level, coarsest first."""

    steps: tuple[int, ...]
    samplers: tuple[str, ...]
    shifts: tuple[float, ...]  # above 1 spends more steps near noise
    temperatures: tuple[float, ...]  # what logits are divided by where codes are drawn from them; 1 for other samplers
    guidance: Guidance
    strengths: tuple[float, ...] = ()  # noise level that a level's own codes get first: 1 begins with noise, 0 keeps them; () is 1
    confidence_noise: tuple[float, ...] = ()  # this and the next of masked samplers alone: see `Unmasking`
    remask: tuple[float, ...] = ()
    top_ps: tuple[float, ...] = ()  # codes are drawn of the likeliest that together reach this probability; () is 1
    added_noise: tuple[float, ...] = ()  # share of a step's noise that is drawn anew; () is each sampler's own
    put_back: bool = False  # known codes are put back in each step, for models that were not trained on known frames

    def strength(self, level: int) -> float:
        return self.strengths[level] if self.strengths else 1.0

    def as_dict(self, names: str) -> dict[str, Any]:
        """For a JSON file, by the names of the levels."""
        per_level = {"steps": self.steps, "sampler": self.samplers, "shift": self.shifts, "temperature": self.temperatures}
        per_level |= {"top_p": self.top_ps} if self.top_ps else {}
        per_level |= {"added_noise": self.added_noise} if self.added_noise else {}
        per_level |= {"confidence_noise": self.confidence_noise, "remask": self.remask} if self.remask else {}
        return (
            {key: dict(zip(names, values, strict=True)) for key, values in per_level.items()}
            | {
                "cfg_scale": self.guidance.scale,
                "cfg_rescale": self.guidance.rescale,
                "cfg_interval": list(self.guidance.interval),
                "cfg_schedule": self.guidance.schedule,
            }
            | ({"guidance": dict(self.guidance.by_condition)} if self.guidance.by_condition else {})
        )


def resolve(request: Request, network: NetworkConfig, names: str, objective: str) -> Settings:
    """The model config's sampling section with what a request overrides; UsageError for what this model cannot follow."""
    sampling = network.sampling
    if request.sampler is not None:
        check_sampler(request.sampler, SAMPLERS[objective], f" for {objective}")
    samplers = sampling.samplers(names) if request.sampler is None else (request.sampler,) * len(names)
    if CODE_SAMPLER in samplers and network.head == "velocity":
        raise UsageError("sampler", CODE_SAMPLER, "another one: this model predicts velocities, and it draws from logits of codes")
    for name in ("temperature", "top_p") if not {*DRAWING} & {*samplers} else ():
        if getattr(request, name) not in (None, 1):
            expected = f"the `sampler` {CODE_SAMPLER} beside it: {samplers[0]} draws no codes"
            if network.head == "velocity" or CODE_SAMPLER not in SAMPLERS[objective]:
                expected = "no such option: no sampler of this model draws codes"
            raise UsageError(name, getattr(request, name), expected)
    drawing = [name in DRAWING for name in samplers]
    asked = (request.temperature, sampling.temperatures(names)), (request.top_p, sampling.top_ps(names))
    temperatures, top_ps = (_where(drawing, value, own, 1.0) for value, own in asked)
    scale = request.cfg_scale
    if scale is None:
        scale = 1.0 if request.guidance else sampling.cfg_scale  # each condition's own scale takes the place of the one for all
    rescale = sampling.cfg_rescale if request.cfg_rescale is None else request.cfg_rescale
    low, high = sampling.cfg_interval if request.cfg_interval is None else request.cfg_interval
    schedule = sampling.cfg_schedule if request.cfg_schedule is None else request.cfg_schedule
    guidance = Guidance(scale, rescale, (low, high), request.guidance or {}, schedule)
    if request.guidance and NEEDS_UNCONDITIONED in samplers:
        raise UsageError("guidance", f"the sampler {NEEDS_UNCONDITIONED}", "another sampler: this one follows cfg_scale alone")
    steps, shifts = _steps(sampling, names, request.steps), sampling.shifts(names)
    masked = sampling.masked_options(names) if {*samplers} & {*MASKED_SAMPLERS} else {}
    strengths, put_back = _strengths(request, names), bool(request.put_back)
    extra: Any = {"top_ps": top_ps, "added_noise": _added_noise(request, sampling, names, samplers)}
    return Settings(steps, samplers, shifts, temperatures, guidance, strengths, put_back=put_back, **extra, **masked)


def _where(follows: Sequence[bool], value: float | None, own: Sequence[float], idle: float) -> tuple[float, ...]:
    """A value for all levels, or each one's own; `idle` for those that do not follow it."""
    return tuple((one if value is None else value) if does else idle for does, one in zip(follows, own, strict=True))


def _added_noise(request: Request, sampling: SamplingConfig, names: str, samplers: Sequence[str]) -> tuple[float, ...]:
    """The share of noise that each level draws anew; () where nobody says so."""
    if request.added_noise is None and sampling.added_noise is None:
        return ()
    if request.added_noise is not None and not {*OWN_ADDED_NOISE} & {*samplers}:
        expected = f"the `sampler` {' or '.join(OWN_ADDED_NOISE)} beside it: {samplers[0]} has its own noise"
        raise UsageError("added_noise", request.added_noise, expected)
    defaults = [OWN_ADDED_NOISE.get(name, 0.0) for name in samplers]
    said = sampling.added_noise if request.added_noise is None else request.added_noise
    by_level: Mapping[str, Any] = said if isinstance(said, Mapping) else dict.fromkeys(names, said)
    return tuple(by_level.get(n, own) if s in OWN_ADDED_NOISE else own for n, s, own in zip(names, samplers, defaults, strict=True))


def _strengths(request: Request, names: str) -> tuple[float, ...]:
    if request.keep_levels is not None:
        kept = request.keep_levels.upper()
        if not names.startswith(kept) or not 0 < len(kept) < len(names):
            raise UsageError("keep_levels", request.keep_levels, f"one of {', '.join(names[:n] for n in range(1, len(names)))}")
        return tuple(float(name not in kept) for name in names)
    if request.strength is None:
        return ()
    by_level = request.strength if isinstance(request.strength, Mapping) else dict.fromkeys(names, request.strength)
    check_each_level("strength", by_level, names)
    if not any(by_level.values()):
        raise UsageError("strength", request.strength, "more than 0 for a level at least, or nothing would change")
    return tuple(float(by_level[name]) for name in names)


def check_each_level(option: str, by_level: Any, names: str) -> None:
    """UsageError for what an option says by level of a level that the codec lacks, or not of all that it has, `names`."""
    if not isinstance(by_level, Mapping):
        return
    expected = f"one number, or one for each of the levels {', '.join(names)}"
    if (unknown := next((level for level in by_level if level not in tuple(names)), None)) is not None:
        raise UsageError(option, f"level {unknown}", expected, did_you_mean(unknown, names))
    if left_out := [level for level in names if level not in by_level]:
        said = f"{as_written(by_level)} and " if by_level else ""
        raise UsageError(option, f"{said}nothing for {', '.join(left_out)}", expected)


def check_known_frames(name: str, config: SnacModelConfig) -> None:
    """UsageError, with `name` as the option that makes frames known, for a model that was not trained on such."""
    training = config.training
    if training is None or training.infill is None or not training.infill.share:
        advice = "Or ask for `put_back`: it puts known codes back in each step, untrained, and joins less well."
        raise UsageError(name, "a model that was trained without known frames", "one trained with training.infill", advice)


def _steps(sampling: SamplingConfig, names: str, steps: Steps | None) -> tuple[int, ...]:
    if steps is None or isinstance(steps, int):
        if steps is not None and steps < len(names):
            raise UsageError("steps", steps, f"at least {len(names)} in all, one for each of the levels {', '.join(names)}")
        return sampling.steps_per_level(names, steps)
    check_each_level("steps", steps, names)
    counts = [steps[name] for name in names] if isinstance(steps, Mapping) else steps
    if len(counts) != len(names) or any(not isinstance(count, int) or count < 1 for count in counts):
        raise UsageError("steps", as_written(steps), f"one number, or at least 1 step for each of the levels {', '.join(names)}")
    return tuple(counts)


def check_request(request: Request, config: SnacModelConfig, names: str, complete: bool = True) -> Settings:
    """Resolve a request, and check without weights that its metadata is what the conditioners read; UsageError where it is not.

    Without `complete` conditions may be missing: they come from elsewhere, and positions in pieces do.
    """
    placed = [reads.name for reads in condition_inputs(config) if reads.kind == "position"]
    for metadata, negative in ((request.conditioning or {}, False), (request.negative_conditioning, True)):
        for one in [] if metadata is None else [metadata] if isinstance(metadata, Mapping) else metadata:
            where = "negative_conditioning" if negative else "conditioning"
            check_metadata(one, config, complete and not negative, where)  # what a negative leaves out is dropped
            _check_said_once(one, config, where)
            if (negative or not complete) and (place := next((name for name in placed if name in one), None)):
                raise UsageError(where, f"the key {place!r}", "no position: it is where the chunk lies in its piece")
    guided = guided_names(config)
    if unknown := [name for name in request.guidance or () if name not in guided]:
        expected = f"one of {', '.join(guided)}" if guided else "none: this model has no conditions and sees no context"
        raise UsageError("guidance", repr(unknown[0]), expected, did_you_mean(unknown[0], guided))
    if request.needs_known_frames and not request.put_back:
        check_known_frames(request.needs_known_frames, config)
    return resolve(request, config.model.diffusion.config, names, config.model.diffusion.diffusion_objective)


def _check_said_once(metadata: Metadata, config: SnacModelConfig, where: str) -> None:
    """UsageError for another value by the key that stands in for an id than by the id: the key would be ignored."""
    section = config.model.conditioning
    if section is None:
        return
    read = section.read_of(metadata)
    for name, key in section.default_keys.items():
        if name not in read or key not in metadata or key in read:
            continue
        said, other = single(metadata[name]), single(metadata[key])
        number = number_in(said)  # flags say "124", JSON 124
        if said != other and (number is None or number != number_in(other)):
            found = f"{key} {show(metadata[key])} beside {name} {show(metadata[name])}"
            raise UsageError(where, found, f"one of both: {key} stands in for {name} where nothing is said of that")


def check_metadata(metadata: Metadata, config: SnacModelConfig, complete: bool = True, where: str = "conditioning") -> None:
    """UsageError for a key that no conditioner reads, a value that it does not take, or, if `complete`, a missing one.

    Conditions that training dropped alone (`training.condition_dropout`) may be missing: they are dropped.
    """
    section = config.model.conditioning
    known = section.keys if section else []
    if unknown := [key for key in metadata if key not in known]:
        expected = f"only {', '.join(known)}" if known else "nothing: this model was trained without conditioning"
        raise UsageError(where, f"the key {unknown[0]!r}", expected, did_you_mean(unknown[0], known))
    if section is not None and complete:
        optional = may_be_left_out(config)
        check_complete(metadata, [name for name in section.needed if name not in optional], section.default_keys, SAY_EACH)
    check_values(metadata, section, where)


OF_DATA = "Training data get them from the dataset config's custom_metadata_module, or from the JSON beside codes."
SAY_EACH = 'Say each: conditioning={{"{0}": ...}} in Python, --condition "{0}=..." on the command line.'


def check_complete(metadata: Metadata, ids: Collection[str], default_keys: Mapping[str, str], advice: str = OF_DATA) -> None:
    """UsageError for metadata without a value for one of these conditioners, or for the key that stands in for it.

    `{0}` in the advice is the first of them.
    """
    if missing := conditions_missing(metadata, ids, default_keys):
        found = f"nothing for {', '.join(missing)}"
        keys = sorted({key for name in ids for key in (name, default_keys.get(name, name))})
        raise UsageError("conditioning", found, f"values for {', '.join(keys)}", advice.format(missing[0]))


def check_values(metadata: Metadata, section: ConditioningSection | None, where: str = "conditioning") -> None:
    """UsageError for a number outside its conditioner's range, or a name that is none of its classes.

    stable-audio-tools would take the nearest number, or no class, without a word. An empty name stands for no class.
    """
    for error in value_errors(metadata, section, f"{where}: "):
        raise error
