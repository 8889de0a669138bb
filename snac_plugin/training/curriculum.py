"""Which levels train with how much context at a global step: a pure function of the step, so that resuming cannot change it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from snac_plugin.config import CurriculumPhase, TrainingSection


@dataclass(frozen=True)
class Phase:
    """Part of a training run."""

    name: str
    first_step: int  # the global step it begins at
    context: tuple[float, ...]  # probability of seeing 0, 1, ... chunks of context
    level_weights: tuple[float, ...]  # of the losses, coarsest first; 0 for levels not trained
    learning_rate_scale: float = 1.0  # factor on the scheduled learning rate
    infill_share: float | None = None  # share of steps with known frames; None: as training.infill has it

    @property
    def trained(self) -> tuple[int, ...]:
        return tuple(level for level, weight in enumerate(self.level_weights) if weight)

    def draw_context(self, generator: torch.Generator) -> int:
        """Number of context chunks of one training step."""
        return int(torch.multinomial(torch.tensor(self.context, dtype=torch.float64), 1, generator=generator))

    def describe(self, names: str) -> str:
        """One line for the log: "two chunks: context 0: 10 %, 2: 90 %; levels A B C D"."""
        context = ", ".join(f"{count}: {share:.0%}" for count, share in enumerate(self.context) if share)
        levels = " ".join(name if w == 1 else f"{name} x {w:g}" for name, w in zip(names, self.level_weights, strict=True) if w)
        scale = "" if self.learning_rate_scale == 1 else f"; learning rate x {self.learning_rate_scale:g}"
        infill = "" if self.infill_share is None else f"; known frames in {self.infill_share:.0%} of the steps"
        return f"{self.name}: chunks of context {context}; levels {levels}{scale}{infill}"


@dataclass(frozen=True)
class Curriculum:
    """The phases of a training run in order, at least one; the last is open ended."""

    phases: tuple[Phase, ...]

    def at(self, step: int) -> Phase:
        """The phase of a global step."""
        return self.phases[self.index(step)]

    def index(self, step: int) -> int:
        """Which phase a global step belongs to, from 0."""
        return sum(phase.first_step <= step for phase in self.phases) - 1

    def untrained(self, steps: int) -> dict[int, int]:
        """Levels that only phases beyond so many steps train, with the step from which they do."""
        first = {level: phase.first_step for phase in reversed(self.phases) for level in phase.trained}
        return {level: step for level, step in sorted(first.items()) if step >= steps}


def curriculum_from_config(training: TrainingSection, names: str, context_chunks: int) -> Curriculum:
    """The curriculum of a config; without one, a single phase with full context, left out as often as other conditioning.

    `names` are the codec's level names; `context_chunks` fit into the training window before its last chunk.
    """
    weights = training.weights(names)
    if training.curriculum is None:
        none = training.cfg_dropout_prob if context_chunks else 1.0
        context = (none, *[0.0] * (context_chunks - 1), *([1 - none] if context_chunks else []))
        return Curriculum((Phase("all levels", 0, context, weights),))
    phases, first = [], 0
    for phase in training.curriculum:
        context, phase_weights = phase.context_probabilities(context_chunks), _level_weights(phase, names, weights)
        phases.append(Phase(phase.name, first, context, phase_weights, phase.learning_rate_scale, phase.infill_share))
        first += phase.steps or 0
    return Curriculum(tuple(phases))


def _level_weights(phase: CurriculumPhase, names: str, default: Sequence[float]) -> tuple[float, ...]:
    """The loss weight of each level in a phase; 0 for levels that it leaves out."""
    weights = dict(zip(names, default, strict=True)) if phase.level_weights is None else phase.level_weights
    trained = names if phase.levels is None else phase.levels
    return tuple(weights.get(name, 1.0) if name in trained else 0.0 for name in names)
