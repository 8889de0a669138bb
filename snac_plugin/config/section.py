"""What every section of a JSON config shares, and values that are given once or per level."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from snac_plugin.errors import ConfigError, did_you_mean

S = TypeVar("S")
T = TypeVar("T")

ONCE, BY_LEVEL = "<once>", "<by level>"  # brackets: a tag must never equal a key that a user writes


class Section(BaseModel):
    """One object of a JSON config: frozen, strict about types, and without room for keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def once_or_by_level(value: Any) -> str:
    """The tag of a value that is given once, or as an object with one value a level."""
    return BY_LEVEL if isinstance(value, dict) else ONCE


Either = Annotated[Annotated[S, Tag(ONCE)] | Annotated[dict[str, T], Tag(BY_LEVEL)], Discriminator(once_or_by_level)]
"""An S for all levels, or an object with a T for each."""

PerLevel = Either[T, T]
"""A value for all levels, or an object with one value a level: `{"A": 8, "B": 10}`."""

# JSON has no tuples, so strictness is lifted for the container and stays for what it holds.
ListOf = Annotated[tuple[T, ...], Field(strict=False)]

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1, le=2**31 - 1)]  # as counts are stored
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]


def check_level(where: str, name: str, names: str) -> None:
    """ConfigError at the JSON path `where` unless `name` is one of the codec's levels, "ABCD"."""
    if name not in tuple(names):
        raise ConfigError(where, f'level "{name}"', f"a level of the codec: {', '.join(names)}", did_you_mean(name, names))


def spread(value: T | Mapping[str, T] | None, names: str, default: T, where: str = "value") -> tuple[T, ...]:
    """One value a level, coarsest first, from one for all, an object with one a level, or None for the default.

    `names` are the codec's levels, "ABCD"; a name that is none of them is a ConfigError at the JSON path `where`.
    """
    if not isinstance(value, Mapping):
        return (default if value is None else value,) * len(names)
    for name in value:
        check_level(f"{where}.{name}", name, names)
    return tuple(value.get(name, default) for name in names)
