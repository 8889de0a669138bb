"""`config` of the conditioners that this package adds, and what kind of value each type of conditioner reads."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from snac_plugin.config.section import AtLeastOne, ListOf, Section
from snac_plugin.config.validation import Problem, show, validated
from snac_plugin.errors import ConfigError

QUALITIES = ("very low", "low", "medium", "high", "very high")
"""Classes of `quality`, worst first."""


class _OurConditioner(Section):
    output_dim: AtLeastOne | None = Field(default=None, description="channels; cond_dim by default")


class ClassMixtureConfig(_OurConditioner):
    """A class by name, or several with weights; see `snac_plugin.model.conditioners.ClassMixture`."""

    classes: ListOf[Annotated[str, Field(min_length=1)]] = Field(min_length=1, description="names of the classes")


class QualityConfig(_OurConditioner):
    """One of five classes; see `snac_plugin.model.conditioners.Quality`."""

    thresholds: Annotated[tuple[float, float, float, float], Field(strict=False)] = Field(
        description="scores at which each next class begins, from very low to low, medium, high and very high"
    )


class ChunkPositionConfig(_OurConditioner):
    """Where in its piece a chunk lies; see `snac_plugin.model.conditioners.ChunkPosition`."""

    most_chunks: AtLeastOne = Field(default=64, description="length in chunks of the longest piece that is told apart")


OUR_CONDITIONERS: dict[str, type[_OurConditioner]] = {
    "class_mixture": ClassMixtureConfig,
    "quality": QualityConfig,
    "chunk_position": ChunkPositionConfig,
}

NUMBER_TYPES = {"number": (0, 1), "int": (0, 512)}
"""Conditioners of numbers, with the bounds that their constructors assume."""

KINDS = {
    "number": "number",
    "int": "whole number",
    "list": "class",
    "class_mixture": "mixture",
    "quality": "quality",
    "chunk_position": "position",
    "t5": "text",
    "clap_text": "text",
    "phoneme": "text",
    "lut": "text",
    "clap_audio": "audio",
    "pretransform": "audio",
    "source_mix": "sources",
    "snac_context": "context",
}
"""What values the types of conditioners read."""

FILLED_IN = ("snac_context", "chunk_position")
"""Types that a sample's metadata may leave out."""


def check_conditioner(kind: str, config: Mapping[str, Any], index: int | str = "", source: str = "model config") -> Any:
    """The checked config of a conditioner of this package's type `kind`, entry `index` of the list; ConfigError if it is wrong."""
    within = ("model", "conditioning", "configs", index, "config") if isinstance(index, int) else (kind,)
    return validated(OUR_CONDITIONERS[kind], config, source, lambda checked: _problems(checked, within), within)


def conditioner_problems(kind: str, config: Mapping[str, Any], index: int) -> Iterator[Problem]:
    """The same as problems among those of a whole config; of other types' configs only bounds and names are checked."""
    try:
        if kind in OUR_CONDITIONERS:
            check_conditioner(kind, config, index)
    except ConfigError as error:
        yield Problem(error.where, str(error.found), error.expected, error.advice.removesuffix("(In model config.)").strip())
    where = f"model.conditioning.configs[{index}].config"
    for key in ("min_val", "max_val") if kind in ("number", "int") else ():  # stable-audio-tools' own, taken as they are
        value = config.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield Problem(f"{where}.{key}", show(value), "a number")
    names = config.get("options") if kind == "list" else ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        yield Problem(f"{where}.options", show(names) if "options" in config else "nothing", "a list of names")


def _problems(checked: _OurConditioner, within: tuple[str | int, ...]) -> Iterator[Problem]:
    where = f"model.conditioning.configs[{within[3]}].config" if len(within) > 1 else str(within[0])
    if isinstance(checked, ClassMixtureConfig):
        names = [name.casefold() for name in checked.classes]
        for index, name in enumerate(checked.classes):
            if names.index(name.casefold()) < index:
                yield Problem(f"{where}.classes[{index}]", show(name), "a name of its own for each class")
            if {*name} & {*":,="}:
                yield Problem(f"{where}.classes[{index}]", show(name), "a name without : , and =, which separate weights")
    if isinstance(checked, QualityConfig) and [*checked.thresholds] != sorted({*checked.thresholds}):
        yield Problem(f"{where}.thresholds", show(list(checked.thresholds)), "four scores, each above the one before")
