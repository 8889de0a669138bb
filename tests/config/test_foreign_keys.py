"""Keys of stable-audio-tools' documented examples: they work, ask for nothing, or end in a sentence that says what to use."""

from typing import Any

import pytest
from codec_runs import CODEC_CONFIG
from config_examples import example

from snac_plugin.config import check_codec_config, check_model_config
from snac_plugin.config.foreign_keys import FOREIGN_KEYS, without_idle
from snac_plugin.errors import ConfigError

DOCUMENTED = {
    "training.use_ema": True,
    "training.log_loss_info": False,
    "training.optimizer_configs": {
        "diffusion": {
            "optimizer": {"type": "AdamW", "config": {"lr": 5e-5, "betas": [0.9, 0.999], "weight_decay": 1e-3}},
            "scheduler": {"type": "InverseLR", "config": {"inv_gamma": 1000000, "power": 0.5, "warmup": 0.99}},
        }
    },
    "training.demo": {"demo_every": 2000, "demo_steps": 250, "num_demos": 4, "demo_cfg_scales": [3, 6, 9]},
    "training.clip_grad_norm": 1.0,
    "training.p_one_shot": 0.1,
    "training.demo.display_audio_cond": False,
    "training.demo.cond_display_configs": [],
    "model.diffusion.distribution_shift_options": None,
}


def test_the_documented_training_section_is_taken() -> None:
    """Each of these was an unknown key, or one too many."""
    training = check_model_config(example(DOCUMENTED)).training
    assert training is not None
    assert training.optimizer_configs is not None
    assert (training.clip_grad_norm, training.p_one_shot, training.learning_rate) == (1.0, 0.1, 1e-4)


OF_CODECS = ("model.in_channels", "model.out_channels", "model.pretransform", "training.force_input_mono",
             "training.latent_mask_ratio", "training.teacher_model")  # fmt: skip


def with_key(path: str, value: Any) -> dict[str, Any]:
    """The example of the kind of config that would hold such a key."""
    return example({path: value}) if path not in OF_CODECS else without_idle(_set(CODEC_CONFIG, path, value), "nothing", ())


def _set(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {**config, first: _set(config.get(first, {}), rest, value) if rest else value}


def check(config: dict[str, Any]) -> None:
    (check_codec_config if config["model_type"] == "autoencoder" else check_model_config)(config)


@pytest.mark.parametrize("path", FOREIGN_KEYS)
def test_what_is_not_used_here_says_what_is(path: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(with_key(path, {"something": 3}))
    assert error.value.where == path
    assert error.value.expected == "none, it is not used here"
    assert FOREIGN_KEYS[path].advice in error.value.advice


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, key in FOREIGN_KEYS.items() for value in key.idle])
def test_what_asks_for_nothing_is_taken(path: str, value: Any) -> None:
    check(with_key(path, value))


def test_a_key_that_a_model_has_stays_its_own() -> None:
    """An autoencoder's loss_configs, a diffusion model's pretransform: left out, they are missing."""
    for config, path in ((CODEC_CONFIG, "training.loss_configs"), (example(), "model.pretransform")):
        with pytest.raises(ConfigError):
            check(_set(config, path, None))


def test_false_is_not_zero() -> None:
    assert without_idle({"a": {"b": 1}}, "a.b", (True,)) == {"a": {"b": 1}}
    assert without_idle({"a": {"b": True}}, "a.b", (True,)) == {"a": {}}
    assert without_idle({"a": 3}, "a.b", (None,)) == {"a": 3}
