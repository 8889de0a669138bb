"""The curriculum is a pure function of the global step."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from snac_plugin.config import TrainingSection, check_model_config
from snac_plugin.training.curriculum import Curriculum, Phase, curriculum_from_config

PHASES = [
    {"name": "alone", "steps": 10, "context": {"0": 1.0}, "levels": "BCD", "learning_rate_scale": 2.0},
    {"name": "one", "steps": 5, "context": {"0": 0.25, "1": 0.75}, "level_weights": {"A": 0.5}},
    {"name": "two", "context": {"0": 0.1, "1": 0.2, "2": 0.7}},
]


def curriculum(phases: list[dict[str, Any]] | None = None, context_chunks: int = 2, **training: Any) -> Curriculum:
    section = TrainingSection(learning_rate=1e-4, curriculum=PHASES if phases is None else phases, **training)
    return curriculum_from_config(section, "ABCD", context_chunks)


def test_phases_follow_the_global_step() -> None:
    """Off by one, a resumed run would train a step of another phase."""
    made = curriculum()
    assert [made.index(step) for step in (0, 9, 10, 14, 15, 10**9)] == [0, 0, 1, 1, 2, 2]
    assert [made.at(step).name for step in (0, 10, 15)] == ["alone", "one", "two"]


def test_asking_leaves_no_trace() -> None:
    """A curriculum with a memory would go wrong when training is resumed in the middle."""
    made, again = curriculum(), curriculum()
    for step in (20, 3, 12, 0):
        made.at(step)
    assert [made.at(step) for step in range(20)] == [again.at(step) for step in range(20)]


def test_context_lengths_come_with_their_probabilities() -> None:
    phase = curriculum().at(15)
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.tensor([phase.draw_context(generator) for _ in range(4000)]), minlength=3)
    torch.testing.assert_close(counts / 4000, torch.tensor([0.1, 0.2, 0.7]), rtol=0, atol=0.03)
    assert {curriculum().at(0).draw_context(generator) for _ in range(50)} == {0}


def test_context_follows_the_generator_alone() -> None:
    phase, drawn = curriculum().at(15), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(3)
        drawn.append([phase.draw_context(generator) for _ in range(20)])
    assert drawn[0] == drawn[1]


def test_levels_and_weights_of_a_phase() -> None:
    """A phase's own weights replace those of the section, levels left out of training weigh nothing."""
    made = curriculum(level_weights={"D": 3.0})
    assert made.at(0).level_weights == (0.0, 1.0, 1.0, 3.0)
    assert made.at(10).level_weights == (0.5, 1.0, 1.0, 1.0)
    assert made.at(15).level_weights == (1.0, 1.0, 1.0, 3.0)
    assert [made.at(step).learning_rate_scale for step in (0, 10, 15)] == [2.0, 1.0, 1.0]


@pytest.mark.parametrize(("context_chunks", "expected"), [(0, (1.0,)), (1, (0.1, 0.9)), (2, (0.1, 0.0, 0.9))])
def test_without_a_curriculum_there_is_one_phase_of_full_context(context_chunks: int, expected: tuple[float, ...]) -> None:
    """Context is left out as often as other conditioning, or guidance would have no branch without it."""
    section = TrainingSection(learning_rate=1e-4, cfg_dropout_prob=0.1)
    made = curriculum_from_config(section, "ABC", context_chunks)
    assert made.at(0) is made.at(10**6)
    assert made.at(0).context == pytest.approx(expected)
    assert made.at(0).level_weights == (1.0, 1.0, 1.0)


def test_a_phase_tells_what_it_does() -> None:
    made = curriculum()
    assert made.at(0).describe("ABCD") == "alone: chunks of context 0: 100%; levels B C D; learning rate x 2"
    assert made.at(10).describe("ABCD") == "one: chunks of context 0: 25%, 1: 75%; levels A x 0.5 B C D"


def test_a_phase_of_masked_pre_training_has_a_share_of_known_frames_of_its_own() -> None:
    phases = [{"name": "masked", "steps": 5, "context": {"0": 1.0}, "infill_share": 1.0}, {"name": "plain", "context": {"0": 1.0}}]
    section = TrainingSection(learning_rate=1e-4, infill={"share": 0.25}, curriculum=phases)  # type: ignore[arg-type]
    made = curriculum_from_config(section, "ABCD", 1)
    assert [made.at(step).infill_share for step in (0, 5)] == [1.0, None]
    assert made.at(0).describe("ABCD").endswith("known frames in 100% of the steps")


def test_shipped_production_config_reaches_two_chunks_of_context() -> None:
    """The plan: from no context over one chunk to two."""
    path = Path(__file__).parents[2] / "model_configs" / "snac_dit_32khz.json"
    config = check_model_config(json.loads(path.read_text()))
    assert config.training is not None
    made = curriculum_from_config(config.training, "ABCD", config.model.diffusion.config.context_chunks)
    assert made.phases[0].context == (1.0, 0.0, 0.0)
    assert made.phases[-1].context[2] > 0.5
    assert all(sum(phase.context) == pytest.approx(1) for phase in made.phases)


def test_levels_that_a_short_run_never_reaches() -> None:
    """A and B train first, C from step 10, D in no phase at all."""
    weights = ((1.0, 1.0, 0.0, 0.0), (1.0, 1.0, 1.0, 0.0))
    made = Curriculum(tuple(Phase("", first, (1.0,), each) for first, each in zip((0, 10), weights, strict=True)))
    assert made.untrained(10) == {2: 10}
    assert made.untrained(11) == {}
