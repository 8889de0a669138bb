"""From metadata to what is generated: this package's conditioners, negatives, guidance by condition, positions of chunks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from stable_audio_tools.inference.generation import generate_diffusion_cond
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec
from torch import Tensor

from snac_plugin.config import check_model_config
from snac_plugin.config.condition_checks import ConditionInput
from snac_plugin.config.condition_values import Position
from snac_plugin.errors import UsageError
from snac_plugin.generation.condition_inputs import condition_inputs, guided_names
from snac_plugin.generation.request import Request, options_in
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

CHUNK = CHUNK_FRAMES * 3072
CONFIGS = [
    {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
    {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}},
    {"id": "quality", "type": "quality", "config": {"thresholds": [2, 3, 4, 5]}},
    {"id": "bars", "type": "int", "config": {"max_val": 16}},
    {"id": "place", "type": "chunk_position", "config": {"most_chunks": 8}},
]
FITS: dict[str, Any] = {"style": "house:0.7,jazz:0.3", "tempo": 120, "quality": 4.5, "bars": 8}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    codec = write_tiny_codec(tmp_path_factory.mktemp("codec"))
    config = tiny_model_config(codec, head="logits", context_chunks=1, global_cond_dim=32, cond_token_dim=8)
    config["model"]["conditioning"] = {"configs": CONFIGS, "cond_dim": 8}
    config["model"]["diffusion"] |= {
        "global_cond_ids": ["style", "tempo", "bars", "place"],
        "cross_attention_cond_ids": ["quality"],
    }
    config["training"]["demo"]["demo_cond"] = [FITS]
    config["training"]["condition_dropout"] = 0.2
    return config


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> SnacDiffusion:
    torch.manual_seed(0)
    model = builders.model(config)
    for parameter in model.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def codes(model: SnacDiffusion, **options: Any) -> Tensor:
    made = model.generate(**{"conditioning": FITS, "seed": 1, "progress": False, "chunks": 2} | options, return_codes=True)
    return made[1]


def test_what_a_model_reads(config: dict[str, Any]) -> None:
    checked = check_model_config(config)
    style, tempo, quality, bars, place = condition_inputs(checked)
    assert style == ConditionInput("style", "class_mixture", "mixture", names=("house", "jazz"), default="house:0.7,jazz:0.3")
    assert (tempo.kind, tempo.low, tempo.high, tempo.default) == ("number", 60, 200, 120)
    assert (quality.kind, quality.names[0], quality.default) == ("quality", "very low", 4.5)
    assert (bars.kind, bars.low, bars.high) == ("whole number", 0, 16)
    assert (place.kind, place.needed) == ("position", False)
    assert guided_names(checked) == ("style", "tempo", "quality", "bars", "place", "context")


def test_text_is_as_good_as_values(model: SnacDiffusion) -> None:
    """What `--condition` hands over; a whole number as text failed in stable-audio-tools' table."""
    text = {"style": "house:0.7,jazz:0.3", "tempo": "120", "quality": "high", "bars": "8"}
    values = {"style": {"jazz": 0.3, "house": 0.7}, "tempo": 120.0, "quality": 4.1, "bars": 8.0}
    assert torch.equal(codes(model, conditioning=text), codes(model, conditioning=values))


@pytest.mark.parametrize(
    "other",
    [{"style": "jazz"}, {"tempo": 180}, {"quality": "low"}, {"bars": 2}, {"place": "4/8"}],
    ids=lambda other: next(iter(other)),
)
def test_each_condition_reaches_the_codes(model: SnacDiffusion, other: dict[str, Any]) -> None:
    assert not torch.equal(codes(model), codes(model, conditioning=FITS | other))


def test_guidance_scales_of_one_are_no_guidance(model: SnacDiffusion) -> None:
    ones = dict.fromkeys(guided_names(model.config), 1.0)
    assert torch.equal(codes(model, guidance=ones), codes(model, cfg_scale=1.0))


def test_a_guidance_scale_of_zero_is_the_condition_left_out(model: SnacDiffusion) -> None:
    """The label's own vector takes its place, as training drops it."""
    assert torch.equal(codes(model, guidance={"style": 0.0}), codes(model, conditioning=FITS | {"style": ""}))
    assert torch.equal(codes(model, guidance={"quality": 0.0}), codes(model, conditioning=FITS | {"quality": ""}))
    assert not torch.equal(codes(model, guidance={"style": 0.0}), codes(model))
    assert not torch.equal(codes(model, guidance={"context": 3.0}), codes(model))


def test_guidance_by_condition_leads_away_from_its_negative(model: SnacDiffusion) -> None:
    """With scale 0 it is the negative's value: the formula's other end."""
    asked = codes(model, guidance={"style": 0.0}, negative_conditioning={"style": "jazz"})
    assert torch.equal(asked, codes(model, conditioning=FITS | {"style": "jazz"}))


def test_a_negative_may_name_some_conditions(model: SnacDiffusion) -> None:
    """Those it leaves out are dropped: quality low, and nothing else, is what QA-MDT leads away from."""
    low = codes(model, cfg_scale=3.0, negative_conditioning={"quality": "very low"})
    assert not torch.equal(low, codes(model, cfg_scale=3.0))
    full = codes(model, cfg_scale=0.0, negative_conditioning=FITS | {"style": "jazz"}, chunks=1)
    assert torch.equal(full, codes(model, conditioning=FITS | {"style": "jazz"}, chunks=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": {"stlye": 2}}, "guidance: found 'stlye', expected one of style, tempo"),
        ({"guidance": {"style": -1}}, "guidance: found style=-1, expected an object with a scale from 0 up"),
        ({"conditioning": FITS | {"stlye": "jazz"}}, 'Did you mean "style"?'),
        (
            {"conditioning": FITS | {"style": "jaz"}},
            'conditioning: style: found "jaz", expected one of house, jazz. Did you mean "jazz"?',
        ),
        ({"conditioning": FITS | {"style": {"jazz": -1}}}, "weight -1 of jazz"),
        ({"conditioning": FITS | {"quality": "good"}}, 'conditioning: quality: found "good", expected one of very low'),
        ({"conditioning": FITS | {"bars": 2.5}}, "conditioning: bars: found 2.5, expected a whole number from 0 to 16"),
        (
            {"conditioning": FITS | {"place": "9/9"}},
            'conditioning: place: found "9/9", expected an index below a total of at most 8',
        ),
        ({"negative_conditioning": {"place": "1/2"}}, "negative_conditioning: found the key 'place'"),
    ],
)
def test_what_a_model_cannot_follow_is_said(model: SnacDiffusion, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        codes(model, **options)
    assert message in str(error.value)


def test_chunks_are_placed_one_after_the_other(model: SnacDiffusion) -> None:
    """Three chunks from nothing are placed at 0, 1 and 2 of 3, whether that is said or not; elsewhere they sound otherwise."""
    made = codes(model, chunks=3)
    assert torch.equal(made, codes(model, chunks=3, conditioning=FITS | {"place": {"index": 0, "total": 3}}))
    assert not torch.equal(made, codes(model, chunks=3, conditioning=FITS | {"place": {"index": 0, "total": 8}}))


def test_a_continuation_goes_on_counting(model: SnacDiffusion) -> None:
    """After five chunks of codes or of audio, or 5.5 of a longer recording, the first new chunk has their number."""
    past = torch.randint(64, (15, 5 * CHUNK_FRAMES))
    counted = codes(model, context=past)
    assert torch.equal(counted, codes(model, context=past, conditioning=FITS | {"place": [5, 7]}))
    assert not torch.equal(counted, codes(model, context=past[:, CHUNK_FRAMES:]))
    cut = codes(model, context=past[:, -CHUNK_FRAMES:], place=(5 * CHUNK / 32000, 7 * CHUNK / 32000))
    assert torch.equal(counted, cut), "the end of a recording is enough, with its length"
    audio = torch.randn(round(5.5 * CHUNK))
    assert torch.equal(codes(model, context=audio), codes(model, context=audio, conditioning=FITS | {"place": [5.5, 7.5]}))


def test_stable_audio_tools_call_is_told_the_position(model: SnacDiffusion) -> None:
    options: Any = {"steps": 8, "sample_size": 2 * CHUNK, "device": "cpu", "seed": 3, "cfg_scale": 2.0}
    made = generate_diffusion_cond(model, conditioning=[FITS | {"place": "0/2"}], **options)
    assert made.isfinite().all()
    with pytest.raises(UsageError, match="nothing for place"):
        generate_diffusion_cond(model, conditioning=[FITS], **options)
    with pytest.raises(UsageError, match="a position in a piece that ends before chunk"):
        generate_diffusion_cond(model, conditioning=[FITS | {"place": "0/1"}], **options | {"sample_size": 3 * CHUNK, "steps": 12})
    with pytest.raises(UsageError, match=r"guidance: found .* expected cfg_scale alone"):
        generate_diffusion_cond(model, conditioning=[FITS | {"place": "0/2"}], guidance={"style": 2.0}, **options)


def test_guidance_of_stable_audio_tools_call_leads_away_from_the_label_s_own_vector(model: SnacDiffusion) -> None:
    """With cfg_scale 0 only what stands for no label counts; zeros, or a class, give another output."""
    options: Any = {"steps": 4, "sample_size": CHUNK, "device": "cpu", "seed": 3, "cfg_scale": 0.0, "return_latents": True}
    given = [FITS | {"place": "0/1"}]
    made = generate_diffusion_cond(model, conditioning=given, **options)
    embedder = model.conditioner.conditioners["style"].embedder.weight
    with torch.no_grad():
        embedder[-1] += 1
        changed = generate_diffusion_cond(model, conditioning=given, **options)
        embedder[-1] -= 1
        embedder[:-1] += 1
        same = generate_diffusion_cond(model, conditioning=given, **options)
        embedder[:-1] -= 1
    assert not torch.equal(made, changed)
    assert torch.equal(made, same)


def test_an_edit_keeps_the_recording_s_places(model: SnacDiffusion) -> None:
    """Repainting and varying run with positions too."""
    recording = 0.1 * torch.randn(3 * CHUNK)
    options: Any = {"conditioning": FITS, "edit": recording, "progress": False, "seed": 1}
    made = model.generate(keep_levels="A", **options)
    assert made.shape[-1] == 3 * CHUNK
    later = model.generate(repaint=[(0.9, 1.0)], put_back=True, **options)
    assert torch.equal(later[0, 0, : round(0.9 * 32000)], recording[: round(0.9 * 32000)])


@pytest.mark.parametrize("place", [None, (5 * CHUNK / 32000, 9 * CHUNK / 32000)], ids=["all of it", "a part"])
@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({"repaint": [(0.5, 0.6), (1.0, 1.1)], "put_back": True}, (16000 / CHUNK, (16000 + 5 * 3072) / CHUNK)),
        ({"keep_levels": "A"}, (0, 1, 2, 3)),
        ({"loop": True, "put_back": True}, (3.75,)),
        ({"edit": None, "loop": True, "put_back": True, "chunks": 4}, (0, 1, 2, 3, 3.75)),
    ],
    ids=["repaint", "vary", "loop", "loop of nothing"],
)
def test_chunks_of_an_edit_have_the_position_where_they_begin(
    model: SnacDiffusion,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    starts: tuple[float, ...],
    place: tuple[float, float] | None,
) -> None:
    """As in training; they had that of the whole chunk before. Frames that a gap touches are generated whole."""
    told: list[Tensor] = []
    start_chunk = model.model.start_chunk

    def spy(prompt: Any, *rest: Any) -> Any:
        told.append(prompt.conditions.embedding)
        return start_chunk(prompt, *rest)

    monkeypatch.setattr(model.model, "start_chunk", spy)
    first, total = (0, 4) if place is None else (5, 9)
    edit = {"edit": 0.1 * torch.randn(4 * CHUNK), "conditioning": FITS, "progress": False, "seed": 1}
    model.generate(**{**edit, **options}, place=place)
    assert len(told) == len(starts)
    for embedding, start in zip(told, starts, strict=True):
        alone = model.conditions([FITS | {"place": Position(first + start, total, 1)}]).embedding
        assert alone is not None
        rows = [0, 1, 2] if embedding.shape[1] == 3 else [0, 2]  # tokens of no chunk, the context's, the chunk's own
        torch.testing.assert_close(embedding, alone[:, rows])


def test_what_the_network_does_not_read_is_not_guided_by(config: dict[str, Any]) -> None:
    """A conditioner that no list names was taken, and did nothing."""
    diffusion = config["model"]["diffusion"] | {"global_cond_ids": ["style", "bars", "place"]}
    diffusion["config"] = diffusion["config"] | {"global_cond_dim": 24}
    checked = check_model_config(config | {"model": config["model"] | {"diffusion": diffusion}})
    with pytest.raises(UsageError, match="guidance: found 'tempo', expected one of style, quality, bars, place, context"):
        check_request(Request(guidance={"tempo": 2.0}, conditioning=FITS), checked, "ABCD")


def test_positions_that_come_from_the_songs_are_not_taken(config: dict[str, Any]) -> None:
    """`evaluate.py --condition place=1/4` was overwritten by each clip's own, without a word."""
    with pytest.raises(UsageError, match="conditioning: found the key 'place', expected no position: it is where the chunk lies"):
        check_request(Request(conditioning={"place": "1/4"}), check_model_config(config), "ABCD", complete=False)


def test_settings_name_the_scales(config: dict[str, Any], tmp_path: Path) -> None:
    checked = check_model_config(config)
    settings = check_request(Request(guidance={"style": 2.0}, conditioning=FITS), checked, "ABCD").as_dict("ABCD")
    assert settings["guidance"] == {"style": 2.0}
    assert settings["cfg_scale"] == 1.0
    assert options_in({**settings, "seed": 1})["guidance"] == {"style": 2.0}
    assert "guidance" not in check_request(Request(conditioning=FITS), checked, "ABCD").as_dict("ABCD")


def test_what_is_read_of_a_recording_knows_its_place_in_it(model: SnacDiffusion, tmp_path: Path) -> None:
    """Only the end of a long recording is read, and a part around a gap: chunks count from the beginning of the file."""
    import soundfile

    from snac_plugin.output.recordings import Recording
    from snac_plugin.output.sample_in_progress import Plan

    soundfile.write(tmp_path / "long.wav", 0.1 * torch.randn(30 * 32000).numpy(), 32000)
    file = str(tmp_path / "long.wav")
    recording = Recording.read(file, model.levels)
    assert Plan.of(Request(seconds=2.0), model, recording).place == (30.0, 32.0)
    assert Plan.of(Request(seconds=2.0, from_second=20.0), model, recording).place == (20.0, 22.0)
    gap = Plan.of(Request(edit=file, repaint=[(25.0, 26.0)], put_back=True), model, None)
    assert gap.place is not None
    assert 10 < gap.place[0] < 25
    assert gap.place[1] == 30.0
    assert Plan.of(Request(before=file, seconds=2.0, put_back=True), model, None).place == (0.0, 32.0)
    bridge = Plan.of(Request(bridge=(file, file), seconds=2.0, put_back=True), model, None)
    assert bridge.place is not None
    assert bridge.place[1] == 62.0
    assert Plan.of(Request(seconds=2.0), model, None).place is None
