"""Losses of an evaluation are the trainer's, and each window is given the context it should be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.evaluation.held_out_losses import (
    KINDS,
    context_losses,
    gap_losses,
    other_songs,
    others,
    validation_losses,
)
from snac_plugin.evaluation.options import Options
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditions import Conditions
from snac_plugin.plugin import builders
from snac_plugin.training.stage_losses import Draw, code_losses, stage_losses

QUIET = Options(progress=False)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_codec(tmp_path_factory.mktemp("codec"))


def make(codec: Path, head: str = "logits") -> SnacDiffusion:
    """A tiny model whose every weight matters."""
    torch.manual_seed(0)
    model = builders.model(tiny_model_config(codec, context_chunks=2, head=head))
    for parameter in model.model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.mark.parametrize("head", ["logits", "velocity", "posterior"])
def test_loss_of_a_sample_is_the_trainers(codec: Path, head: str) -> None:
    """For all heads: each sample's loss is what the trainer has for it alone, padding left out, and their mean the batch's."""
    model = make(codec, head).model
    codes, t = torch.randint(4096, (3, 15, CHUNK_FRAMES)), torch.full((3, 1, 4), 0.4)
    draw = Draw(t, torch.randn(3, 120, CHUNK_FRAMES), codes, 0)
    by_sample = code_losses(model, codes, draw, Conditions(), None).by_sample()
    torch.testing.assert_close(by_sample.mean(dim=0), stage_losses(model, codes, draw, Conditions(), None)[0])
    mask = torch.arange(CHUNK_FRAMES) < torch.tensor([[CHUNK_FRAMES], [1], [2]])
    masked = code_losses(model, codes, draw, Conditions(), mask).by_sample()
    for index in range(3):
        one = slice(index, index + 1)
        alone = Draw(t[one], draw.noise[one], codes[one], 0)
        torch.testing.assert_close(masked[index], stage_losses(model, codes[one], alone, Conditions(), mask[one])[0])


def test_validation_loss_is_that_of_the_training(codec: Path) -> None:
    """A window alone in a batch, at fixed noise levels: the trainer's validation step gives the same on average."""
    from snac_plugin.plugin.training_builders import training_wrapper

    model = make(codec)
    config = tiny_model_config(codec, context_chunks=2, head="logits")
    config["training"]["validation_timesteps"] = [0.3, 0.7]
    wrapper = training_wrapper(config, model)
    windows = torch.randint(4096, (40, 15, 3 * CHUNK_FRAMES), generator=torch.Generator().manual_seed(0))
    mine = validation_losses(model, windows, (0.3, 0.7), QUIET)
    for index, window in enumerate(windows):
        wrapper.validation_step((window[None].int(), [{}]), index)
    steps = [torch.stack(found).squeeze(1) for found in wrapper.validation_losses.values()]
    theirs = torch.stack(steps).mean(dim=0).numpy()
    error = np.sqrt(((mine - theirs) ** 2).mean(axis=0) / len(windows))
    assert (np.abs(mine.mean(axis=0) - theirs.mean(axis=0)) < 4 * error + 1e-6).all()


def test_noise_of_a_window_does_not_depend_on_the_windows_after_it(codec: Path) -> None:
    """The same songs must not get other losses when more clips are asked for."""
    model = make(codec)
    windows = torch.randint(4096, (3, 15, 3 * CHUNK_FRAMES), generator=torch.Generator().manual_seed(0))
    few, more = (validation_losses(model, windows[:n], (0.5,), QUIET) for n in (1, 3))
    np.testing.assert_allclose(few[0], more[0], rtol=1e-6)


def test_contexts_are_ones_own_another_songs_and_none(codec: Path) -> None:
    """Where the songs' pasts are equal, another song's is as good as the own one; none differs."""
    model = make(codec)
    windows = torch.randint(4096, (4, 15, 3 * CHUNK_FRAMES), generator=torch.Generator().manual_seed(0))
    windows[..., : 2 * CHUNK_FRAMES] = windows[:1, :, : 2 * CHUNK_FRAMES]
    songs = np.array([0, 0, 1, 1])
    found = context_losses(model, windows, songs, (0.3, 0.8), Options(batch=3))
    assert {value.shape for value in found.values()} == {(2, 4, 4)}
    own, other, none = (found[kind] for kind in KINDS)
    np.testing.assert_allclose(own, other, rtol=1e-5)
    assert np.abs(own - none).max() > 1e-4


def test_of_a_gap_s_future_the_shown_counts_and_the_hidden_does_not(codec: Path) -> None:
    """Neither as known frames nor as finished levels; the past counts in both."""
    model = make(codec)
    windows = torch.randint(4096, (2, 15, 2 * CHUNK_FRAMES), generator=torch.Generator().manual_seed(0))
    changed = {name: windows.clone() for name in ("future", "past")}
    changed["future"][..., -1] = 7
    changed["past"][..., CHUNK_FRAMES] = 7
    plain, future, past = (gap_losses(model, w, (1, 3), (0.3, 0.8), QUIET) for w in (windows, *changed.values()))
    assert plain["shown"].shape == (2, 2, 4)
    np.testing.assert_array_equal(plain["hidden"], future["hidden"])
    assert np.abs(plain["shown"] - future["shown"]).max() > 1e-4
    assert np.abs(plain["hidden"] - past["hidden"]).max() > 1e-4
    whole = gap_losses(model, windows, (1, CHUNK_FRAMES), (0.3,), QUIET)  # nothing comes after
    np.testing.assert_allclose(whole["shown"], whole["hidden"], rtol=1e-5)


def test_every_song_gets_another_songs_context() -> None:
    for count in (2, 3, 16):
        other = others(count, seed=1)
        assert sorted(other.tolist()) == list(range(count))
        assert all(a != b for a, b in enumerate(other.tolist()))
    songs = np.array([0, 0, 0, 1, 2, 2])
    assert (songs[other_songs(songs, 0)] != songs).all()
