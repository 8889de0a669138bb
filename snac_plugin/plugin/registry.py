"""The types this package adds to stable-audio-tools, and the one place that touches its factories.

stable-audio-tools has no registry: each factory is a chain of comparisons, bound by name in several modules. Here is
the table {kind: {type: builder}}; `register()` wraps each factory once, so that a type in the table is built here, any
other is handed on unchanged, and an unknown one is an error that lists the known ones.

To add a type, add one line to `BUILDERS`. A builder takes what the factory takes and imports what it needs when called.
An autoencoder is known by the type of its bottleneck.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.metadata
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from snac_plugin.errors import ConfigError, InstallationError
from snac_plugin.plugin import builders, page_loading
from snac_plugin.plugin.import_hook import after_import
from snac_plugin.plugin.repairs import REPAIRS
from snac_plugin.tested_set import STABLE_AUDIO_TOOLS

__all__ = ["BUILDERS", "register"]

Builder = Callable[..., Any]

BUILDERS: dict[str, dict[str, Builder]] = {
    "model": {"diffusion_snac_dit": builders.model},
    "pretransform": {"snac_hierarchical": builders.pretransform},
    "autoencoder": {"snac_rvq": builders.autoencoder},
    "bottleneck": {"snac_rvq": builders.bottleneck},
    "encoder": {"snac": builders.encoder},
    "decoder": {"snac": builders.decoder},
    "conditioner": {"snac_context": builders.context_conditioner},
    "training_wrapper": {
        "diffusion_snac_dit": builders.training_wrapper,
        "autoencoder with snac_rvq": builders.codec_training_wrapper,
    },
    "demo_callback": {
        "diffusion_snac_dit": builders.demo_callback,
        "autoencoder with snac_rvq": builders.codec_demo_callback,
    },
    "ui": {"diffusion_snac_dit": builders.page},
}


@dataclass(frozen=True)
class Factory:
    """A factory of stable-audio-tools whose first argument is a config that holds a type.

    Args:
        kind: row of `BUILDERS`.
        module: module that defines it.
        name: its name there.
        where: JSON path of the type; the last part is its key.
    """

    kind: str
    module: str
    name: str
    where: str


FACTORIES = (
    Factory("model", "stable_audio_tools.models.factory", "create_model_from_config", "model_type"),
    Factory("pretransform", "stable_audio_tools.models.factory", "create_pretransform_from_config", "model.pretransform.type"),
    Factory("bottleneck", "stable_audio_tools.models.factory", "create_bottleneck_from_config", "model.bottleneck.type"),
    Factory("encoder", "stable_audio_tools.models.autoencoders", "create_encoder_from_config", "model.encoder.type"),
    Factory("decoder", "stable_audio_tools.models.autoencoders", "create_decoder_from_config", "model.decoder.type"),
    Factory("training_wrapper", "stable_audio_tools.training.factory", "create_training_wrapper_from_config", "model_type"),
    Factory("demo_callback", "stable_audio_tools.training.factory", "create_demo_callback_from_config", "model_type"),
)
AUTOENCODERS = ("stable_audio_tools.models.autoencoders", "create_autoencoder_from_config")
CONDITIONERS = ("stable_audio_tools.models.conditioners", "create_multi_conditioner_from_conditioning_config")
PAGE = "stable_audio_tools.interface.gradio"
COPY = ("stable_audio_tools.models.utils", "copy_state_dict")

_registered = False


def register() -> None:
    """Make stable-audio-tools know this package's types, in modules already imported and in those yet to come.

    Calling it again does nothing. It imports none of stable-audio-tools' modules by itself.

    Raises:
        InstallationError: stable-audio-tools is missing, or another version than this package was written for.
    """
    global _registered
    if _registered:
        return
    _check_version()
    for factory in FACTORIES:
        after_import(factory.module, functools.partial(_replace, name=factory.name, wrap=functools.partial(_wrap, factory)))
    after_import(AUTOENCODERS[0], functools.partial(_replace, name=AUTOENCODERS[1], wrap=_wrap_autoencoders))
    after_import(CONDITIONERS[0], functools.partial(_replace, name=CONDITIONERS[1], wrap=_wrap_conditioners))
    for name, wrap in page_loading.WRAPPERS.items():
        after_import(PAGE, functools.partial(_replace, name=name, wrap=functools.partial(wrap, BUILDERS["ui"])))
    after_import(COPY[0], functools.partial(_replace, name=COPY[1], wrap=page_loading.wrap_copy_state_dict))
    for module, repair in REPAIRS:
        after_import(module, repair)
    _registered = True


def _check_version() -> None:
    try:
        found = importlib.metadata.version("stable-audio-tools")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != STABLE_AUDIO_TOOLS:
        raise InstallationError(
            "stable-audio-tools",
            f"version {found}" if found != "none" else "no installed version",
            f"version {STABLE_AUDIO_TOOLS}, whose factories this package knows",
            f"pip install stable-audio-tools=={STABLE_AUDIO_TOOLS}",
        )


def _replace(module: ModuleType, name: str, wrap: Callable[[Builder], Builder]) -> None:
    """Wrap one function of a module, there and wherever it was already bound by name."""
    original = getattr(module, name)
    if getattr(original, "wrapped_by_snac_plugin", False):
        return
    wrapper = wrap(original)
    wrapper.wrapped_by_snac_plugin = True  # type: ignore[attr-defined]
    for other in [m for m in sys.modules.values() if isinstance(m, ModuleType)]:
        for key in [key for key, value in vars(other).items() if value is original]:
            setattr(other, key, wrapper)


def _wrap(factory: Factory, original: Builder) -> Builder:
    first = next(iter(inspect.signature(original).parameters))
    key = factory.where.rpartition(".")[2]

    @functools.wraps(original)
    def build(*args: Any, **kwargs: Any) -> Any:
        if not args and first in kwargs:
            args = (kwargs.pop(first),)
        found = args[0].get(key) if args and isinstance(args[0], Mapping) else None
        if found == "autoencoder" and f"{found} with {_bottleneck(args[0])}" in BUILDERS[factory.kind]:
            found = f"{found} with {_bottleneck(args[0])}"
        if found in BUILDERS[factory.kind]:
            return BUILDERS[factory.kind][found](*args, **kwargs)
        try:
            return original(*args, **kwargs)
        except (NotImplementedError, ValueError, AssertionError) as error:
            if _says_unknown(error, found):
                raise _unknown_type(factory.kind, factory.where, found, original) from None
            raise

    return build


def _bottleneck(config: Mapping[str, Any]) -> str | None:
    """The type of an autoencoder's bottleneck."""
    model = config.get("model")
    section = model.get("bottleneck") if isinstance(model, Mapping) else None
    return section.get("type") if isinstance(section, Mapping) else None


def _wrap_autoencoders(original: Builder) -> Builder:
    """The parts of a SNAC codec have to fit each other: a builder that sees all of them goes before stable-audio-tools' own."""

    @functools.wraps(original)
    def build(config: Mapping[str, Any]) -> Any:
        ours = BUILDERS["autoencoder"].get(str(_bottleneck(config)))
        return original(config) if ours is None else ours(config, original)

    return build


def _wrap_conditioners(original: Builder) -> Builder:
    """The conditioners' factory builds all of a list at once: ours are taken out, built here and put back in order."""

    @functools.wraps(original)
    def build(config: Mapping[str, Any], pretransform: Any = None) -> Any:
        ours = {info["id"]: info for info in config["configs"] if info.get("type") in BUILDERS["conditioner"]}
        others = [info for info in config["configs"] if info["id"] not in ours]
        try:
            multi = original({**config, "configs": others}, pretransform=pretransform)
        except ValueError as error:
            unknown = [i for i, info in enumerate(config["configs"]) if _says_unknown(error, info.get("type"))]
            if unknown:
                where = f"model.conditioning.configs[{unknown[0]}].type"
                raise _unknown_type("conditioner", where, config["configs"][unknown[0]].get("type"), original) from None
            raise
        if ours:
            built = dict(multi.conditioners)
            for name, info in ours.items():
                arguments = {"output_dim": config["cond_dim"], **info.get("config", {})}
                built[name] = BUILDERS["conditioner"][info["type"]](arguments, pretransform)
            multi.conditioners = type(multi.conditioners)({info["id"]: built[info["id"]] for info in config["configs"]})
        return multi

    return build


def _says_unknown(error: Exception, found: Any) -> bool:
    """Whether stable-audio-tools' error is about this very type, and not about something further inside the config."""
    said = str(error)
    return (said.startswith("Unknown") and said.endswith(f" {found}")) or (found is None and "type must be specified" in said)


def _unknown_type(kind: str, where: str, found: Any, original: Builder) -> ConfigError:
    known = sorted({*_types_in(original), *(name for name in BUILDERS[kind] if " " not in name)})
    nearest = difflib.get_close_matches(str(found), known, 1)
    shown = "no type" if found is None else f"{found!r}"
    return ConfigError(where, shown, f"one of {', '.join(known)}", f"Did you mean {nearest[0]!r}?" if nearest else "")


def _types_in(original: Builder) -> set[str]:
    """The types that a factory of stable-audio-tools compares with, read off its source: releases differ."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(original))))
    except (OSError, TypeError, SyntaxError):
        return set()
    types: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id.endswith("type"):
            constants = [item for side in node.comparators for item in ast.walk(side) if isinstance(item, ast.Constant)]
            types.update(item.value for item in constants if isinstance(item.value, str))
    return types
