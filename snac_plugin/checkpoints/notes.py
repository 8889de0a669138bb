"""Notes in a checkpoint: name and fingerprint of the codec in place of its weights, and the model config with its version.
`model` is a model whose frozen codec is its `pretransform`; `prefix` is what its training wrapper puts before weights.
"""

from collections.abc import Mapping
from typing import Any

from snac_plugin.checkpoints.config_inside import CONFIG, CONFIG_VERSION_NOTE
from snac_plugin.checkpoints.weights import CODEC, is_codec_weight
from snac_plugin.config.migration import CONFIG_VERSION, FIRST_VERSION, with_former_defaults
from snac_plugin.config.shipped_codecs import codec_meant, how_to_get
from snac_plugin.errors import CheckpointError

CODEC_NOTE = "snac_codec"
IN_SNAPSHOTS = (CONFIG, CONFIG_VERSION_NOTE, CODEC_NOTE)
"""What snapshots of averages hold of a checkpoint's notes."""


def put_config(checkpoint: dict[str, Any], config: dict[str, Any]) -> None:
    """Put a model config, as it was written, into a checkpoint that is about to be saved, and note the version of defaults."""
    checkpoint |= {CONFIG: config, CONFIG_VERSION_NOTE: CONFIG_VERSION}


def noted_version(content: Mapping[str, Any]) -> int:
    """The version of the defaults under which a checkpoint was written."""
    return int(content.get(CONFIG_VERSION_NOTE, FIRST_VERSION))


def saved_config(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The model config that a checkpoint holds, if any, with the former defaults of its version filled in."""
    config = content.get(CONFIG)
    return None if config is None else with_former_defaults(config, noted_version(content))


def saved_codec(content: Mapping[str, Any]) -> dict[str, str] | None:
    """Name, as the codec is called now, and fingerprint of the codec that a checkpoint was made with, if it says so."""
    note = content.get(CODEC_NOTE)
    return None if note is None else {**note, "name": codec_meant(note["name"], noted_version(content))}


def replace_codec_by_note(checkpoint: dict[str, Any], model: Any, prefix: str) -> None:
    """Take the codec's weights out of a checkpoint that is about to be saved, and note which codec it was."""
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(prefix + CODEC)}
    checkpoint[CODEC_NOTE] = codec_note(model)


def codec_note(model: Any) -> dict[str, str]:
    return {"name": model.pretransform.codec_name, "fingerprint": model.pretransform.fingerprint}


def replace_note_by_codec(checkpoint: dict[str, Any], model: Any, prefix: str) -> None:
    """Put the weights of the model's codec into a checkpoint that is to be loaded; a CheckpointError if it goes with another."""
    check_codec(saved_codec(checkpoint), model, "checkpoint")
    codec = {prefix + name: value for name, value in model.state_dict().items() if is_codec_weight(name)}
    checkpoint["state_dict"] = codec | checkpoint["state_dict"]


def check_codec(note: dict[str, str] | None, model: Any, where: str) -> None:
    """Raise a CheckpointError unless the noted codec is the model's; names may differ, weights may not."""
    if note is None:
        return
    codec = model.pretransform
    if not hasattr(codec, "known_as"):
        found = f"a diffusion model over codec {note['name']!r}"
        raise CheckpointError(where, found, "a checkpoint of the kind that the config builds")
    if note["fingerprint"] not in codec.known_as:
        found = f"codec {note['name']!r} (fingerprint {note['fingerprint']})"
        expected = f"codec {codec.codec_name!r} (fingerprint {codec.fingerprint}), the one of the model config"
        advice = f"Codes of one codec mean nothing to another. {how_to_get(note['fingerprint'])}"
        raise CheckpointError(where, found, expected, advice)
