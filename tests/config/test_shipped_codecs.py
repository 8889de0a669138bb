"""A shipped codec that was exchanged: what names it in earlier files goes on meaning the former one."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.checkpoints.config_inside import CONFIG_VERSION_NOTE
from snac_plugin.checkpoints.notes import CODEC_NOTE
from snac_plugin.checkpoints.reading import load_weights, read_checkpoint
from snac_plugin.checkpoints.writing import save_unwrapped, write_torch
from snac_plugin.config.migration import CONFIG_VERSION, with_former_defaults
from snac_plugin.config.shipped_codecs import RENAMED, SHIPPED_CODECS
from snac_plugin.data.codes_folder import check_fingerprint
from snac_plugin.errors import CheckpointError, CodecError
from snac_plugin.plugin import builders

NOW, FORMER = "snac_tiny_32khz", "snac_tiny_32khz_v2"


@pytest.mark.parametrize(("version", "expected"), [(1, FORMER), (3, FORMER), (4, NOW)])
def test_configs_of_earlier_versions_mean_the_codec_of_their_time(version: int, expected: str, tmp_path: Path) -> None:
    model: dict[str, Any] = {"pretransform": {"type": "snac_hierarchical", "config": {"codec": NOW}}}
    config = {"model_type": "diffusion_snac_dit", "model": model}
    assert with_former_defaults(config, version)["model"]["pretransform"]["config"]["codec"] == expected
    codec = {"model_type": "autoencoder", "model": {"pretrained": NOW}}
    assert with_former_defaults(codec, version) == {"model_type": "autoencoder", "model": {"pretrained": expected}}
    own = copy.deepcopy(config)
    own["model"]["pretransform"]["config"]["codec"] = str(tmp_path)
    assert with_former_defaults(own, version)["model"]["pretransform"] == own["model"]["pretransform"]


def test_names_were_exchanged_in_earlier_versions_for_codecs_that_ship() -> None:
    assert all(last < CONFIG_VERSION and {former, now} <= set(SHIPPED_CODECS) for last, former, now in RENAMED)


def test_a_checkpoint_of_the_former_codec_says_its_name(tmp_path: Path) -> None:
    """Beside a config file that names what it named then, weights met codes that mean nothing to them."""
    config = tiny_model_config(write_tiny_codec(tmp_path / "codec")) | {"sample_rate": 32000}
    config["model"]["pretransform"]["config"]["codec"] = FORMER
    config["model"]["io_channels"] = 120
    save_unwrapped(builders.model(config), tmp_path / "model.ckpt", config, {"name": NOW, "fingerprint": SHIPPED_CODECS[FORMER][0]})
    config["model"]["pretransform"]["config"]["codec"] = NOW
    with pytest.raises(CheckpointError, match=rf'Set "codec" to "{FORMER}", which ships here'):
        load_weights(builders.model(config), read_checkpoint(tmp_path / "model.ckpt"))


@pytest.mark.parametrize(("version", "expected"), [(None, FORMER), (3, FORMER), (4, NOW)])
def test_the_codec_that_a_checkpoint_notes_is_called_as_now(version: int | None, expected: str, tmp_path: Path) -> None:
    """The card of a model that was unwrapped named the one for the other."""
    content: dict[str, Any] = {CODEC_NOTE: {"name": NOW, "fingerprint": "0123456789ab"}, CONFIG_VERSION_NOTE: version}
    weights = {"state_dict": {"model.weight": torch.ones(1)}}
    write_torch(tmp_path / "model.ckpt", weights | {key: value for key, value in content.items() if value is not None})
    assert read_checkpoint(tmp_path / "model.ckpt").codec == {"name": expected, "fingerprint": "0123456789ab"}


def test_codes_of_the_former_codec_say_its_name() -> None:
    details = {"codec": NOW, "fingerprint": SHIPPED_CODECS[FORMER][1]}
    with pytest.raises(
        CodecError, match=rf'another codec. Set "codec" to "{FORMER}", which ships here: .* Or encode the audio again'
    ):
        check_fingerprint(details, NOW, SHIPPED_CODECS[NOW], "encoded")
    with pytest.raises(CodecError, match=r"another codec\. Use the codec that it was made with\. Or"):
        check_fingerprint(details | {"fingerprint": "0123456789ab"}, NOW, SHIPPED_CODECS[NOW], "encoded")
