"""Values that are well-formed one by one and do not fit together are told as precisely as the others."""

import importlib.util
from pathlib import Path

import pytest
import torch
from config_examples import MISSING, example, phase

from snac_plugin.config import check_model_config
from snac_plugin.config.optimizers import OPTIMIZERS, SCHEDULERS
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, FLOW_SAMPLERS, V_SAMPLERS
from snac_plugin.errors import ConfigError

NET = "model.diffusion.config"
TEXT = {"configs": [{"id": "prompt", "type": "t5", "config": {}}, {"id": "tempo", "type": "number", "config": {}}], "cond_dim": 64}
ADAM = {"type": "Adam", "config": {"lr": 1e-4}}


def optimizer(name="Adam", scheduler=None):
    entry = {"optimizer": {"type": name, "config": {"lr": 1e-4}}}
    return {"optimizer_configs": {"diffusion": entry | ({"scheduler": {"type": scheduler, "config": {}}} if scheduler else {})}}


CASES = [
    ("heads", {f"{NET}.num_heads": 5}, f"{NET}.num_heads", "5", "For dim 256: 2 or 4 or 8."),
    ("odd head", {f"{NET}.dim": 36, f"{NET}.num_heads": 12}, f"{NET}.num_heads", "12", "For dim 36: 3 or 6 or 9."),
    ("head of two", {f"{NET}.dim": 32, f"{NET}.num_heads": 16}, f"{NET}.num_heads", "16", "For dim 32: 2 or 4 or 8."),
    ("no even head", {f"{NET}.dim": 5, f"{NET}.num_heads": 1}, f"{NET}.num_heads", "1", "Make dim even, 4 at least."),
    ("typo", {f"{NET}.sampling.sampler": "eulr"}, f"{NET}.sampling.sampler", '"eulr"', 'Did you mean "euler"?'),
    ("wrong kind", {f"{NET}.sampling.sampler": {"B": "v-ddim"}}, f"{NET}.sampling.sampler.B", '"v-ddim"', 'is for objective "v"'),
    (
        "head of masked codes",
        {"model.diffusion.diffusion_objective": "masked", f"{NET}.head": "posterior"},
        f"{NET}.head",
        '"posterior"',
        'Set it to "logits"',
    ),
    (
        "flow sampler for masked codes",
        {"model.diffusion.diffusion_objective": "masked", f"{NET}.sampling.sampler": "euler"},
        f"{NET}.sampling.sampler",
        '"euler"',
        'is for objective "rectified_flow"',
    ),
    (
        "masked sampler for a flow",
        {f"{NET}.sampling.sampler": {"B": "masked"}},
        f"{NET}.sampling.sampler.B",
        '"masked"',
        'is for objective "masked"',
    ),
    ("masking again in a flow", {f"{NET}.sampling.remask": 0.1}, f"{NET}.sampling.remask", "0.1", "for masked codes"),
    ("interval", {f"{NET}.sampling.cfg_interval": [0.8, 0.2]}, f"{NET}.sampling.cfg_interval", "[0.8, 0.2]", ""),
    (
        "no id",
        {"model.diffusion.cross_attention_cond_ids": ["prompt"]},
        "model.diffusion.cross_attention_cond_ids[0]",
        '"prompt"',
        "",
    ),
    (
        "near id",
        {"model.conditioning": TEXT, "model.diffusion.global_cond_ids": ["tempos"]},
        "model.diffusion.global_cond_ids[0]",
        '"tempos"',
        'Did you mean "tempo"?',
    ),
    ("no rate", {"training": {}}, "training", "neither learning_rate nor optimizer_configs", ""),
    (
        "optimizer",
        {"training": optimizer("Adamw")},
        "training.optimizer_configs.diffusion.optimizer.type",
        '"Adamw"',
        'Did you mean "AdamW"?',
    ),
    (
        "scheduler",
        {"training": optimizer("Adam", "InversLR")},
        "training.optimizer_configs.diffusion.scheduler.type",
        '"InversLR"',
        'Did you mean "InverseLR"?',
    ),
    (
        "option",
        {"training.timestep_sampler": "log_snr", "training.timestep_sampler_options": {"mean_logsnt": 1}},
        "training.timestep_sampler_options.mean_logsnt",
        'an unknown key "mean_logsnt"',
        'Did you mean "mean_logsnr"?',
    ),
    (
        "option of a level",
        {
            "training.timestep_sampler": {"B": "logit_normal"},
            "training.timestep_sampler_options": {"A": {"shift": 2}, "B": {"men": 1}},
        },
        "training.timestep_sampler_options.B.men",
        'an unknown key "men"',
        'Did you mean "mean"?',
    ),
    (
        "temperature",
        {"model.diffusion.config.sampling": {"temperature": {"D": 0.8}, "sampler": "euler"}},
        "model.diffusion.config.sampling.temperature.D",
        "0.8",
        "",
    ),
    (
        "top p of samplers that draw nothing",
        {"model.diffusion.config.sampling": {"top_p": 0.8, "sampler": "euler"}},
        "model.diffusion.config.sampling.top_p",
        "0.8",
        "",
    ),
    (
        "added noise of another sampler",
        {"model.diffusion.config.sampling": {"added_noise": {"B": 0.8}, "sampler": {"A": "euler", "B": "rk4"}}},
        "model.diffusion.config.sampling.added_noise.B",
        "0.8",
        "",
    ),
    (
        "long skips of another backbone",
        {f"{NET}.backbone": "magnitude-preserving", f"{NET}.long_skips": True},
        f"{NET}.long_skips",
        "true",
        "",
    ),
    ("mixed codes", {f"{NET}.backbone": "magnitude-preserving", f"{NET}.read_out": "mixed"}, f"{NET}.read_out", '"mixed"', ""),
    (
        "adapters of another backbone",
        {f"{NET}.backbone": "x-transformers", "training.lora": {}},
        "training.lora",
        "the backbone x-transformers",
        "",
    ),
    (
        "temperature of another level",
        {
            "model.diffusion.config.sampling": {"temperature": {"D": 0.8}, "sampler": {"A": "pingpong-codes"}},
            f"{NET}.head": "logits",
        },
        "model.diffusion.config.sampling.temperature.D",
        "0.8",
        "",
    ),
    (
        "temperature of all levels",
        {"model.diffusion.config.sampling": {"temperature": 0.8, "sampler": "euler"}},
        "model.diffusion.config.sampling.temperature",
        "0.8",
        "",
    ),
    (
        "shift",
        {"training.timestep_sampler_options": {"shift": 0}},
        "training.timestep_sampler_options.shift",
        "0.0",
        "",
    ),
    (
        "truncation",
        {"training.timestep_sampler": "trunc_logit_normal", "training.timestep_sampler_options": {"left_trunc": 1}},
        "training.timestep_sampler_options.left_trunc",
        "1.0 with right_trunc 1.0",
        "",
    ),
    ("no gaps", {"training.infill": {"gaps": {"middle": 0}}}, "training.infill.gaps", "no kind of gap above 0", ""),
    ("gaps", {"training.infill": {"length": [0.5, 0.1]}}, "training.infill.length", "[0.5, 0.1]", ""),
    ("no phases", {"training.curriculum": []}, "training.curriculum", "[]", ""),
    (
        "open phase",
        {"training.curriculum": [phase(), phase(name="b")]},
        "training.curriculum[0].steps",
        "null",
        "Only the last phase may be open-ended.",
    ),
    ("same name", {"training.curriculum": [phase(steps=3), phase()]}, "training.curriculum[1].name", '"first"', ""),
    (
        "sum",
        {"training.curriculum": [phase(context={"0": 0.5, "1": 0.4})]},
        "training.curriculum[0].context",
        "probabilities that sum to 0.9",
        "",
    ),
    ("chunks", {"training.curriculum": [phase(context={"3": 1})]}, "training.curriculum[0].context.3", '"3"', ""),
    ("no levels", {"training.curriculum": [phase(levels="")]}, "training.curriculum[0].levels", '""', ""),
    ("demo length", {"training.demo.demo_cond": [{"a": 1}]}, "training.demo.demo_cond", "1 entries", ""),
    ("no demo", {"model.conditioning": TEXT}, "training.demo.demo_cond", "[]", "Or set demo_cond_from_batch."),
    (
        "demo key",
        {"model.conditioning": TEXT, "training.demo": {"num_demos": 1, "demo_cond": [{"prompt": "x"}]}},
        "training.demo.demo_cond[0]",
        'no key "tempo"',
        "",
    ),
]


@pytest.mark.parametrize(("changes", "where", "found", "advice"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_values_that_do_not_fit_together(changes, where, found, advice):
    with pytest.raises(ConfigError) as caught:
        check_model_config(example(changes))
    assert caught.value.where == where
    assert caught.value.found == found
    assert advice in caught.value.advice


def conditioned(diffusion=None, **network):
    training = {"learning_rate": 1e-4, "demo": {"demo_cond_from_batch": True}}
    ids = {"cross_attention_cond_ids": ["prompt", "tempo"], "global_cond_ids": ["tempo", "prompt"]}
    config = {"cond_token_dim": 64, "global_cond_dim": 128, **network}
    diffusion = {"config": config, **ids, **(diffusion or {})}
    return example({"model.conditioning": TEXT, "training": training, "model.diffusion": diffusion})


def test_channels_of_conditioners_add_up_where_they_are_joined():
    """Global conditioning joins channels (64 + 64), cross-attention joins sequences (64)."""
    assert check_model_config(conditioned()).model.diffusion.config.global_cond_dim == 128
    for key, wrong, right in (("cond_token_dim", 128, 64), ("global_cond_dim", 64, 128), ("prepend_cond_dim", 64, 0)):
        with pytest.raises(ConfigError) as caught:
            check_model_config(conditioned(**{key: wrong}))
        assert (caught.value.where, caught.value.found) == (f"{NET}.{key}", str(wrong))
        assert caught.value.expected.startswith(f"{right}, the channels of ")


def test_conditioners_joined_in_sequence_have_equal_width():
    config = conditioned()
    config["model"]["conditioning"] = {
        "configs": [TEXT["configs"][0], {"id": "tempo", "type": "number", "config": {"output_dim": 32}}],
        "cond_dim": 64,
    }
    with pytest.raises(ConfigError, match=r"cross_attention_cond_ids: found conditioners of \[64, 32\] channels"):
        check_model_config(config)


def test_one_id_for_two_conditioners_is_refused():
    """stable-audio-tools would keep the last of them without a word."""
    config = conditioned()
    config["model"]["conditioning"] = {"configs": [TEXT["configs"][0]] * 2 + [TEXT["configs"][1]], "cond_dim": 64}
    with pytest.raises(ConfigError, match=r"model\.conditioning\.configs: found the same id twice"):
        check_model_config(config)


def test_context_conditioner_brings_no_channels_of_its_own():
    context = {"configs": [{"id": "context", "type": "snac_context", "config": {}}], "cond_dim": 64}
    config = example({"model.conditioning": context, "model.diffusion.prepend_cond_ids": ["context"]})
    assert check_model_config(config).model.diffusion.prepend_cond_ids == ("context",)


def test_default_keys_stand_in_for_demo_conditioning():
    config = conditioned()
    config["model"]["conditioning"] = {**TEXT, "default_keys": {"tempo": "speed"}}
    config["training"]["demo"] = {"num_demos": 1, "demo_cond": [{"prompt": "x", "speed": 3}]}
    assert check_model_config(config).training.demo.num_demos == 1


def test_phases_read_back_as_they_will_be_used():
    phases = [phase(steps=10, context={"0": 0.25, "2": 0.75}, levels=["B", "C"]), phase(name="last")]
    curriculum = check_model_config(example({"training.curriculum": phases})).training.curriculum
    assert curriculum[0].levels == "BC"
    assert curriculum[0].context_probabilities(2) == (0.25, 0.0, 0.75)
    assert curriculum[1].steps is None


def test_known_optimizers_and_schedulers_are_those_of_torch():
    """The floor of the configs may not import torch, so the names are listed: this keeps the list true."""
    optim, lr_scheduler = torch.optim, torch.optim.lr_scheduler
    ours = {n for n, c in vars(optim).items() if isinstance(c, type) and issubclass(c, optim.Optimizer)} - {"Optimizer"}
    assert set(OPTIMIZERS) - {"FusedAdam"} == ours
    theirs = {n for n, c in vars(lr_scheduler).items() if isinstance(c, type) and issubclass(c, lr_scheduler.LRScheduler)}
    assert set(SCHEDULERS) - {"InverseLR"} == {name for name in theirs if name not in ("LRScheduler", "_LRScheduler")} | {
        "ReduceLROnPlateau"
    }


def test_training_needs_no_optimizer_configs_beside_a_rate():
    assert check_model_config(example({"training": {"learning_rate": 1e-4}})).training.optimizer_configs is None
    assert check_model_config(example({"training": optimizer("AdamW", "InverseLR"), "audio_channels": MISSING})).audio_channels == 1


def test_known_samplers_are_those_of_stable_audio_tools():
    """Read, not imported: a name that its sampling.py does not compare with would fail after a long training."""
    folder = importlib.util.find_spec("stable_audio_tools").submodule_search_locations[0]
    source = Path(folder, "inference", "sampling.py").read_text()
    assert [name for name in FLOW_SAMPLERS + V_SAMPLERS if f'"{name}"' not in source] == [CODE_SAMPLER]


@pytest.mark.parametrize(
    ("key", "value"), [(key, 10**400) for key in ("dim", "depth", "context_chunks", "modulation_rank")] + [("depth", 10**6)]
)
def test_a_network_that_no_machine_holds_is_refused_at_once(key, value):
    """It was built until the memory was full, or its config counted to its end."""
    changes = {"model.diffusion.config.num_heads": 3, f"model.diffusion.config.{key}": value}
    with pytest.raises(ConfigError, match=rf"model\.diffusion\.config\.{key}: .*at most "):
        check_model_config(example(changes))
