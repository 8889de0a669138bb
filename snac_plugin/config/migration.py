"""What a config of an earlier version means: it keeps the defaults that were valid when it was trained.

A checkpoint holds its model config as written, without defaults, and the version of the defaults beside it.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from snac_plugin.config.shipped_codecs import codec_meant
from snac_plugin.diffusion.model_type import MODEL_TYPE

CONFIG_VERSION = 4
"""Version of what configs mean. Raise it when a default of `diffusion_snac_dit` changes, and put the former value into the table,
or when a shipped codec gets another name (shipped_codecs.py)."""

FIRST_VERSION = 1
"""Version of a checkpoint without a note."""


class FormerDefault(NamedTuple):
    version: int  # the last one that had it
    path: tuple[str, ...]  # of the key, in model.diffusion
    value: Any  # what the key meant when it was left out
    objective: str | None = None  # of the models that had this default; None: of all
    needs: str | None = None  # a list in model.diffusion without which the key says nothing


FORMER_DEFAULTS = (
    FormerDefault(1, ("config", "head"), "velocity"),
    FormerDefault(1, ("config", "sampling", "sampler"), "euler", "rectified_flow"),
    FormerDefault(2, ("config", "guided_global_cond"), False, needs="global_cond_ids"),
)


def with_former_defaults(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A copy of a model config that says explicitly what it left out when it was written for an earlier version.

    It names shipped codecs as they are called now.
    """
    filled = copy.deepcopy(dict(config))
    model = filled.get("model")
    if isinstance(model, dict):
        _rename_codecs(model, version)
    diffusion = model.get("diffusion") if isinstance(model, dict) else None
    if filled.get("model_type") != MODEL_TYPE or not isinstance(diffusion, dict):
        return filled  # the config's check says what is wrong
    for former in FORMER_DEFAULTS:
        if version > former.version or former.objective not in (None, diffusion.get("diffusion_objective", "rectified_flow")):
            continue
        if former.needs is not None and not diffusion.get(former.needs):
            continue
        section: Any = diffusion
        for name in former.path[:-1]:
            section = section.setdefault(name, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault(former.path[-1], former.value)
    return filled


def _rename_codecs(model: dict[str, Any], version: int) -> None:
    """Of the section `model`: the codec of a pretransform, and the one that a codec's training began from."""
    pretransform = model.get("pretransform")
    codec = pretransform.get("config") if isinstance(pretransform, dict) else None
    for section, key in ((codec, "codec"), (model, "pretrained")):
        if isinstance(section, dict) and isinstance(section.get(key), str):
            section[key] = codec_meant(section[key], version)
