"""A bad model config is told by its JSON path, what was found, what was expected and the nearest known key."""

import copy
import pickle

import pytest
from config_examples import MISSING, example, phase
from pydantic import ValidationError

from snac_plugin.config import check_model_config
from snac_plugin.errors import ConfigError

NET = "model.diffusion.config"

BAD_SHAPE = [
    ({f"{NET}.depth": "six"}, f"{NET}.depth", '"six"', "a whole number"),
    ({f"{NET}.depth": 6.5}, f"{NET}.depth", "6.5", "a whole number"),
    ({f"{NET}.depth": True}, f"{NET}.depth", "true", "a whole number"),
    ({f"{NET}.depth": 0}, f"{NET}.depth", "0", "a number of at least 1"),
    ({f"{NET}.dropout": 1.0}, f"{NET}.dropout", "1.0", "a number less than 1.0"),
    ({f"{NET}.dropout": float("nan")}, f"{NET}.dropout", "NaN", "a finite number"),
    ({f"{NET}.long_skips": 1}, f"{NET}.long_skips", "1", "true or false"),
    ({f"{NET}.head": "velocty"}, f"{NET}.head", '"velocty"', "'velocity', 'logits' or 'posterior'"),
    ({f"{NET}.sampling": [48]}, f"{NET}.sampling", "[48]", "an object"),
    ({f"{NET}.sampling.steps": "many"}, f"{NET}.sampling.steps", '"many"', "a whole number"),
    ({f"{NET}.sampling.steps": {"A": 8, "B": 0}}, f"{NET}.sampling.steps.B", "0", "a number of at least 1"),
    ({f"{NET}.sampling.steps": 10**30}, f"{NET}.sampling.steps", str(10**30), "a number of at most 1000000"),
    ({f"{NET}.sampling.cfg_interval": [0.1]}, f"{NET}.sampling.cfg_interval[1]", "nothing", "a value"),
    ({f"{NET}.visibility.context": "al"}, f"{NET}.visibility.context", '"al"', "'all', 'same' or 'none'"),
    ({f"{NET}.visibility.within": {"B": "A"}}, f"{NET}.visibility.within.B", '"A"', "a list"),
    ({"model.diffusion.global_cond_ids": ["a", 3]}, "model.diffusion.global_cond_ids[1]", "3", "a string"),
    ({"model_type": "diffusion_cond"}, "model_type", '"diffusion_cond"', "'diffusion_snac_dit'"),
    ({"model.pretransform.config.codec": ""}, "model.pretransform.config.codec", '""', "some text"),
    ({"training.corruption": {"A": 1.5}}, "training.corruption.A", "1.5", "a number of at most 1.0"),
    (
        {f"{NET}.sampling.sampler": "pingpong-codes", f"{NET}.head": "velocity"},
        f"{NET}.sampling.sampler",
        '"pingpong-codes"',
        "another sampler",
    ),
    ({"training.timestep_sampler": {"D": "unifrm"}}, "training.timestep_sampler.D", '"unifrm"', "'uniform', 'logit_normal'"),
    ({"training.mask_spans": 10**30}, "training.mask_spans", str(10**30), "a number of at most 2147483647"),
    ({"training.curriculum": [phase(context={"0": "all"})]}, "training.curriculum[0].context.0", '"all"', "a number"),
    ({"training.curriculum": [phase(levels=["A", 3])]}, "training.curriculum[0].levels", '["A", 3]', "a string"),
    ({"model": []}, "model", "[]", "an object"),
]


@pytest.mark.parametrize(("changes", "where", "found", "expected"), BAD_SHAPE, ids=[case[1] for case in BAD_SHAPE])
def test_wrong_value_names_path_found_and_expected(changes, where, found, expected):
    with pytest.raises(ConfigError) as caught:
        check_model_config(example(changes))
    assert caught.value.where == where
    assert caught.value.found == found
    assert caught.value.expected.startswith(expected)
    assert str(caught.value).startswith(f"{where}: found {found}, expected {expected}")


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("model.io_channels", "channels of packed latents"),
        ("model.diffusion.config", "the network"),
        ("model.pretransform.config.codec", "hub id, folder"),
        ("sample_rate", "audio samples per second"),
    ],
)
def test_missing_key_says_what_it_is(path, meaning):
    with pytest.raises(ConfigError) as caught:
        check_model_config(example({path: MISSING}))
    assert caught.value.where == path
    assert caught.value.found == "nothing"
    assert meaning in caught.value.expected


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("model.diffusion.config.dept", 'Did you mean "depth"?'),
        ("model.diffusion.config.numheads", 'Did you mean "num_heads"?'),
        ("model.diffusion.config.sampling.step", 'Did you mean "steps"?'),
        ("model.pretransform.config.Codec", 'Did you mean "codec"?'),
        ("training.demo.demo_conds", 'Did you mean "demo_cond"?'),
        ("sample_siez", 'Did you mean "sample_size"?'),
        ("model.depth", "It belongs at model.diffusion.config.depth."),
        ("learning_rate", "It belongs at training.learning_rate."),
        ("training.level_weight", 'Did you mean "level_weights"?'),
        ("training.steps", "It belongs at model.diffusion.config.sampling.steps or training.curriculum.steps."),
    ],
)
def test_unknown_key_names_the_nearest_or_its_home(path, advice):
    with pytest.raises(ConfigError) as caught:
        check_model_config(example({path: 1}))
    key = path.split(".")[-1]
    assert caught.value.where == path
    assert caught.value.found == f'an unknown key "{key}"'
    assert advice in caught.value.advice


def test_unknown_key_in_a_phase_is_found_behind_lists_and_unions():
    with pytest.raises(ConfigError, match=r'training\.curriculum\[1\]\.contxt: .* Did you mean "context"\?'):
        check_model_config(example({"training.curriculum": [phase(steps=5), phase(contxt={"0": 1})]}))


def test_key_that_resembles_none_lists_all_of_the_section():
    with pytest.raises(ConfigError) as caught:
        check_model_config(example({"model.pretransform.config.zzz": 1}))
    assert caught.value.expected == "one of: codec, model_half, piece_seconds"
    assert "Did you mean" not in str(caught.value)


def test_all_problems_come_in_one_message_with_the_source():
    changes = {"model.diffusion.config.depth": "six", "model.diffusion.config.dept": 6, "model.io_channels": MISSING}
    with pytest.raises(ConfigError) as caught:
        check_model_config(example(changes), "mine.json")
    message = str(caught.value)
    assert caught.value.where == "model.diffusion.config.depth"
    assert "(In mine.json.)" in message
    assert "2 more:" in message
    assert '\n  model.diffusion.config.dept: found an unknown key "dept"' in message
    assert "\n  model.io_channels: found nothing, expected this key" in message


def test_long_values_are_cut_in_messages():
    with pytest.raises(ConfigError) as caught:
        check_model_config(example({"model.diffusion.config.depth": "x" * 500}))
    assert len(caught.value.found) == 80


def test_the_error_survives_a_data_loader_worker():
    with pytest.raises(ConfigError) as caught:
        check_model_config(example({"model.io_channels": "many", "training.corruption": 2}))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_checking_leaves_the_dict_alone_and_gives_frozen_sections():
    """The dict goes on to stable-audio-tools and into checkpoints: it must stay what the user wrote."""
    config = example({"model.diffusion.diffusion_objective": "v"})
    before = copy.deepcopy(config)
    checked = check_model_config(config)
    assert config == before
    with pytest.raises(ValidationError):
        checked.model.diffusion.config.depth = 3


def test_defaults_are_those_of_the_documented_schema():
    checked = check_model_config(example())
    network, sampling = checked.model.diffusion.config, checked.model.diffusion.config.sampling
    assert (network.dim, network.depth, network.num_heads, network.chunk_frames, network.context_chunks) == (256, 6, 4, 64, 2)
    assert (checked.model.diffusion.diffusion_objective, sampling.sampler, sampling.steps) == (
        "rectified_flow",
        "pingpong-codes",
        48,
    )
    assert network.head == "logits"
    assert checked.training is not None
    assert checked.training.demo.demo_every == 2000
    assert checked.model.pretransform.config.piece_seconds == 10.0


def test_training_may_be_left_out():
    """A checkpoint for generation alone has no training section."""
    assert check_model_config(example({"training": MISSING})).training is None


def test_default_sampler_follows_the_head_and_the_objective():
    """Euler on a v model would integrate the wrong equation, and a velocity gives no codes to draw."""
    for head, sampler in (("velocity", "euler"), ("logits", "pingpong-codes"), ("posterior", "pingpong-codes")):
        checked = check_model_config(example({f"{NET}.head": head}))
        assert checked.model.diffusion.config.sampling.sampler == sampler
    checked = check_model_config(example({"model.diffusion.diffusion_objective": "v"}))
    assert checked.model.diffusion.config.sampling.sampler == "dpmpp-3m-sde"
    named = example({"model.diffusion.diffusion_objective": "v", f"{NET}.sampling.sampler": "v-ddim"})
    assert check_model_config(named).model.diffusion.config.sampling.sampler == "v-ddim"


def test_optimizer_configs_go_back_as_given():
    """stable-audio-tools asks `"scheduler" in configs`: a scheduler of None would be built."""
    given = {"diffusion": {"optimizer": {"type": "AdamW", "config": {"lr": 1e-4, "foreach": None}}}}
    checked = check_model_config(example({"training": {"optimizer_configs": given}}))
    assert checked.training is not None
    assert checked.training.optimizer_configs is not None
    assert checked.training.optimizer_configs.as_dict() == given
