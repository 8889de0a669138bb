"""A Gaussian objective is three files, as CONTRIBUTING.md says: no other one knows the objectives by name."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from known import GAUSSIAN
from torch import Tensor

from snac_plugin.config.network_keys import DiffusionSection
from snac_plugin.diffusion import sampler_names, samplers
from snac_plugin.diffusion.objectives import OBJECTIVES, RectifiedFlow
from snac_plugin.diffusion.sampler_names import SAMPLERS, default_sampler
from snac_plugin.diffusion.samplers import SOLVERS, solve

PACKAGE = Path(sampler_names.__file__).parents[1]
FILES = {"diffusion/objectives.py", "diffusion/sampler_names.py", "diffusion/samplers.py"}
OTHERS = {
    "config/migration.py": "defaults of earlier versions",
    "generation/snac_diffusion.py": "what stable-audio-tools' callers see of any objective",
}


def test_no_other_file_names_an_objective() -> None:
    naming = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in OBJECTIVES
    }
    assert naming == FILES | OTHERS.keys()


def test_tables_and_config_know_the_same_objectives() -> None:
    assert SAMPLERS.keys() == OBJECTIVES.keys() == sampler_names.EULER.keys() == sampler_names.HEADS.keys()
    assert SOLVERS.keys() == GAUSSIAN.keys()
    assert OBJECTIVES.keys() - GAUSSIAN.keys() == {name for name in SAMPLERS if {*SAMPLERS[name]} <= {*sampler_names.DRAWING}}
    assert {*get_args(DiffusionSection.model_fields["diffusion_objective"].annotation)} == OBJECTIVES.keys()


@dataclass(frozen=True)
class Squared(RectifiedFlow):
    """x_t = (1 - t^2) data + t^2 noise; output = noise - data."""

    name: str = "squared"

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t.square(), t.square()


def test_an_objective_in_the_tables_is_solved_by_its_own_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Euler's method on t^2 is exact where the velocity is known."""

    def euler(sampler: str, velocity: Any, noise: Tensor, *, steps: int, **_: Any) -> Tensor:
        assert sampler == "euler-squared"
        x = noise
        for t, after in zip(torch.linspace(1, 0, steps + 1)[:-1], torch.linspace(1, 0, steps + 1)[1:], strict=True):
            x = x + (after**2 - t**2) * velocity(x, t.expand(len(x)))
        return x

    monkeypatch.setitem(OBJECTIVES, "squared", Squared())
    monkeypatch.setitem(SAMPLERS, "squared", ("euler-squared",))
    monkeypatch.setitem(samplers.SOLVERS, "squared", euler)
    data, noise = torch.randn(2, 1, 8, 4, generator=torch.Generator().manual_seed(0))
    halfway = OBJECTIVES["squared"].noised(data, noise, torch.tensor(0.5))
    torch.testing.assert_close(halfway, 0.75 * data + 0.25 * noise)
    found = solve("squared", lambda x, t: noise - data, noise, steps=3, sampler=default_sampler("squared", predicts_codes=True))
    torch.testing.assert_close(found, data)
