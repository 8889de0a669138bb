"""What a caller may ask of a sample. Imports nothing heavy: flags are checked before torch is imported."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snac_plugin.diffusion.sampler_names import SAMPLERS
from snac_plugin.errors import UsageError, did_you_mean

Steps = int | Sequence[int] | Mapping[str, int]
Metadata = Mapping[str, Any]


def steps_in(text: str) -> Steps:
    """Steps written as "48", "6,8,10,24" or "A=6,B=8,C=10,D=24"."""
    try:
        if "=" in text:
            pairs = [part.split("=") for part in text.split(",")]
            by_level = {name.strip().upper(): int(count) for name, count in pairs}
            if len(by_level) < len(pairs):
                raise ValueError
            return by_level
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError("steps", repr(text), "48, or A=6,B=8,C=10,D=24 with one entry a level") from None
    return counts[0] if len(counts) == 1 else counts


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError("conditioning", repr(text), f"a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise UsageError("conditioning", repr(text), "a JSON object")
    return value


@dataclass(frozen=True)
class Slider:
    """A number's input on the page."""

    label: str
    low: float  # a default outside the range widens it
    high: float
    step: float
    info: str = ""  # one line under the label
    needs: str = ""  # what a model must have for it to be shown: "guidance" (conditioners or context) or "drawn codes"


@dataclass(frozen=True)
class Option:
    """How one field of a request is read, checked and shown: its flag and its input on the page follow."""

    help: str = ""  # of its flag; "" for a field without one
    parse: Callable[[str], Any] = float
    metavar: str | tuple[str, str] = "X"  # two for a pair of values
    fits: Callable[[Any], bool] = lambda value: True  # with any model
    expected: str = ""  # what fits, in words
    sampling: bool = False  # it says how the levels are solved; its default is the config's `sampling` key of the same name
    sliders: tuple[Slider, ...] = ()  # one, or one for each value of a pair, whose names end in _low and _high

    def check(self, name: str, value: Any) -> None:
        try:
            fits = self.fits(value)
        except (TypeError, ValueError):  # a text among numbers, say
            fits = False
        if not fits:
            raise UsageError(name, value, self.expected)


def option(*args: Any, **kwargs: Any) -> Any:
    """A field of a request, None by default; arguments as of `Option`."""
    return field(default=None, metadata={"option": Option(*args, **kwargs)})


COLDER = "below 1 pingpong-codes draws likely codes more often"
COUNT = {"fits": lambda value: isinstance(value, int) and value > 0, "expected": "a whole number above 0"}


@dataclass(frozen=True)
class Request:
    """What is asked of each sample; None takes the model config's value.

    Args:
        seconds: length of the new audio; one chunk if no length is given.
        chunks: length in chunks of the model (6.144 s each at 32 kHz), in place of seconds.
        sample_size: length in audio samples, in place of both.
        conditioning: metadata of all samples, or a list with that of each.
        negative_conditioning: metadata that guidance leads away from.
        steps: denoising steps of a chunk in all, one a level in order, or by level name.
        sampler: stable-audio-tools' name of the sampler, or pingpong-codes, for all levels.
        temperature: below 1 pingpong-codes draws likely codes more often; for all levels.
        cfg_scale, cfg_rescale, cfg_interval: classifier-free guidance; see `snac_plugin.diffusion.guidance.Guidance`.

    Raises:
        UsageError: a value that fits no model.
    """

    seconds: float | None = option(
        "length of the new audio; one chunk by default", float, "S", lambda value: 0 < value < math.inf, "a number above 0"
    )
    chunks: int | None = option("length in chunks of the model", int, "N", **COUNT)
    sample_size: int | None = option("", int, **COUNT)
    conditioning: Metadata | Sequence[Metadata] | None = option("what the model's conditioners read", json_object, "JSON")
    negative_conditioning: Metadata | Sequence[Metadata] | None = option("what guidance leads away from", json_object, "JSON")
    steps: Steps | None = option("denoising steps of a chunk: 48 in all, or A=6,B=8,C=10,D=24", steps_in, "N", sampling=True)
    sampler: str | None = option("stable-audio-tools' name of the sampler, or pingpong-codes", str, "NAME", sampling=True)
    temperature: float | None = option(
        COLDER,
        fits=lambda value: 0 < value < math.inf,
        expected="a finite number above 0",
        sampling=True,
        sliders=(Slider("Temperature", 0.1, 2, 0.05, COLDER, "drawn codes"),),
    )
    cfg_scale: float | None = option(
        "classifier-free guidance; 1 is none",
        fits=lambda value: 0 <= value < math.inf,
        expected="a number from 0 up",
        sampling=True,
        sliders=(Slider("Guidance", 0, 15, 0.1, "CFG scale; 1 is none", "guidance"),),
    )
    cfg_rescale: float | None = option(
        "0 to 1: keeps guidance from raising the variance",
        fits=lambda value: 0 <= value <= 1,
        expected="a share between 0 and 1",
        sampling=True,
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

    def __post_init__(self) -> None:
        lengths = {name: getattr(self, name) for name in ("chunks", "seconds", "sample_size") if getattr(self, name) is not None}
        if len(lengths) > 1:
            found = " and ".join(f"{name} {value}" for name, value in lengths.items())
            raise UsageError("length", found, "one of chunks, seconds, sample_size")
        for name, described in OPTIONS.items():
            if getattr(self, name) is not None:
                described.check(name, getattr(self, name))
        if self.sampler is not None:
            check_sampler(self.sampler, [name for names in SAMPLERS.values() for name in names])

    def samples(self, chunk_samples: int, sample_rate: int) -> int:
        """Length in audio samples."""
        if self.sample_size is not None:
            return self.sample_size
        if self.seconds is not None:
            return max(1, round(self.seconds * sample_rate))
        return (self.chunks or 1) * chunk_samples


OPTIONS: dict[str, Option] = {entry.name: entry.metadata["option"] for entry in dataclasses.fields(Request)}
"""Options of a request by name, in the order of flags."""
SAMPLING = tuple(name for name, described in OPTIONS.items() if described.sampling)
"""Names of the options that say how the levels are solved."""


def check_sampler(sampler: str, known: Sequence[str], why: str = "") -> None:
    if sampler not in known:
        raise UsageError("sampler", repr(sampler), f"one of {', '.join(known)}{why}", did_you_mean(sampler, known))


def sample_seeds(seed: int, count: int) -> list[int]:
    """The seed of each sample: consecutive ones from `seed`, or from a random one for -1."""
    if count < 1:
        raise UsageError("batch_size", count, "1 or more")
    if seed < -1:
        raise UsageError("seed", seed, "0 or more, or -1 for a random one")
    if seed == -1:
        import numpy as np  # its global generator, as stable-audio-tools draws seeds

        seed = int(np.random.randint(0, 2**31))
    return list(range(seed, seed + count))
