"""Values of conditions as people write them: what is taken, and what each mistake is told."""

import contextlib
from typing import Any

import pytest
from config_examples import example

from snac_plugin.config import check_model_config, check_training_config
from snac_plugin.config.condition_values import class_weights, number_in, position_in, quality_weights
from snac_plugin.config.conditioner_keys import QUALITIES
from snac_plugin.errors import ConfigError, UsageError

STYLES = ("house", "jazz", "hip hop")


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ("house", {"house": 1.0}),
        ("Hip Hop", {"hip hop": 1.0}),
        ({"house": 3, "jazz": 1}, {"house": 0.75, "jazz": 0.25}),
        ("house:0.6, jazz:0.2", {"house": 0.75, "jazz": 0.25}),
        ("house,jazz", {"house": 0.5, "jazz": 0.5}),
        ({"house": 2, "jazz": 0}, {"house": 1.0, "jazz": 0.0}),
        ("", {}),
        (None, {}),
    ],
)
def test_mixtures_are_normalised(value: Any, weights: dict[str, float]) -> None:
    assert class_weights(value, STYLES) == pytest.approx(weights)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hause", 'style: found "hause", expected one of house, jazz, hip hop. Did you mean "house"?'),
        ("house:0.7,jaz:0.3", 'style: found "jaz", expected one of house, jazz, hip hop. Did you mean "jazz"?'),
        ({"house": -1}, "style: found weight -1 of house, expected a finite number from 0 up"),
        ("house:much", 'style: found weight "much" of house, expected a finite number'),
        ({"house": float("nan")}, "weight NaN of house"),
        ({"house": 0, "jazz": 0}, "weights that sum to 0, expected a weight above 0 for one class"),
        ({}, "weights that sum to 0"),
        (3, "style: found 3, expected a class, or classes with weights, as house:0.7,jazz:0.3; of house, jazz, hip hop"),
        ({3: 1.0}, "style: found 3, expected one of"),
    ],
)
def test_what_is_no_mixture_is_said(value: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        class_weights(value, STYLES, "style")
    assert message in str(error.value)


@pytest.mark.parametrize("score", [-3.0, 1.0, 1.9, 2.0, 2.5, 4.0, 4.9, 5.0, 99.0])
def test_quality_has_the_classes_of_its_paper(score: float) -> None:
    """QA-MDT: floor((s - (mean - 2 deviation)) / deviation), here with mean 3 and deviation 1, cut to five classes."""
    expected = min(max(int((score - (3 - 2 * 1)) // 1), 0), 4)
    assert quality_weights(score, (2, 3, 4, 5)) == {QUALITIES[expected]: 1.0}
    assert quality_weights(str(score), (2, 3, 4, 5)) == {QUALITIES[expected]: 1.0}


def test_quality_takes_names_too() -> None:
    assert quality_weights("very high", (2, 3, 4, 5)) == {"very high": 1.0}
    assert quality_weights("", (2, 3, 4, 5)) == {}
    with pytest.raises(UsageError, match="Did you mean"):
        quality_weights("hihg", (2, 3, 4, 5))


@pytest.mark.parametrize("value", [{"index": 3, "total": 10}, [3, 10], "3/10", " 3 / 10 "])
def test_positions(value: Any) -> None:
    assert position_in(value, 64) == (3, 10)


@pytest.mark.parametrize("value", ["10/10", "-1/10", "3/100", "3", {"index": 3}, {"index": "a", "total": 9}, 7, None, [1, 2, 3]])
def test_what_is_no_position_is_said(value: Any) -> None:
    with pytest.raises(UsageError, match=r"position: found .*, expected an index below a total of at most 64 chunks"):
        position_in(value, 64, "position")


def test_numbers_as_text() -> None:
    texts = (120, "120", " 1e2 ", "x", None, True, "inf", [3], 10**400)
    assert [number_in(value) for value in texts] == [120, 120, 100, None, None, None, None, None, None]


def with_conditioner(kind: str, config: dict[str, Any], where: str = "global_cond_ids", **changes: Any) -> dict[str, Any]:
    conditioning = {"configs": [{"id": "style", "type": kind, "config": config}], "cond_dim": 8}
    dims = {"global_cond_ids": "global_cond_dim", "cross_attention_cond_ids": "cond_token_dim"}
    dim = dims.get(where, where.replace("_ids", "_dim"))
    return example(
        {
            "model.conditioning": conditioning,
            f"model.diffusion.{where}": ["style"],
            f"model.diffusion.config.{dim}": 8,
            "training.demo": {"demo_cond_from_batch": True},
            **changes,
        }
    )


CONFIG = "model.conditioning.configs[0].config"


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("class_mixture", {}, f"{CONFIG}.classes: found nothing, expected this key (names of the classes)"),
        ("class_mixture", {"classes": []}, f"{CONFIG}.classes: found [], expected at least 1 entries"),
        ("class_mixture", {"clases": ["a"]}, 'Did you mean "classes"?'),
        ("class_mixture", {"classes": ["a", "A"]}, f'{CONFIG}.classes[1]: found "A", expected a name of its own'),
        ("class_mixture", {"classes": ["a:b"]}, "expected a name without : , and ="),
        ("quality", {"thresholds": [1, 2, 3]}, f"{CONFIG}.thresholds"),
        (
            "quality",
            {"thresholds": [1, 3, 2, 4]},
            f"{CONFIG}.thresholds: found [1.0, 3.0, 2.0, 4.0], expected four scores, each above",
        ),
        ("chunk_position", {"most_chunks": 0}, f"{CONFIG}.most_chunks: found 0, expected a number of at least 1"),
    ],
)
def test_keys_of_conditioners_are_checked(kind: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_model_config(with_conditioner(kind, config))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "where", "message"),
    [
        ("chunk_position", "cross_attention_cond_ids", "it in global_cond_ids: it differs from chunk to chunk"),
        ("snac_context", "global_cond_ids", "it in prepend_cond_ids: it gives the chunks before"),
        ("source_mix", "prepend_cond_ids", "it in input_concat_ids: it gives channels for each frame"),
    ],
)
def test_a_conditioner_in_a_list_that_cannot_read_it(kind: str, where: str, message: str) -> None:
    """Each of these failed while it ran, with a message about shapes."""
    with pytest.raises(ConfigError) as error:
        check_model_config(with_conditioner(kind, {}, where))
    assert f"model.diffusion.{where}[0]" in str(error.value)
    assert message in str(error.value)


def test_dropout_of_a_condition_that_there_is_not() -> None:
    config = with_conditioner("number", {}, **{"training.condition_dropout": {"stlye": 0.1}})
    with pytest.raises(ConfigError, match=r'training.condition_dropout.stlye: found "stlye".*Did you mean "style"'):
        check_model_config(config)
    check_model_config(with_conditioner("number", {}, **{"training.condition_dropout": {"style": 0.1}}))
    unread = {"training.condition_dropout": {"style": 0.1}, "model.diffusion.global_cond_ids": []}  # it was taken, and did nothing
    with pytest.raises(ConfigError, match=r'condition_dropout.style: found "style", expected one that model.diffusion reads'):
        check_model_config(with_conditioner("number", {}, **unread))
    check_model_config(with_conditioner("number", {}, **{"training.condition_dropout": 0.1}))


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("number", {"min_val": [60], "max_val": 200}, "min_val: found [60], expected a number"),
        ("number", {"min_val": 60, "max_val": True}, "max_val: found true, expected a number"),
        ("list", {"options": ["A minor", {"A": 1}]}, "expected a list of names"),
        ("list", {}, "options: found nothing, expected a list of names"),
        ("list", {"options": "A minor"}, 'found "A minor", expected a list of names'),
    ],
)
def test_bounds_and_names_of_stable_audio_tools_conditioners_are_checked(kind: str, config: dict[str, Any], expected: str) -> None:
    """They failed within a training, or in the first sample."""
    conditioning = {"configs": [{"id": "it", "type": kind, "config": config}], "cond_dim": 8}
    with pytest.raises(ConfigError) as told:
        check_model_config(example({"model.conditioning": conditioning, "model.diffusion.global_cond_ids": ["it"]}))
    assert expected in str(told.value)


DEMO = "training.demo.demo_cond[1].style"


@pytest.mark.parametrize(
    ("kind", "config", "value", "message"),
    [
        ("class_mixture", {"classes": ["house", "jazz"]}, "hause", f'{DEMO}: found "hause", expected one of house, jazz. Did you'),
        ("class_mixture", {"classes": ["house"]}, {"house": -1}, f"{DEMO}: found weight -1 of house, expected a finite number"),
        ("list", {"options": ["A minor"]}, "B minor", f'{DEMO}: found "B minor", expected one of A minor'),
        ("number", {"min_val": 60, "max_val": 200}, 900, f"{DEMO}: found 900, expected a number from 60 to 200"),
        ("quality", {"thresholds": [1, 2, 3, 4]}, "hihg", f'{DEMO}: found "hihg"'),
    ],
)
def test_what_a_demo_cannot_ask_for_is_told_before_training(kind: str, config: dict[str, Any], value: Any, message: str) -> None:
    """Every demo failed in a traceback, and training went on; a checkpoint of such a training is read all the same."""
    fits = {"class_mixture": "house", "list": "A minor", "number": 120, "quality": "high"}[kind]
    demo: dict[str, Any] = {"num_demos": 2, "demo_cond": [{"style": fits}, {"style": value}]}
    wrong = with_conditioner(kind, config, **{"training.demo": demo})
    with pytest.raises(ConfigError) as error:
        check_training_config(wrong)
    assert message in str(error.value)
    check_model_config(wrong)
    demo["demo_cond"][1] = demo["demo_cond"][0]
    checked, training = check_training_config(with_conditioner(kind, config, **{"training.demo": demo}))
    assert checked.training is training
    check_training_config(with_conditioner(kind, config))


def test_without_demos_nothing_says_what_they_are_to_be() -> None:
    """A `demo_every` of 0 was an error."""
    for every in (0, 1):
        config = with_conditioner("number", {"min_val": 60, "max_val": 200}, **{"training.demo": {"demo_every": every}})
        with contextlib.nullcontext() if every == 0 else pytest.raises(ConfigError, match="Or set demo_cond_from_batch"):
            assert check_training_config(config)[1].demo.demo_every == 0
