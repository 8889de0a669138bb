"""soundstorm-pytorch beside ours: our codes are given to it and come back whole, and its training goes on where it was stopped.

The package is an optional requirement of the benchmark alone; what needs it is left out where it is not installed.
"""

import importlib.util
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from benchmark_runs import COMMON, NETWORK, WINDOW, results

from snac_plugin.errors import InstallationError

pytestmark = pytest.mark.slow
needs_it = pytest.mark.skipif(importlib.util.find_spec("soundstorm_pytorch") is None, reason="soundstorm-pytorch is not installed")


def flags_of(music: SimpleNamespace, out: Path, *more: str) -> list[str]:
    data = ["--model-config", music.config, "--codes", music.codes, "--held-out", music.codes, "--out", out]
    size = ["--batch-size", "2", "--minutes", "0.0001", "--windows", "2", "--steps", "12", "48"]
    return [*map(str, data), *NETWORK, *COMMON, *size, *more]


def run_of(music: SimpleNamespace, out: Path, seed: int = 0):
    import choices
    import soundstorm
    from soundstorm_training import SoundStormRun, package

    args = soundstorm._parser().parse_args(flags_of(music, out))
    held_out = choices.held_out_of(args)
    return SoundStormRun(package(), 16, seed, args, held_out, music.codes, torch.device("cpu"))


def test_codes_are_given_and_taken_in_the_same_order() -> None:
    """A position holds the codes of a frame, coarse before fine: A0 first, D7 last."""
    import soundstorm_training as soundstorm

    packed = torch.arange(2 * 15 * 3).view(2, 15, 3)
    given = soundstorm.its(packed)
    assert given[1, 2].tolist() == packed[1, :, 2].tolist()
    assert torch.equal(soundstorm.ours(given.flatten(1), 15), packed)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import soundstorm_training as soundstorm

    monkeypatch.setattr(soundstorm, "PACKAGE", "no_such_package_of_soundstorm")
    with pytest.raises(InstallationError, match=r"soundstorm-pytorch 0\.6\.1.*optional requirement of this benchmark alone"):
        soundstorm.package()


@needs_it
def test_a_training_that_was_stopped_goes_on_bit_for_bit(music: SimpleNamespace, tmp_path: Path) -> None:
    """SIGTERM after two of four steps."""
    whole = run_of(music, tmp_path / "whole")
    whole.train(lambda: whole.step == 4)
    stopped = run_of(music, tmp_path / "stopped")

    def never() -> bool:
        if stopped.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return False

    with pytest.raises(SystemExit, match="the same command goes on"):
        stopped.train(never)
    again = run_of(music, tmp_path / "stopped")
    assert (again.step, again.minutes) == (2, stopped.minutes)
    again.train(lambda: again.step == 4)
    for name in ("model", "average"):
        ours, theirs = (getattr(run, name).state_dict() for run in (again, whole))
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@needs_it
def test_its_prompt_is_the_context(music: SimpleNamespace, tmp_path: Path) -> None:
    """Both ways to sample give codes; other contexts give others, and a pass more than there are gives none."""
    import soundstorm_training as soundstorm

    run = run_of(music, tmp_path)
    past = torch.randint(4096, (2, 15, WINDOW // 3 * 2), generator=torch.Generator().manual_seed(0))
    for name in (soundstorm.OWN, soundstorm.ALIKE):
        assert run.continuing(name, 14, 15) is None
        made = run.continuing(name, 16, 15)(past, range(2))
        assert made.shape == (2, 15, WINDOW // 3)
        assert 0 <= int(made.min()) <= int(made.max()) < 4096
        assert torch.equal(made, run.continuing(name, 16, 15)(past, range(2)))


@needs_it
def test_its_width_is_that_of_equal_weights(music: SimpleNamespace) -> None:
    """At the sizes that are compared: 4 M weights; a width is a multiple of 4, each 0.12 M more."""
    import choices
    import soundstorm_training

    args = choices.parser().parse_args(["--dim", "128", "--depth", "4", "--heads", "2"])
    held_out, its_classes = SimpleNamespace(codec=music.codec), soundstorm_training.package()
    dim = soundstorm_training.dim_of(4_050_000, args, held_out, its_classes)
    with torch.device("meta"):
        model = soundstorm_training.build(its_classes, dim, args, held_out)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(4_050_000, rel=0.08)


@needs_it
def test_soundstorm(music: SimpleNamespace, tmp_path: Path) -> None:
    """From arguments to tables, with a row of ours that is there; a second call only reads."""
    import choices
    import soundstorm

    flags = flags_of(music, tmp_path)
    choices.main([*flags, "--variants", "base", "--repeats", "1", "--retries", "0"])
    soundstorm.main(flags)
    found = results(tmp_path, "soundstorm")
    assert [row[0] for row in found["costs"]] == ["base", "soundstorm, equal weights"]
    report = (tmp_path / "soundstorm.md").read_text()
    assert "Missing, 2 of 3: patches_by_code (seed 0), masked (seed 0)." in report
    assert report.count("| soundstorm, equal weights |") == 3
    soundstorm.main(flags)
    assert results(tmp_path, "soundstorm") == found
