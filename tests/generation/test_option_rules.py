"""Options that need a recording, or one another, say so; what no codec or model can follow is told in words, not in Python."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_snac_diffusion import CHUNK, make_whole
from tiny import conditioned_model_config, write_tiny_codec

from snac_plugin.errors import UsageError
from snac_plugin.generation.prompts import prompts_of
from snac_plugin.generation.request import Request, with_options
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

STEREO = 0.1 * torch.randn(2, 3 * CHUNK, generator=torch.Generator().manual_seed(0))
CODES = torch.randint(64, (15, 8))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusion:
    return make_whole(tmp_path_factory.mktemp("codec"), head="logits", context_chunks=1)


@pytest.mark.parametrize(
    "options",
    [{"match": False}, {"match": True}, {"width": "keep"}, {"width": "mono"}, {"only_new": True}, {"loop": True, "match": False}],
)
def test_what_is_said_of_a_recording_needs_one(model: SnacDiffusion, options: dict[str, Any]) -> None:
    """From nothing it did nothing, without a word."""
    name = [*options][-1]
    expected = f"{name}: found no recording, expected context, edit, before or bridge beside it"
    with pytest.raises(UsageError, match=expected):
        model.generate(**options, put_back=True if "loop" in options else None)
    with pytest.raises(UsageError, match=f"prompt 2: {expected}"):
        prompts_of([{"seed": 1}, options])


def test_what_prompts_have_in_common_holds_where_there_is_a_recording() -> None:
    """A flag beside a file of prompts is for those that continue or change something; for none it is refused."""
    alone, continued, edited = prompts_of([{}, {"context": "a.wav"}, {"edit": "a.wav", "keep_levels": "A"}], {"match": False})
    assert (alone.request.match, continued.request.match, edited.request.match) == (None, False, False)
    with pytest.raises(UsageError, match=r"^width: found no recording"):
        prompts_of([{}, {"seconds": 3}], {"width": "mono"})


@pytest.mark.parametrize(
    ("contexts", "found"),
    [
        ([CODES], "codes, or a sample without a recording"),
        ([STEREO, None], "codes, or a sample without a recording"),
        ([STEREO, STEREO[0]], "channels: 1, 2"),
        ([STEREO[:1].expand(6, -1)], "channels: 6"),
    ],
)
def test_a_width_that_cannot_be_kept_is_said(model: SnacDiffusion, contexts: list[Any], found: str) -> None:
    """What is new was mono then, though its width was asked for."""
    with pytest.raises(
        UsageError, match=f"width: found {found}, expected recordings that are all stereo, or all mono. Leave width out"
    ):
        model.generate(context=contexts, batch_size=len(contexts), width="keep", progress=False)
    if found == "channels: 6":
        with pytest.raises(UsageError, match=f"width: found {found}"):
            model.generate(edit=contexts[0], keep_levels="A", width="keep", progress=False)


def test_a_context_in_the_metadata_is_one_like_any_other(tmp_path: Path) -> None:
    """Its width was lost, and from_second refused."""
    config = conditioned_model_config(write_tiny_codec(tmp_path))
    config["model"]["conditioning"]["configs"] = [{"id": "before", "type": "snac_context", "config": {}}]
    config["model"]["diffusion"] |= {"global_cond_ids": [], "prepend_cond_ids": ["before"]}
    config["model"]["diffusion"]["config"].pop("global_cond_dim")
    config["training"]["demo"].pop("demo_cond_from_batch")
    model = builders.model(config)
    options: dict[str, Any] = {"width": "keep", "from_second": 1.0, "seed": 1, "progress": False}
    told = model.generate(conditioning={"before": (32000, STEREO)}, **options)
    assert told.shape[1] == 2
    assert torch.equal(told, model.generate(context=(32000, STEREO), **options))


def test_what_a_call_does_not_take_is_not_offered() -> None:
    """`format` stood in the list of arguments, and was refused."""
    with pytest.raises(UsageError, match=r"expected one of (?!.*format)"):
        with_options(Request(), {"fromat": "wav"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"edit": "a", "repaint": ((5.0, 3.0),)},
            r"repaint: found 5:3, expected pairs of seconds, the earlier one first: 3\.2:5\.1",
        ),
        ({"edit": "a", "strength": {"A": 0.0, "B": 2.0}}, "strength: found A=0,B=2, expected a number from 0 to 1"),
        ({"edit": "a", "keep_levels": "E"}, "keep_levels: found E, expected levels from the coarsest on, as one word: A, AB, ABC"),
        ({"edit": "a", "keep_levels": "AE"}, "keep_levels: found AE, expected levels from the coarsest on, as one word: A, AB"),
        ({"edit": "a", "keep_levels": ""}, "keep_levels: found nothing"),
        ({"edit": "a", "keep_levels": ["A", "B"]}, "keep_levels: found A,B, expected levels from the coarsest on, as one word"),
        ({"steps": 0}, "steps: found 0, expected a whole number from 1 to 1,000,000"),
        ({"steps": {"A": 1, "C": 0}}, "steps: found A=1,C=0"),
        ({"cfg_interval": (0.5, 0.1)}, "cfg_interval: found 0.5,0.1, expected two noise levels"),
    ],
)
def test_values_are_shown_as_they_are_written(wrong: dict[str, Any], message: str) -> None:
    """They were shown as Python holds them, some only once a model was loaded."""
    with pytest.raises(UsageError, match=message):
        Request(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"strength": {"A": 0.0, "E": 1.0}},
            "strength: found level E, expected one number, or one for each .*A, B, C, D",
        ),
        ({"strength": {"A": 0.0, "a": 1.0}}, 'strength: found level a, .*Did you mean "A"'),
        ({"strength": {"A": 0.0, "D": 1.0}}, "strength: found A=0,D=1 and nothing for B, C, expected one number, or one for each"),
        ({"keep_levels": "ABCDE"}, "keep_levels: found ABCDE, expected one of A, AB, ABC"),
        (
            {"keep_levels": "A", "steps": {"A": 1, "E": 2}},
            "steps: found level E, expected one number",
        ),
        ({"keep_levels": "A", "steps": {"AB": 1}}, "steps: found level AB"),
        ({"keep_levels": "A", "steps": {"B": 1}}, "steps: found B=1 and nothing for A, C, D"),
    ],
)
def test_levels_that_the_codec_lacks_are_named(model: SnacDiffusion, wrong: dict[str, Any], message: str) -> None:
    """The text showed all that was said, and left it to the reader which of it was wrong."""
    with pytest.raises(UsageError, match=message):
        check_request(Request(edit="a", **wrong), model.config, "ABCD")
