"""What a codec's first levels say by themselves: the finer ones are neither heard nor replaced."""

import numpy as np
import pytest
import torch
from small_codecs import small_codec

from snac_plugin.codec.decoder_noise import PlacedNoise, decode_with_noise
from snac_plugin.codec.load import Codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec.quantise import quantise
from snac_plugin.evaluation import codec_report
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clips import Clips, decode, encode
from snac_plugin.evaluation.codec_report import SIX_SCALES, Coded, first_levels
from snac_plugin.evaluation.options import Options

RATE, FRAME = 32000, 3072
TIME = np.arange(64 * FRAME) / RATE


@pytest.fixture(scope="module")
def codec() -> Codec:
    return small_codec("32 kHz")


def heard(codec: Codec, codes: torch.Tensor, kept: int) -> torch.Tensor:
    return decode(SnacPretransform(first_levels(codec, kept)), codes, 1, seed=3)


def test_levels_left_out_change_nothing_and_levels_kept_do(codec: Codec) -> None:
    """Rows of a frame: A0, B0 B1, C0 to C3, D0 to D7. The codec itself stays what it was."""
    codes = torch.randint(4096, (1, 15, 8), generator=torch.Generator().manual_seed(0)) % codec.levels.codebook_size
    whole, finer, coarser = decode(SnacPretransform(codec), codes, 1, 3), codes.clone(), codes.clone()
    finer[:, 3:] = (finer[:, 3:] + 1) % codec.levels.codebook_size
    coarser[:, 1] = (coarser[:, 1] + 1) % codec.levels.codebook_size
    assert torch.equal(heard(codec, codes, 2), heard(codec, finer, 2))
    assert not torch.equal(heard(codec, codes, 2), heard(codec, coarser, 2))
    assert not torch.equal(heard(codec, codes, 2), whole)
    assert torch.equal(heard(codec, codes, 4), whole)
    assert torch.equal(decode(SnacPretransform(codec), codes, 1, 3), whole)


@pytest.mark.parametrize("kept", [1, 3])
def test_levels_are_left_out_as_training_leaves_them_out(codec: Codec, kept: int) -> None:
    """The slow way: what `level_dropout` gives the decoder of the same audio."""
    audio = 0.1 * torch.randn(1, 4 * FRAME, generator=torch.Generator().manual_seed(0))
    codes = encode(SnacPretransform(codec), audio, 1, progress=False)
    with torch.no_grad():
        z = codec.model.encoder(codec.model.preprocess(audio[:, None]))
        z_q = quantise(codec.model.quantizer, z, kept=torch.tensor([kept])).z_q
        slow = decode_with_noise(codec.model.decoder, z_q, PlacedNoise([3], 0, 4))[:, 0]
    torch.testing.assert_close(heard(codec, codes, kept), slow, rtol=1e-4, atol=1e-5)


def chord(*pitches: float) -> np.ndarray:
    """Steady, over noise, which has no beat either."""
    tones = np.sum([np.sin(2 * np.pi * pitch * TIME) for pitch in pitches], axis=0)
    return 0.1 * tones + 0.01 * np.random.default_rng(1).standard_normal(len(TIME))


def test_a_row_for_each_prefix_says_how_much_beat_and_pitch_is_left(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins decode: from A alone a steady click, from AB the same pitch classes in other octaves, from ABC another key."""
    pytest.importorskip("librosa")
    clicks = (TIME % 0.5 < 0.01) * np.random.default_rng(0).standard_normal(len(TIME))
    song = chord(261.63, 329.63, 392.0) * (TIME % 0.5 < 0.4)
    decoded = iter([clicks, chord(523.25, 659.26, 196.0), chord(277.18, 369.99, 466.16), clicks, clicks, clicks])
    monkeypatch.setattr(codec_report, "decode", lambda *_: torch.from_numpy(np.stack([next(decoded)] * 2)).float())
    recorded, codes = torch.from_numpy(np.stack([song, song])).float(), torch.zeros(2, 15, 64, dtype=torch.long)
    clips = Clips(recorded, np.array([0, 1]), (), None, RATE, ())  # type: ignore[arg-type]
    arguments = clips, codec, Coded(recorded, 1.0, codes=codes), Options(progress=False), "cpu"
    table = codec_report._prefix_table(*arguments)
    far, beat, pitch = (
        {name: estimate.value for name, estimate in table.estimates(column).items()}
        for column in (SIX_SCALES, music.BEAT, music.PITCH)
    )
    assert list(far) == ["recordings", "A", "AB", "ABC", "ABCD"]
    assert far["recordings"] == far["ABCD"] == 0
    assert min(far["A"], far["AB"], far["ABC"]) > 3
    assert beat["A"] > 0.8
    assert max(beat["AB"], beat["ABC"]) < 0.4
    assert beat["ABCD"] == beat["recordings"] > 0.8
    assert pitch["recordings"] == pitch["ABCD"] == pytest.approx(1)
    assert pitch["AB"] > 0.9
    assert pitch["ABC"] < 0
    monkeypatch.setattr(music, "have_librosa", lambda: False)
    assert codec_report._prefix_table(*arguments).columns == ("levels heard", SIX_SCALES)
