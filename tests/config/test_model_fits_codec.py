"""A config that does not fit its codec says the number that would."""

import pytest
from config_examples import LEVELS_24, LEVELS_32, example, phase

from snac_plugin.config import check_against_codec, check_dataset_against_model, check_model_config
from snac_plugin.errors import ConfigError

LEVEL = "a level of the codec: A, B, C, D"
NET = "model.diffusion.config"

CASES = [
    ("channels", {"model.io_channels": 64}, "model.io_channels", "64", "120, the latent channels of tiny", ""),
    ("rate", {"sample_rate": 44100}, "sample_rate", "44100", "32000, the sample rate of tiny", ""),
    ("stereo", {"audio_channels": 2}, "audio_channels", "2", "1", "SNAC is mono."),
    (
        "grid",
        {f"{NET}.chunk_frames": 62},
        f"{NET}.chunk_frames",
        "62",
        "a multiple of 4 frames, which the attention of tiny works in",
        "Nearest: 60 or 64.",
    ),
    (
        "off the grid",
        {"sample_size": 600000},
        "sample_size",
        "600000",
        "589824: (context_chunks 2 + 1) * 196608 samples a chunk",
        "A chunk is 64 frames of 3072 samples; nearest whole chunks: 589824 or 786432.",
    ),
    ("too small", {"sample_size": 1000}, "sample_size", "1000", "589824", "nearest whole chunks: 196608."),
    ("window", {"sample_size": 196608}, "sample_size", "196608", "589824", "Or set context_chunks to 0."),
    ("steps", {f"{NET}.sampling.steps": 3}, f"{NET}.sampling.steps", "3", "at least 4, one for each level", ""),
    (
        "left out",
        {f"{NET}.sampling.steps": {"A": 4, "B": 4}},
        f"{NET}.sampling.steps",
        "no steps for C, D",
        "steps for each level: A, B, C, D",
        "",
    ),
    (
        "no sampler of v",
        {f"{NET}.sampling.sampler": {"A": "v-ddim"}, "model.diffusion.diffusion_objective": "v"},
        f"{NET}.sampling.sampler",
        "no sampler for B, C, D",
        "sampler for each level: A, B, C, D",
        "which objective v does not know",
    ),
    ("patch", {f"{NET}.patch": 2}, f"{NET}.patch", "2 for level A", "a divisor of its 1 codes a frame: 1", ""),
    (
        "patch of a level",
        {f"{NET}.patch": {"C": 3}},
        f"{NET}.patch.C",
        "3 for level C",
        "a divisor of its 4 codes a frame: 1, 2, 4",
        "",
    ),
    ("patch of no level", {f"{NET}.patch": {"E": 2}}, f"{NET}.patch.E", 'level "E"', LEVEL, ""),
    ("weights", {f"{NET}.sampling.step_weights": [1, 2]}, f"{NET}.sampling.step_weights", "2 weights", "4, one for each level", ""),
    (
        "shift",
        {f"{NET}.sampling.shift": {"E": 2.0}},
        f"{NET}.sampling.shift.E",
        'level "E"',
        LEVEL,
        "",
    ),
    (
        "lower case",
        {"training.level_weights": {"a": 1.0}},
        "training.level_weights.a",
        'level "a"',
        LEVEL,
        'Did you mean "A"?',
    ),
    (
        "idle level",
        {"training.curriculum": [{"name": "fine", "levels": "BC", "level_weights": {"A": 1.0}, "context": {"0": 1.0}}]},
        "training.curriculum[0].level_weights",
        '{"A": 1.0}',
        "weights of the levels in training (BC)",
        "",
    ),
    (
        "corruption",
        {"training.corruption": {"AB": 0.1}},
        "training.corruption.AB",
        'level "AB"',
        LEVEL,
        "",
    ),
    ("sampler", {"training.timestep_sampler": {"X": "uniform"}}, "training.timestep_sampler.X", 'level "X"', "a level", ""),
    (
        "options",
        {"training.timestep_sampler_options": {"X": {"shift": 1.0}}},
        "training.timestep_sampler_options.X",
        'level "X"',
        "a level",
        "",
    ),
    ("demo", {"training.demo.demo_steps": 2}, "training.demo.demo_steps", "2", "at least 4, one for each level", ""),
    ("levels", {"training.curriculum": [phase(levels="BCX")]}, "training.curriculum[0].levels", '"BCX"', "levels out of ABCD", ""),
    ("twice", {"training.curriculum": [phase(levels="BB")]}, "training.curriculum[0].levels", '"BB"', "levels out of ABCD", ""),
    (
        "phase weights",
        {"training.curriculum": [phase(level_weights={"Q": 1})]},
        "training.curriculum[0].level_weights.Q",
        'level "Q"',
        "a level",
        "",
    ),
    (
        "nothing to train",
        {"training.curriculum": [phase(levels="A", level_weights={"A": 0})]},
        "training.curriculum[0].level_weights",
        '{"A": 0.0}',
        "a weight above 0",
        "",
    ),
    (
        "all weights zero",
        {"training.level_weights": dict.fromkeys("ABCD", 0.0)},
        "training.level_weights",
        '{"A": 0.0, "B": 0.0, "C": 0.0, "D": 0.0}',
        "a weight above 0",
        "",
    ),
    (
        "finer",
        {f"{NET}.visibility.within": {"B": ["C"]}},
        f"{NET}.visibility.within.B",
        "level C",
        "levels coarser than B: A",
        "coarse to fine",
    ),
]


@pytest.mark.parametrize(("changes", "where", "found", "expected", "advice"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_config_that_does_not_fit_its_codec(changes, where, found, expected, advice):
    with pytest.raises(ConfigError) as caught:
        check_against_codec(check_model_config(example(changes)), LEVELS_32, "tiny")
    assert caught.value.where == where
    assert caught.value.found == found
    assert caught.value.expected.startswith(expected)
    assert advice in caught.value.advice


def test_fitting_config_passes_and_another_codec_names_every_misfit():
    checked = check_model_config(example())
    check_against_codec(checked, LEVELS_32, "tiny")
    with pytest.raises(ConfigError) as caught:
        check_against_codec(checked, LEVELS_24, "hubertsiuzdak/snac_24khz", "mine.json")
    message = str(caught.value)
    assert "56, the latent channels of hubertsiuzdak/snac_24khz" in message
    assert "24000, the sample rate of hubertsiuzdak/snac_24khz" in message
    assert "393216: (context_chunks 2 + 1) * 131072 samples a chunk" in message
    assert "mine.json" in message


def test_three_levels_have_no_level_d():
    changes = {"sample_rate": 24000, "sample_size": 393216, "model.io_channels": 56, "training.level_weights": {"D": 1.0}}
    with pytest.raises(ConfigError, match=r"training\.level_weights\.D: .* expected a level of the codec: A, B, C"):
        check_against_codec(check_model_config(example(changes)), LEVELS_24, "snac_24khz")


def test_any_frame_count_is_fine_without_attention_in_the_codec():
    changes = {"sample_rate": 24000, "sample_size": 2048 * 63 * 3, "model.io_channels": 56, f"{NET}.chunk_frames": 63}
    check_against_codec(check_model_config(example(changes)), LEVELS_24, "snac_24khz")


def test_latents_are_not_trained_on_as_audio_nor_the_other_way_round():
    plain, encoded = check_model_config(example()), check_model_config(example({"training.pre_encoded": True}))
    latents, audio = {"dataset_type": "pre_encoded", "latent_crop_length": 192}, {"dataset_type": "audio_dir"}
    check_dataset_against_model(latents, encoded, LEVELS_32)
    check_dataset_against_model(audio, plain, LEVELS_32)
    with pytest.raises(ConfigError, match=r"found latents, expected audio\. Or set training\.pre_encoded to true"):
        check_dataset_against_model(latents, plain, LEVELS_32)
    with pytest.raises(ConfigError, match=r"found audio, expected latents"):
        check_dataset_against_model(audio, encoded, LEVELS_32)
    with pytest.raises(ConfigError, match=r"latent_crop_length: found 64, expected 192"):
        check_dataset_against_model({"dataset_type": "s3", "pre_encoded": True, "latent_crop_length": 64}, encoded, LEVELS_32)
