"""Defaults may change: what a config of an earlier version left out goes on meaning what it meant."""

import copy

import pytest
from config_examples import example

from snac_plugin.config import check_model_config
from snac_plugin.config.migration import CONFIG_VERSION, FORMER_DEFAULTS, with_former_defaults

NET = "model.diffusion.config"


def meaning(config, version):
    network = check_model_config(with_former_defaults(config, version)).model.diffusion.config
    return network.head, network.sampling.sampler


@pytest.mark.parametrize(
    ("changes", "first", "current"),
    [
        ({}, ("velocity", "euler"), ("logits", "pingpong-codes")),
        ({f"{NET}.sampling": {"steps": 12}}, ("velocity", "euler"), ("logits", "pingpong-codes")),
        ({f"{NET}.head": "posterior"}, ("posterior", "euler"), ("posterior", "pingpong-codes")),
        ({f"{NET}.sampling.sampler": {"D": "rk4"}}, ("velocity", {"D": "rk4"}), ("logits", {"D": "rk4"})),
        ({"model.diffusion.diffusion_objective": "v"}, ("velocity", "dpmpp-3m-sde"), ("logits", "dpmpp-3m-sde")),
    ],
)
def test_what_is_left_out_means_what_it_meant(changes, first, current):
    config = example(changes)
    before = copy.deepcopy(config)
    assert meaning(config, 1) == first
    assert meaning(config, CONFIG_VERSION) == current
    assert meaning(with_former_defaults(config, 1), 1) == first, "twice is as good as once"
    assert config == before


def test_configs_of_other_models_stay_as_they_are():
    for config in ({"model_type": "autoencoder", "model": {}}, {"model_type": "diffusion_snac_dit", "model": []}, {}):
        assert with_former_defaults(config, 1) == config


def test_every_former_default_was_one_of_an_earlier_version():
    assert all(1 <= former.version < CONFIG_VERSION for former in FORMER_DEFAULTS)
