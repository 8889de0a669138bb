"""What a caller may ask of a sample. Imports nothing heavy: flags are checked before torch is imported."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snac_plugin.diffusion.sampler_names import DRAWING, MOST_STEPS, OWN_ADDED_NOISE, SAMPLERS, SCHEDULES, check_sampler
from snac_plugin.errors import UsageError, did_you_mean
from snac_plugin.generation.option import (
    COARSEST,
    CONDITIONS,
    Option,
    PerSample,
    Slider,
    Steps,
    Strength,
    are_steps,
    on_or_off,
    one_of,
    said_by_level,
    scales_in,
    shared,
    spans_in,
    steps_in,
    strength_in,
)
from snac_plugin.generation.option_rules import BESIDE_RECORDINGS, check_together


def option(*args: Any, **kwargs: Any) -> Any:
    """A field of a request, None by default; arguments as of `Option`."""
    return field(default=None, metadata={"option": Option(*args, **kwargs)})


AWAY = "what guidance leads away from"
SCALE_OF_EACH = "an object with a scale from 0 up for each condition"
COLDER = "below 1 samplers that draw codes draw likely ones more often"
LIKELIEST = "below 1 they draw of the likeliest codes that together reach this probability"
SHARE = {"fits": lambda value: 0 <= value <= 1, "expected": "a share between 0 and 1"}
COUNT = {"fits": lambda value: isinstance(value, int) and value > 0, "expected": "a whole number above 0"}
RECORDING = {"parse": str, "metavar": "FILE"}
SWITCH = {"parse": bool, "metavar": "", "fits": lambda value: isinstance(value, bool), "expected": "true or false"}
PAIRS = ("cfg_interval", "bridge")
WIDTHS = ("keep", "mono")
FORMATS = ("wav", "flac", "ogg")
SCALES = {"fits": lambda value: all(0 <= one < math.inf for one in value.values()), "expected": SCALE_OF_EACH, "repeated": True}
LENGTH = {"fits": lambda value: 0 < value < math.inf, "expected": "a number above 0"}


@dataclass(frozen=True)
class Request:
    """What is asked of each sample; None takes the model config's value.

    Args:
        seconds: length of the new audio; one chunk if no length is given.
        chunks: length in chunks of the model (6.144 s each at 32 kHz), in place of seconds.
        sample_size: length in audio samples, in place of both.
        conditioning: metadata of all samples, or a list with that of each.
        negative_conditioning: metadata that guidance leads away from; what it leaves out is dropped.
        steps: denoising steps of a chunk in all, one a level in order, or by level name.
        sampler: stable-audio-tools' name of the sampler, pingpong-codes, or masked for masked codes; for all levels.
        temperature: below 1 samplers that draw codes (pingpong-codes, masked) draw likely ones more often; for all levels.
        top_p: the same samplers draw of the likeliest codes that together reach this probability; for all levels.
        added_noise: share of each step's noise that euler and pingpong-codes draw anew; see `solve_by_codes`. For all levels.
        cfg_scale, cfg_rescale, cfg_interval, cfg_schedule: classifier-free guidance; see
            `snac_plugin.diffusion.guidance.Guidance`.
        format: of the file that is written, in place of a wav of 32-bit floats: "wav", "flac" or "ogg", at the bit depth of the
            recording in it. Not for `generate` and `stream`, which write none.
        guidance: scale of single conditions by name, and of "context"; cfg_scale is 1 then, unless it is given too.
        edit: a recording that is changed; audio as of `snac_plugin.generation.context.ContextInput`.
        repaint: (start, end) in seconds of the parts of `edit` that are generated anew.
        keep_levels: levels that keep the codes of `edit`, coarsest first: "A", "AB".
        strength: how far from `edit` each level goes, in [0, 1]: the noise level that its own codes get first; 0 keeps them.
        before: a recording that the new audio leads into.
        bridge: two recordings between which the new audio lies.
        loop: the end leads back into the beginning.
        from_second: continue a recording from here, not from its end.
        only_new: return what is new without the recordings around it.
        match: beside a join what is new has the level and coarse spectrum of the recording's nearest two seconds, and fades back; a
            variation has those of its source. True by default. Nothing is matched where there is no recording, codes say.
        width: "keep" gives what is new in a stereo recording the levels and coherence of its channels, by octave; "mono" none.
            Files keep it by default; what `generate` and `stream` return is mono by default.
        put_back: for models trained without `training.infill`: put the known codes back in each step.

    Raises:
        UsageError: a value that fits no model.
    """

    seconds: float | None = option("length of the new audio; one chunk by default", float, "S", **LENGTH)
    chunks: int | None = option("length in chunks of the model", int, "N", **COUNT)
    sample_size: int | None = option("", int, **COUNT)
    conditioning: PerSample | None = option("what the model's conditioners read", single="condition", **CONDITIONS)
    negative_conditioning: PerSample | None = option(AWAY, single="negative-condition", **CONDITIONS)
    steps: Steps | None = option(
        "denoising steps of a chunk: 48 in all, or A=6,B=8,C=10,D=24",
        steps_in,
        "N",
        fits=are_steps,
        expected=f"a whole number from 1 to {MOST_STEPS:,}, or one for each level: 48, or A=6,B=8,C=10,D=24",
        sampling=True,
    )
    sampler: str | None = option("stable-audio-tools' name of the sampler, or pingpong-codes", str, "NAME", sampling=True)
    temperature: float | None = option(
        COLDER,
        fits=lambda value: 0 < value < math.inf,
        expected="a finite number above 0",
        sampling=True,
        sliders=(Slider("Temperature", 0.1, 2, 0.05, COLDER, "drawn codes"),),
    )
    top_p: float | None = option(
        LIKELIEST,
        fits=lambda value: 0 < value <= 1,
        expected="a probability above 0, up to 1",
        sampling=True,
        sliders=(Slider("Top p", 0.05, 1, 0.05, LIKELIEST, "drawn codes"),),
    )
    added_noise: float | None = option(
        "0 to 1: share of each step's noise that euler (by default 0) and pingpong-codes (1) draw anew",
        sampling=True,
        **SHARE,
    )
    cfg_scale: float | None = option(
        "classifier-free guidance; 1 is none",
        fits=lambda value: 0 <= value < math.inf,
        expected="a number from 0 up",
        sampling=True,
        sliders=(Slider("Guidance", 0, 15, 0.1, "CFG scale; 1 is none", "guidance"),),
    )
    guidance: Mapping[str, float] | None = option(
        "guidance by one condition, or by context: style=3; may be repeated", scales_in, "NAME=SCALE", sampling=True, **SCALES
    )
    cfg_rescale: float | None = option(
        "0 to 1: keeps guidance from raising the variance",
        sampling=True,
        **SHARE,
        sliders=(Slider("Rescale of guidance", 0, 1, 0.05, needs="guidance"),),
    )
    cfg_interval: tuple[float, float] | None = option(
        "noise levels between which it acts",
        metavar=("LOW", "HIGH"),
        fits=lambda value: len(value) == 2 and 0 <= value[0] < value[1] <= 1,
        expected="two noise levels between 0 and 1, the smaller first",
        sampling=True,
        sliders=(
            Slider("Guidance from noise level", 0, 1, 0.01, needs="guidance"),
            Slider("Guidance up to noise level", 0, 1, 0.01, needs="guidance"),
        ),
    )
    cfg_schedule: str | None = option(
        "guidance along a level's steps: constant, rising (weak at first) or falling (weak at last)",
        str,
        sampling=True,
        **one_of(SCHEDULES),
    )
    format: str | None = option(
        "of the file: wav, flac or ogg, at the recording's own bit depth; a wav of 32-bit floats by default",
        str,
        **one_of(FORMATS),
    )
    edit: Any = option("recording to change", **RECORDING)
    repaint: Sequence[tuple[float, float]] | None = option(
        "seconds of it that are generated anew: 3.2:5.1, or several: 3.2:5.1,8:9",
        spans_in,
        "FROM:TO",
        fits=lambda value: len(value) > 0 and all(len(span) == 2 and 0 <= span[0] < span[1] < math.inf for span in value),
        expected="pairs of seconds, the earlier one first: 3.2:5.1, or in Python [(3.2, 5.1)]",
    )
    keep_levels: str | None = option("levels that keep its codes: A, AB, ABC; the finer ones are drawn anew", str, **COARSEST)
    strength: Strength | None = option(
        "how far each level goes from it: 0 keeps it, 1 forgets it; or A=0,B=0.3,C=0.5,D=0.7",
        strength_in,
        fits=lambda value: all(0 <= one <= 1 for one in (value.values() if isinstance(value, Mapping) else [value])),
        expected="a number from 0 to 1, or one for each level: 0.4, or A=0,B=0.3,C=0.5,D=0.7",
    )
    before: Any = option("recording that the new audio leads into", flag="lead-in", **RECORDING)
    bridge: tuple[Any, Any] | None = option(
        "recordings between which the new audio lies",
        str,
        ("FIRST", "SECOND"),
        fits=lambda value: isinstance(value, tuple | list) and len(value) == 2 and all(one is not None for one in value),
        expected="two recordings",
    )
    loop: bool | None = option("let the end lead into the beginning", **SWITCH)
    from_second: float | None = option("continue the recording from this second", float, "S", flag="from", **LENGTH)
    only_new: bool | None = option("write what is new without the recording", **SWITCH)
    match: bool | None = option(
        "beside joins, what is new has the level and coarse spectrum of the recording; on by default",
        on_or_off,
        choices=("on", "off"),
        fits=SWITCH["fits"],
        expected=SWITCH["expected"],
    )
    width: str | None = option(
        "keep: what is new in a stereo recording is as wide as that, the default for files; mono: the same in both channels",
        str,
        **one_of(WIDTHS),
    )
    put_back: bool | None = option("for models trained without training.infill: put known codes back in each step", **SWITCH)

    def __post_init__(self) -> None:
        for name, described in OPTIONS.items():
            if getattr(self, name) is not None:
                described.check(name, getattr(self, name))
        if self.sampler is not None:
            check_sampler(self.sampler, [name for names in SAMPLERS.values() for name in names])
        check_together(self)

    @property
    def options_set(self) -> tuple[str, ...]:
        """Names of the options that say something."""
        return tuple(name for name in OPTIONS if getattr(self, name) is not None and getattr(self, name) is not False)

    @property
    def needs_known_frames(self) -> str:
        """The option that only a model trained with `training.infill` can follow; "" if there is none."""
        return next((name for name in ("repaint", "before", "bridge", "loop") if name in self.options_set), "")

    @property
    def edits(self) -> bool:
        """Whether there are recordings on both sides of what is new, or under it."""
        return bool(self.recordings)

    @property
    def recordings(self) -> list[Any]:
        """The recordings that it names, first ones first."""
        return [one for one in (self.edit, self.before, *(self.bridge or ())) if one is not None]

    @property
    def matches(self) -> bool:
        """Whether what is new is brought to the level of the recording."""
        return self.match is not False

    def samples(self, chunk_samples: int, sample_rate: int) -> int:
        """Length in audio samples."""
        if self.sample_size is not None:
            return self.sample_size
        if self.seconds is not None:
            return max(1, round(self.seconds * sample_rate))
        return (self.chunks or 1) * chunk_samples

    def as_dict(self) -> dict[str, Any]:
        """What of a JSON file says which recordings are changed, and how."""
        return {name: getattr(self, name) for name in (*EDITING, *WRITING) if name in self.options_set} | {
            "match": self.matches,
            "width": self.width or WIDTHS[0],
        }


def options_in(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `generate` from the settings of an earlier sample, its JSON file. Its seed gives the same sample again.

    A sample of a batch comes with the whole batch: `seed` and `batch_size` are the batch's then.
    What says how files are written is left out: `writing_in` has it.
    """
    left_out = {"chunks", *WRITING}
    found = {name: settings[name] for name in (*OPTIONS, "seed") if settings.get(name) is not None and name not in left_out}
    found["seconds"] = settings.get("new_seconds", settings.get("seconds"))
    samplers = said_by_level(found, "sampler")
    for key, followers in (("temperature", DRAWING), ("top_p", DRAWING), ("added_noise", OWN_ADDED_NOISE)):
        values = said_by_level(found, key).items()
        found[key] = shared({name: one for name, one in values if samplers.get(name, samplers.get("")) in followers})
    found["sampler"] = shared(samplers)  # of all levels, or the config's own
    if "batch_seed" in settings:
        found |= {"seed": settings["batch_seed"], "batch_size": settings["batch_size"]}
    if "edit" in found:
        found.pop("seconds")
    if "continues" in settings or {"edit", "before", "bridge"} & found.keys():
        found = {"match": False, "width": "mono", **found}  # so were samples of earlier versions, which do not name it
    else:
        found = {name: value for name, value in found.items() if name not in BESIDE_RECORDINGS}
    pairs = [name for name in PAIRS if name in found]
    return {name: value for name, value in found.items() if value is not None} | {name: tuple(found[name]) for name in pairs}


def writing_in(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the same settings that say how files are written."""
    return {name: settings[name] for name in WRITING if settings.get(name) is not None}


CHANGING = ("edit", "repaint", "keep_levels", "strength", "before", "bridge", "loop", "from_second", "only_new", "put_back")
"""Names of the options that say what is done with recordings."""
EDITING = (*CHANGING, "match", "width")
"""Names of the options that change recordings."""
WRITING = ("format",)
"""Names of the options that say what is written to disk."""
OPTIONS: dict[str, Option] = {entry.name: entry.metadata["option"] for entry in dataclasses.fields(Request)}
"""Options of a request by name, in the order of flags."""
SAMPLING = tuple(name for name, described in OPTIONS.items() if described.sampling)
"""Names of the options that say how the levels are solved."""


def with_options(request: Request, options: Mapping[str, Any], others: Iterable[str] = ()) -> Request:
    """A request with other values; UsageError for a name that is neither an option nor among `others`, arguments of the call."""
    for name in options:
        if name not in OPTIONS:
            known = [name for name in (*others, *OPTIONS) if name not in ("request", "options", *WRITING)]
            raise UsageError(name, "an unknown argument", f"one of {', '.join(known)}", did_you_mean(name, known))
    return dataclasses.replace(request, **options)
