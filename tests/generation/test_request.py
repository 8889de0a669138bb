"""The options of a sample: which values fit, and that flags and the page's inputs follow from them."""

import subprocess
import sys
from typing import Any

import pytest

from snac_plugin.cli import evaluate, generate
from snac_plugin.errors import UsageError
from snac_plugin.generation.batch import sample_seeds
from snac_plugin.generation.request import OPTIONS, SAMPLING, Request

# Flags as users' scripts have them: (metavar, help text).
FLAGS = {
    "--seconds": ("S", "length of the new audio; one chunk by default"),
    "--chunks": ("N", "length in chunks of the model"),
    "--prompt": ("TEXT", 'short for --conditioning \'{"prompt": "TEXT"}\''),
    "--conditioning": ("JSON", "what the model's conditioners read"),
    "--negative-conditioning": ("JSON", "what guidance leads away from"),
    "--steps": ("N", "denoising steps of a chunk: 48 in all, or A=6,B=8,C=10,D=24"),
    "--sampler": ("NAME", "stable-audio-tools' name of the sampler, or pingpong-codes"),
    "--temperature": ("X", "below 1 samplers that draw codes draw likely ones more often"),
    "--cfg-scale": ("X", "classifier-free guidance; 1 is none"),
    "--cfg-rescale": ("X", "0 to 1: keeps guidance from raising the variance"),
    "--cfg-interval": (("LOW", "HIGH"), "noise levels between which it acts"),
}


def flags(parser: Any) -> dict[str, tuple[Any, str]]:
    return {action.option_strings[0]: (action.metavar, action.help) for action in parser._actions}


def test_flags_stay_what_users_scripts_hold() -> None:
    made = flags(generate.parser())
    assert {flag: made[flag] for flag in FLAGS} == FLAGS
    assert all(generate.parser().get_default(flag[2:].replace("-", "_")) is None for flag in FLAGS)
    first = ["--ckpt", "--model-config", "--lora", "--device", "--out", "--seed", "--num", "--batch-size", "--continue"]
    assert list(made)[1:10] == first


def test_every_option_has_a_flag_of_its_own() -> None:
    """An option that is added to `Request` alone must reach both commands."""
    expected = {option.flag_of(name) for name, option in OPTIONS.items() if option.help}
    assert expected <= flags(generate.parser()).keys()
    assert {f"--{name.replace('_', '-')}" for name in SAMPLING} <= flags(evaluate.parser()).keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampler": "eulr"}, r"sampler: found 'eulr', expected one of euler, .*Did you mean \"euler\""),
        ({"sampler": "v-dim"}, 'Did you mean "v-ddim"'),
        ({"temperature": "hot"}, "temperature: found hot, expected a finite number above 0"),
        ({"top_p": 0}, "top_p: found 0, expected a probability above 0, up to 1"),
        ({"added_noise": 1.5}, r"added_noise: found 1\.5, expected a share between 0 and 1"),
        ({"cfg_schedule": "up"}, "cfg_schedule: found up, expected one of constant, rising, falling"),
        ({"cfg_scale": float("inf")}, "cfg_scale: found inf"),
        ({"cfg_interval": (0.5,)}, "cfg_interval: found"),
        ({"chunks": 1.5}, r"chunks: found 1\.5, expected a whole number above 0"),
        ({"sample_size": 2.5}, r"sample_size: found 2\.5, expected a whole number above 0"),
        ({"edit": "a", "repaint": [(2, 1)]}, "repaint: found .*, expected pairs of seconds"),
        ({"edit": "a", "strength": {"A": 2}}, "strength: found .*, expected a number from 0 to 1"),
        ({"repaint": [(1, 2)]}, "repaint: found no recording to change, expected edit beside it"),
        ({"edit": "a"}, "edit: found nothing that changes it, expected repaint, keep_levels, strength or loop beside it"),
        ({"edit": "a", "keep_levels": "A", "strength": 0.5}, "strength: found keep_levels beside it"),
        ({"edit": "a", "keep_levels": "A", "seconds": 2.0}, "seconds: found seconds beside edit, expected no length"),
        ({"edit": "a", "keep_levels": "A", "before": "b"}, "before: found edit beside it, expected one of edit, before"),
        ({"edit": "a", "loop": True, "repaint": [(1, 2)]}, "loop: found another place to generate"),
        ({"put_back": True}, "put_back: found nothing that is known"),
        ({"bridge": ("a",)}, "bridge: found .*, expected two recordings"),
        ({"chunks": 2, "sample_size": 9}, "length: found chunks 2 and sample_size 9, expected one of"),
    ],
)
def test_what_fits_no_model_is_refused_without_one(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Request(**wrong)


def test_seeds_count_up_and_negative_ones_are_refused() -> None:
    assert sample_seeds(5, 3) == [5, 6, 7]
    with pytest.raises(UsageError, match="seed: found -7, expected 0 or more, or -1"):
        sample_seeds(-7, 1)


def test_wrong_flags_are_refused_before_torch_is_imported() -> None:
    """Each would otherwise cost seconds of imports and the loading of weights."""
    tries = [["--sampler", "rk5"], ["--continue", "nowhere.wav"], ["--seed", "-7"], ["--out", __file__], ["--cfg-scale", "nan"]]
    code = (
        "import sys\nfrom snac_plugin.cli import main\n"
        f"codes = [main(['generate', *arguments]) for arguments in {tries!r}]\n"
        "assert codes == [1] * len(codes), codes\nassert 'torch' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("error: ") == len(tries)
