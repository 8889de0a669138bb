"""Values per level are resolved the same way everywhere: steps, visibility, samplers, weights."""

import pytest

from snac_plugin.config.network_keys import SamplingConfig, VisibilityConfig, split_steps
from snac_plugin.config.section import spread
from snac_plugin.config.training_keys import TrainingSection
from snac_plugin.errors import ConfigError

ALL = (0, 1, 2, 3)


def test_default_visibility_is_the_table_of_the_hierarchy():
    """A level sees all coarser levels of its chunk, and every level of the chunks before."""
    assert VisibilityConfig().resolved("ABCD") == (((), ALL), ((0,), ALL), ((0, 1), ALL), ((0, 1, 2), ALL))
    assert VisibilityConfig().resolved("ABC") == (((), (0, 1, 2)), ((0,), (0, 1, 2)), ((0, 1), (0, 1, 2)))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"within": "none", "context": "same"}, (((), (0,)), ((), (1,)), ((), (2,)), ((), (3,)))),
        ({"within": {"C": ["A"], "D": ["C"]}}, (((), ALL), ((0,), ALL), ((0,), ALL), ((2,), ALL))),
        ({"within": {"D": ["B", "A"]}, "context": "none"}, (((), ()), ((0,), ()), ((0, 1), ()), ((0, 1), ()))),
        ({"context": {"A": ["D", "A"], "B": []}}, (((), (0, 3)), ((0,), ()), ((0, 1), ALL), ((0, 1, 2), ALL))),
        ({"within": {"A": [], "B": []}}, (((), ALL), ((), ALL), ((0, 1), ALL), ((0, 1, 2), ALL))),
    ],
)
def test_visibility_tables(table, expected):
    assert VisibilityConfig.model_validate(table).resolved("ABCD") == expected


@pytest.mark.parametrize(
    ("table", "where", "found"),
    [
        ({"within": {"A": ["B"]}}, "within.A", "level B"),
        ({"within": {"B": ["B"]}}, "within.B", "level B"),
        ({"within": {"C": ["A", "X"]}}, "within.C[1]", 'level "X"'),
        ({"within": {"E": ["A"]}}, "within.E", 'level "E"'),
        ({"context": {"A": ["AB"]}}, "context.A[0]", 'level "AB"'),
        ({"context": {"": ["A"]}}, "context.", 'level ""'),
    ],
)
def test_visibility_refuses_levels_that_are_not_there_yet_or_at_all(table, where, found):
    with pytest.raises(ConfigError) as caught:
        VisibilityConfig.model_validate(table).resolved("ABCD")
    assert caught.value.where == f"model.diffusion.config.visibility.{where}"
    assert caught.value.found == found


@pytest.mark.parametrize("names", ["A", "AB", "ABC", "ABCD", "ABCDE"])
def test_steps_are_split_without_losing_one(names):
    for total in (*range(len(names), 30), 48, 100, 1000):
        steps = SamplingConfig().steps_per_level(names, total)
        assert sum(steps) == total
        assert min(steps) >= 1
        assert list(steps) == sorted(steps)


def test_finer_levels_get_more_steps():
    steps = SamplingConfig().steps_per_level("ABCD", 1000)
    assert 1.4 < steps[-1] / steps[0] < 1.6
    assert sum(SamplingConfig().weights("ABC")) == pytest.approx(1)


def test_steps_follow_given_weights_or_given_numbers():
    assert SamplingConfig(step_weights=(1.0, 1.0, 2.0)).steps_per_level("ABC", 43) == (11, 11, 21)
    assert SamplingConfig(steps={"A": 4, "B": 9, "C": 2}).steps_per_level("ABC") == (4, 9, 2)
    assert SamplingConfig(steps={"A": 4, "B": 9}).steps_per_level("AB", total=10) != (4, 9)


def test_fewer_steps_than_levels_give_one_each():
    assert split_steps(2, (0.25, 0.25, 0.25, 0.25)) == (1, 1, 1, 1)


def test_values_once_or_per_level():
    assert spread(None, "ABC", 7) == (7, 7, 7)
    assert spread(3, "ABC", 7) == (3, 3, 3)
    assert spread({"B": 3}, "ABC", 7) == (7, 3, 7)
    with pytest.raises(ConfigError, match=r'steps\.D: found level "D", expected a level of the codec: A, B, C'):
        spread({"D": 3}, "ABC", 7, "steps")


def test_training_values_per_level():
    training = TrainingSection.model_validate(
        {
            "timestep_sampler": {"B": "log_snr"},
            "timestep_sampler_options": {"B": {"mean_logsnr": -1}, "A": {"shift": 2}},
            "level_weights": {"A": 0.5},
            "corruption": 0.1,
        }
    )
    assert training.timesteps("ABC") == (("uniform", {"shift": 2}), ("log_snr", {"mean_logsnr": -1}), ("uniform", {}))
    assert training.weights("ABC") == (0.5, 1.0, 1.0)
    assert training.corruptions("ABC") == (0.1, 0.1, 0.1)
    shared = TrainingSection.model_validate({"timestep_sampler": "logit_normal", "timestep_sampler_options": {"mean": 1}})
    assert shared.timesteps("AB") == (("logit_normal", {"mean": 1}),) * 2
