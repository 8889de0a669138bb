"""What each sample of a batch has of its own: its seed, its metadata. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from typing import Any

from snac_plugin.diffusion.sampler_names import OF_THE_BATCH
from snac_plugin.errors import UsageError
from snac_plugin.generation.option import Metadata, PerSample
from snac_plugin.generation.request import Request
from snac_plugin.wording import counted

PER_SAMPLE = ("conditioning", "negative_conditioning")
"""Options that may be a list with one entry a sample."""


def with_conditions(common: PerSample | None, conditions: PerSample) -> PerSample:
    """Common conditions, of all samples or of each, with others in place of those of the same name; a list replaces all of them."""
    if not isinstance(conditions, Mapping) or common is None:
        return conditions
    return {**common, **conditions} if isinstance(common, Mapping) else [{**one, **conditions} for one in common]


def overlaid(below: Metadata, above: Metadata, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Metadata with other metadata over it, key by key; `aliases` are the keys that stand in for ids.

    An id below gives way to its alias above: it would be read in place of that.
    """
    return {**{name: value for name, value in below.items() if aliases.get(name) not in above}, **above}


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


def per_sample(conditioning: PerSample | None, batch_size: int) -> list[Metadata]:
    """The metadata of each sample, of one for all, a list, or none."""
    if conditioning is None or isinstance(conditioning, Mapping):
        return [conditioning or {}] * batch_size
    if len(conditioning) != batch_size:
        raise UsageError("conditioning", counted(len(conditioning), "sample"), f"{batch_size}, the batch size, or one for all")
    return list(conditioning)


def told_of_batch(request: Request, count: int, size: int, start: int) -> dict[str, Any]:
    """What a request says by sample to `size` samples from number `start` on, of `count` in all: lists stay lists."""
    told: dict[str, Any] = {name: getattr(request, name) for name in PER_SAMPLE}
    for name, metadata in told.items():
        if metadata is None or isinstance(metadata, Mapping):
            continue
        if len(metadata) not in (count, size):
            raise UsageError(name, counted(len(metadata), "sample"), f"{count}, the number of samples, or one for all")
        told[name] = [metadata[number % len(metadata)] for number in range(start, min(start + size, count))]
    return told


def solved_as_one(samplers: Any) -> list[str]:
    """Those of the samplers, by level or of all, that solve the samples of a batch as one."""
    found = [*samplers.values()] if isinstance(samplers, Mapping) else [samplers]
    return [name for name in OF_THE_BATCH if name in found]


def check_batch(settings: Mapping[str, Any], where: str = "settings", expected: str = "") -> None:
    """UsageError for one sample of a batch that was solved as one, from a version that did not note the batch."""
    size, names = settings.get("batch_size"), solved_as_one(settings.get("sampler"))
    if isinstance(size, int) and size > 1 and names and "batch_seed" not in settings:
        found = f"one of {size} samples that {', '.join(names)} made together"
        raise UsageError(where, found, expected or '"batch_seed" in it, the seed of the first of them: all come again')


def place_in_batch(settings: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Number of a sample in its batch, from 1 on, how many there are, and the batch's seed; None of one that was made alone."""
    if "batch_seed" not in settings or int(settings["batch_size"]) < 2:
        return None
    first = int(settings["batch_seed"])
    return int(settings["seed"]) - first + 1, int(settings["batch_size"]), first


def settings_of_each(seeds: Sequence[int], settings: Mapping[str, Any], told: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The settings of each sample, by its seed; those of the whole batch, if there is one.

    Some samplers solve all samples as one. With the others, too, the size of the batch decides how sums are rounded, and where a
    code is drawn the last bit may decide.
    """
    first: dict[str, Any] = {"batch_size": len(seeds)}
    if len(seeds) > 1:
        return {seed: {"seed": seed, **first, "batch_seed": seeds[0], **settings, **told} for seed in seeds}
    own = {name: one[0] if isinstance(one, list) else one for name, one in told.items()}
    return {seeds[0]: {"seed": seeds[0], **first, **settings, **own}}
