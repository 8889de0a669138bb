"""What training makes of this package's conditioners: labels dropped for their own vector, positions from crops."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import CHUNK_FRAMES, conditioned_model_config, write_tiny_codec

from snac_plugin.config.condition_values import Position
from snac_plugin.errors import LostData, UsageError
from snac_plugin.generation.context import Context
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper
from snac_plugin.training.batches import positions
from snac_plugin.training.stage_losses import Share
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper

ALONE = Share(0, 1)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


def wrapper_for(codec: Path, **training: Any) -> SnacDiffusionTrainingWrapper:
    torch.manual_seed(0)
    config = conditioned_model_config(codec)
    config["training"] |= {"pre_encoded": True, "demo": {"demo_cond_from_batch": True}} | training
    wrapper = training_wrapper(config, builders.model(config))
    wrapper._trainer = SimpleNamespace(global_step=0, accumulate_grad_batches=1, global_rank=0, world_size=1)
    return wrapper


def batch(size: int) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    crop = {"latent_crop_start": 6, "latent_crop_length": 2 * CHUNK_FRAMES, "encoding": {"frames": 10 * CHUNK_FRAMES}}
    return torch.zeros(size, 15, 2 * CHUNK_FRAMES, dtype=torch.long), [{"style": "jazz", "tempo": 100, **crop}] * size


def rows(wrapper: SnacDiffusionTrainingWrapper, size: int, **how: Any) -> dict[str, torch.Tensor]:
    embedding = wrapper._prepare(batch(size), **how)[2].embedding
    assert embedding is not None
    assert embedding.shape == (size, 1 + 1 + 2, 24)  # of no chunk, of the context's, of both in the window
    return dict(zip(("style", "tempo", "place"), embedding.split(8, dim=-1), strict=True))


def test_a_single_condition_is_dropped_as_often_as_asked(codec: Path) -> None:
    """Each alone, in a draw of its own; the label becomes its learned vector, the number zero."""
    wrapper = wrapper_for(codec, condition_dropout={"style": 0.5, "tempo": 0.25})
    kept = wrapper._single_kept(4000, 0, ALONE)
    assert kept.keys() == {"style", "tempo"}
    shares = [1 - kept[name].double().mean().item() for name in ("style", "tempo")]
    assert shares == pytest.approx([0.5, 0.25], abs=0.03)
    assert (~kept["style"] & ~kept["tempo"]).double().mean().item() == pytest.approx(0.125, abs=0.02)
    found = rows(wrapper, 4, keep=torch.ones(4, dtype=torch.bool), single={"style": torch.tensor([True, False, True, False])})
    jazz, nothing = wrapper.diffusion.conditioner.conditioners["style"].embedder.weight[[1, 2]]
    assert torch.equal(found["style"][:, 0], torch.stack([jazz, nothing, jazz, nothing]))
    assert found["tempo"].any(dim=-1).all()


def test_what_a_file_does_not_say_is_dropped_as_training_drops_it(codec: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder of recordings without JSON files could not be trained on at all."""
    wrapper = wrapper_for(codec, condition_dropout=0.1)
    codes, said = batch(2)
    said = [said[0], {key: value for key, value in said[1].items() if key not in ("style", "tempo")}]
    kept = {name: torch.tensor([True, False]) for name in ("style", "tempo")}
    found, dropped = wrapper._prepare((codes, said))[2], wrapper._prepare(batch(2), single=kept)[2]
    assert torch.equal(found.embedding, dropped.embedding)
    assert [message.partition(": it trains")[0] for message in caplog.messages] == [
        f"sample 1 of the batch: nothing is said of {name}" for name in ("style", "tempo")
    ]
    with pytest.raises(LostData, match="sample 1 of the batch: style: found nothing"):
        wrapper_for(codec)._prepare((codes, said))


def test_without_the_key_none_is_dropped(codec: Path) -> None:
    assert wrapper_for(codec)._single_kept(4, 0, ALONE) == {}
    assert wrapper_for(codec, condition_dropout=0.1)._single_kept(4, 0, ALONE).keys() == {"style", "tempo", "place"}


def test_what_cfg_dropout_drops_is_the_label_s_own_vector(codec: Path) -> None:
    wrapper = wrapper_for(codec)
    found = rows(wrapper, 2, keep=torch.tensor([True, False]))
    nothing = wrapper.diffusion.conditioner.conditioners["style"].embedder.weight[-1]
    assert torch.equal(found["style"][1], nothing.expand(4, -1))
    assert not found["tempo"][1].any()
    assert not found["place"][1].any()
    assert found["place"][0, 1:].any(dim=-1).all()


def test_the_label_s_own_vector_learns(codec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose samples are all dropped moves it, and no class."""
    wrapper = wrapper_for(codec, cfg_dropout_prob=1.0)
    for parameter in wrapper.diffusion.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    monkeypatch.setattr(wrapper, "_log_step", lambda *_: None)
    wrapper.training_step(batch(2), 0).backward()
    gradient = wrapper.diffusion.conditioner.conditioners["style"].embedder.weight.grad
    assert gradient is not None
    assert gradient[-1].any()
    assert not gradient[:-1].any()


def test_crops_say_where_they_lie(codec: Path) -> None:
    wrapper = wrapper_for(codec)
    (placed,) = wrapper._placed(batch(1)[1], batch(1)[0])
    assert placed["place"] == Position(1.5, 10.0, 2)
    found, place = rows(wrapper, 1)["place"], wrapper.diffusion.conditioner.conditioners["place"]
    assert torch.equal(found, place([Position(1.5, 10.0, 2)])[0])


def test_positions_of_each_kind_of_metadata() -> None:
    """Of an encoded crop in frames, of audio in shares of the file, or as the data say themselves; else a sentence."""
    encoded = {"latent_crop_start": 30, "latent_crop_length": 30, "encoding": {"frames": 100}, "timestamps": (0.0, 1.0)}
    short = {"latent_crop_start": 0, "latent_crop_length": 30, "encoding": {"frames": 12}}
    audio, said = {"timestamps": (0.25, 0.5)}, {"place": "3/10", "timestamps": (0.0, 1.0)}
    found = [entry["place"] for entry in positions([encoded, short, audio, said], ["place"], 3)]
    assert found == [Position(3.0, 10.0, 3), Position(0.0, 3.0, 3), Position(3.0, 12.0, 3), Position(3.0, 10.0, 3)]
    with pytest.raises(UsageError, match=r"metadata of a\.wav without timestamps"):
        positions([{"path": "a.wav"}], ["place"], 3)


@pytest.mark.parametrize("context", [0, 1])
def test_a_step_with_positions_runs_with_and_without_context(codec: Path, monkeypatch: pytest.MonkeyPatch, context: int) -> None:
    """Chunks folded into samples keep their own positions; a context before the window has those before it."""
    wrapper = wrapper_for(codec)
    monkeypatch.setattr(wrapper, "_log_step", lambda *_: None)
    monkeypatch.setattr(wrapper, "_context_chunks", lambda *_: context)
    before = Context(torch.zeros(2, 15, CHUNK_FRAMES, dtype=torch.long), torch.ones(2, CHUNK_FRAMES, dtype=torch.bool))
    monkeypatch.setattr(wrapper, "_context_before", lambda *_: before if context else None)
    assert wrapper.training_step(batch(2), 0).isfinite()


def test_training_names_the_file_whose_label_is_wrong(codec: Path) -> None:
    codes, metadata = batch(2)
    for wrong, found in ({"style": "rock"}, 'style: found "rock"'), ({"tempo": None}, "tempo: found null"):
        said = [{**metadata[0], "path": "fine.wav"}, {**metadata[1], "path": "bad.wav"} | wrong]
        with pytest.raises(LostData, match=rf"bad\.wav: {found}, expected .* pre_encode\.py --overwrite"):
            wrapper_for(codec)._prepare((codes, said))
