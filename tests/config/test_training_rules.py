"""Options of training that need another key, or do not go with one: told with what to set."""

from typing import Any

import pytest
from config_examples import example, phase

from snac_plugin.config import check_model_config
from snac_plugin.errors import ConfigError

VELOCITY = {"model.diffusion.config.head": "velocity"}
MASKED = {"model.diffusion.diffusion_objective": "masked"}
LEARNT = {"training.uncertainty": True}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"training.timestep_sampler": "time_warp"}, "training.timestep_sampler", "set it to true"),
    (LEARNT | {"training.timestep_sampler": "adaptive"}, "training.timestep_sampler", 'Set it to "time_warp"'),
    (LEARNT | VELOCITY | {"training.timestep_sampler": {"D": "time_warp"}}, "training.timestep_sampler", 'Set it to "adaptive"'),
    (
        LEARNT | {"training.timestep_sampler": "time_warp", "training.timestep_sampler_options": {"floor": 1.0}},
        "training.timestep_sampler_options.floor",
        "below 1",
    ),
    (
        MASKED | {"training.input_perturbation": 0.1},
        "training.input_perturbation",
        "corruption",
    ),
    ({"training.mask_spans": {"D": 3}}, "training.mask_spans", '"masked"'),
    ({"training.curriculum": [phase(infill_share=1.0)]}, "training.curriculum[0].infill_share", "training.infill beside it"),
    ({"training.ema_lengths": [0.05, 0.3]}, "training.ema_lengths[1]", "at most 0.28"),
    ({"training.ema_lengths": [0.05], "training.lora": {}}, "training.ema_lengths", "training.lora"),
    ({"training.ema_lengths": [1e-9]}, "training.ema_lengths[0]", "at least 0.001"),
    (
        LEARNT | VELOCITY | {"training.timestep_sampler": "adaptive", "training.timestep_sampler_options": {"scale": 1e9}},
        "training.timestep_sampler_options.scale",
        "at most 100",
    ),
    ({"training.clip_grad_deviations": 0.0}, "training.clip_grad_deviations", "greater than 0"),
]


@pytest.mark.parametrize(("changes", "where", "said"), WRONG)
def test_what_does_not_fit_is_told(changes: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_model_config(example(changes))
    assert caught.value.where == where
    assert said in str(caught.value)


def test_what_fits_is_taken() -> None:
    check_model_config(example(LEARNT | {"training.timestep_sampler": {"A": "time_warp", "B": "uniform"}}))
    check_model_config(example(LEARNT | VELOCITY | {"training.timestep_sampler": "adaptive"}))
