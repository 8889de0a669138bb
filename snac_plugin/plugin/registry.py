"""The types this package adds to stable-audio-tools, and the one place that touches its factories.

stable-audio-tools has no registry: each factory is a chain of comparisons, bound by name in several modules. `register()` wraps
each factory once, so that a type in the table `BUILDERS` is built here, any other is handed on unchanged, and an unknown one is
an error that lists the known ones. To add a type, add one line to it; a builder takes the arguments of the factory.
"""

import functools
import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Mapping
from typing import Any

from snac_plugin.diffusion.model_type import MODEL_TYPE
from snac_plugin.errors import ConfigError, InstallationError, did_you_mean
from snac_plugin.plugin import page_loading, sampling
from snac_plugin.plugin.import_hook import after_import
from snac_plugin.plugin.repairs import REPAIRS
from snac_plugin.plugin.wrapping import Function, Wrapper, wrap
from snac_plugin.tested_set import STABLE_AUDIO_TOOLS

__all__ = ["BUILDERS", "register"]


def _later(path: str) -> Function:
    """A function of this package that is imported when it is called: registering must not import torch."""
    module, _, name = path.rpartition(".")

    def build(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(f"snac_plugin.{module}"), name)(*args, **kwargs)

    return build


BUILDERS: dict[str, dict[str, Function]] = {
    "model": {MODEL_TYPE: _later("plugin.builders.model")},
    "pretransform": {"snac_hierarchical": _later("plugin.builders.pretransform")},
    "conditioner": {
        "snac_context": _later("plugin.builders.context_conditioner"),
        "class_mixture": _later("plugin.builders.class_mixture"),
        "quality": _later("plugin.builders.quality"),
        "chunk_position": _later("plugin.builders.chunk_position"),
    },
    "autoencoder": {"snac_rvq": _later("plugin.codec_builders.autoencoder")},
    "bottleneck": {"snac_rvq": _later("plugin.codec_builders.bottleneck")},
    "encoder": {"snac": _later("plugin.codec_builders.encoder")},
    "decoder": {"snac": _later("plugin.codec_builders.decoder")},
    "training_wrapper": {
        MODEL_TYPE: _later("plugin.training_builders.training_wrapper"),
        "autoencoder with snac_rvq": _later("plugin.codec_builders.training_wrapper"),
    },
    "demo_callback": {
        MODEL_TYPE: _later("plugin.training_builders.demo_callback"),
        "autoencoder with snac_rvq": _later("plugin.codec_builders.demo_callback"),
    },
    "ui": {MODEL_TYPE: _later("interface.page.create_page")},
}


def _factory(kind: str, where: str) -> Wrapper:
    """The wrapper of a factory whose first argument is a config that holds a type of `kind` at the JSON path `where`."""

    def wrapper(original: Function) -> Function:
        first = next(iter(inspect.signature(original).parameters))

        def build(*args: Any, **kwargs: Any) -> Any:
            if not args and first in kwargs:
                args = (kwargs.pop(first),)
            found = _type_in(args[0] if args else None, where.rpartition(".")[2], kind)
            if not isinstance(found, str | None):
                raise _unknown_type(kind, where, found, original)
            if found in BUILDERS[kind]:
                return BUILDERS[kind][found](*args, **kwargs)
            try:
                return original(*args, **kwargs)
            except (NotImplementedError, ValueError, AssertionError) as error:
                if _says_unknown(error, found):
                    raise _unknown_type(kind, where, found, original) from None
                raise

        return build

    return wrapper


def _type_in(config: Any, key: str, kind: str) -> Any:
    """The type that a config names; for an autoencoder with the type of its bottleneck, where that makes a difference."""
    found = config.get(key) if isinstance(config, Mapping) else None
    if found == "autoencoder" and f"{found} with {_bottleneck_in(config)}" in BUILDERS[kind]:
        return f"{found} with {_bottleneck_in(config)}"
    return found


def _bottleneck_in(config: Mapping[str, Any]) -> Any:
    model = config.get("model")
    section = model.get("bottleneck") if isinstance(model, Mapping) else None
    return section.get("type") if isinstance(section, Mapping) else None


def _autoencoders(original: Function) -> Function:
    """The parts of a SNAC codec have to fit each other: a builder that sees all of them goes before stable-audio-tools' own."""

    def build(config: Mapping[str, Any]) -> Any:
        builder = BUILDERS["autoencoder"].get(str(_bottleneck_in(config)))
        if builder is not None:
            return builder(config, original)
        _check_parts(config.get("model"))
        return original(config)

    return build


def _check_parts(section: Any) -> None:
    """What stable-audio-tools reads of an autoencoder without asking whether it is there."""
    for key, kind in {"encoder": dict, "decoder": dict, "latent_dim": int, "downsampling_ratio": int, "io_channels": int}.items():
        value = section.get(key) if isinstance(section, Mapping) else None
        if not isinstance(value, kind):
            expected = "an object with type and config" if kind is dict else "a whole number"
            raise ConfigError(f"model.{key}", "nothing" if value is None else repr(value)[:80], expected)


def _conditioners(original: Function) -> Function:
    """The conditioners' factory builds all of a list at once: ours are taken out, built here and put back in order."""

    def build(config: Mapping[str, Any], pretransform: Any = None) -> Any:
        ours = {info["id"]: info for info in config["configs"] if info.get("type") in BUILDERS["conditioner"]}
        others = [info for info in config["configs"] if info["id"] not in ours]
        try:
            multi = original({**config, "configs": others}, pretransform=pretransform)
        except ValueError as error:
            for index, info in enumerate(config["configs"]):
                if _says_unknown(error, info.get("type")):
                    where = f"model.conditioning.configs[{index}].type"
                    raise _unknown_type("conditioner", where, info.get("type"), original) from None
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
    text = str(error)
    return (text.startswith("Unknown") and text.endswith(f" {found}")) or (found is None and "type must be specified" in text)


def _unknown_type(kind: str, where: str, found: Any, original: Function) -> ConfigError:
    known = sorted({*_types_in(original), *(name for name in BUILDERS[kind] if " " not in name)})
    shown = "no type" if found is None else repr(found)[:80]
    return ConfigError(where, shown, f"one of {', '.join(known)}", did_you_mean(found, known))


def _types_in(original: Function) -> set[str]:
    """The types that a factory of stable-audio-tools compares with, read from its source: releases differ."""
    try:
        source = inspect.getsource(inspect.unwrap(original))
    except (OSError, TypeError):
        return set()
    conditions = re.findall(r"if \w*type (?:==|in) .*:", source)
    return set(re.findall(r"""["']([^"']+)["']""", " ".join(conditions)))


MODELS, TRAINING, PAGE = "stable_audio_tools.models", "stable_audio_tools.training", "stable_audio_tools.interface.gradio"
WRAPPERS: tuple[tuple[str, str, Wrapper], ...] = (
    (f"{MODELS}.factory", "create_model_from_config", _factory("model", "model_type")),
    (f"{MODELS}.factory", "create_pretransform_from_config", _factory("pretransform", "model.pretransform.type")),
    (f"{MODELS}.factory", "create_bottleneck_from_config", _factory("bottleneck", "model.bottleneck.type")),
    (f"{MODELS}.autoencoders", "create_encoder_from_config", _factory("encoder", "model.encoder.type")),
    (f"{MODELS}.autoencoders", "create_decoder_from_config", _factory("decoder", "model.decoder.type")),
    (f"{MODELS}.autoencoders", "create_autoencoder_from_config", _autoencoders),
    (f"{MODELS}.conditioners", "create_multi_conditioner_from_conditioning_config", _conditioners),
    (f"{MODELS}.utils", "copy_state_dict", page_loading.wrap_copy_state_dict),
    (f"{MODELS}.pretrained", "get_pretrained_model", functools.partial(page_loading.wrap_get_pretrained_model, BUILDERS["ui"])),
    (f"{MODELS}.utils", "remove_weight_norm_from_model", page_loading.wrap_remove_weight_norm),
    ("stable_audio_tools.inference.sampling", "sample_rf", sampling.wrap_sample_rf),
    (f"{TRAINING}.factory", "create_training_wrapper_from_config", _factory("training_wrapper", "model_type")),
    (f"{TRAINING}.factory", "create_demo_callback_from_config", _factory("demo_callback", "model_type")),
    (PAGE, "load_model", functools.partial(page_loading.wrap_load_model, BUILDERS["ui"])),
    (PAGE, "create_ui", functools.partial(page_loading.wrap_create_ui, BUILDERS["ui"])),
)
"""Module, function and wrapper of each function of stable-audio-tools that the plugin wraps."""

_registered = False


def register() -> None:
    """Make stable-audio-tools know this package's types, in modules already imported and in those yet to come; again is harmless.

    Raises:
        InstallationError: stable-audio-tools is missing, or another version than this package was written for.
    """
    global _registered
    if _registered:
        return
    _check_version()
    for module, name, wrapper in WRAPPERS:
        after_import(module, functools.partial(wrap, name=name, wrapper=wrapper))
    for module, repair in REPAIRS:
        after_import(module, repair)
    _registered = True


def _check_version() -> None:
    try:
        found = f"version {importlib.metadata.version('stable-audio-tools')}"
    except importlib.metadata.PackageNotFoundError:
        found = "no installed version"
    if found != f"version {STABLE_AUDIO_TOOLS}":
        expected = f"version {STABLE_AUDIO_TOOLS}, whose factories this package knows"
        raise InstallationError("stable-audio-tools", found, expected, f"pip install stable-audio-tools=={STABLE_AUDIO_TOOLS}")
