"""The settings of a sample make it again, bit for bit: by `--settings`, and by `generate(**options_in(settings))`."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snac_plugin.cli import main
from snac_plugin.data.audio import read_audio
from snac_plugin.errors import UsageError
from snac_plugin.generation.request import Request, options_in
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.make_samples import Recording, make_samples

PLACES: tuple[dict[str, Any], ...] = ({}, {"repaint": [(0.5, 1.1)]}, {"loop": True})
BY_LEVEL = {"A": 0, "B": 0.3, "C": 0.5, "D": 1.0}
CHANGES: tuple[dict[str, Any], ...] = ({}, {"keep_levels": "A"}, {"strength": 0.3}, {"strength": BY_LEVEL})
RECORDINGS = ("context", "edit", "before", "bridge")
EDITS = [place | change for place, change in itertools.product(PLACES, CHANGES) if place or change]
OTHERS: list[dict[str, Any]] = [
    {"repaint": [(0.2, 0.4), (1, 1.2)], "put_back": True, "only_new": True},
    {"repaint": [(0.2, 0.4)], "match": False, "width": "mono", "format": "flac"},
]
NEW: list[dict[str, Any]] = [
    {"context": True, "seconds": 0.3125},
    {"context": True, "seconds": 0.3, "from_second": 1.2, "only_new": True},
    {"context": True, "seconds": 0.3, "match": False, "width": "mono"},
    {"before": True, "seconds": 0.3125},
    {"before": True, "seconds": 0.3, "only_new": True, "put_back": True},
    {"bridge": True, "seconds": 0.3125, "match": False},
    {"loop": True, "seconds": 0.6},
    {"sample_size": 9999, "sampler": "pingpong-codes", "temperature": 0.7, "steps": {"A": 1, "B": 2, "C": 1, "D": 3}},
    {"sample_size": 9999, "sampler": "pingpong-codes", "top_p": 0.7, "added_noise": 0.4},
    {"seconds": 0.3, "sampler": "euler", "added_noise": 0.4, "cfg_scale": 2.0, "cfg_schedule": "rising"},
    {"seconds": 0.3, "sampler": "euler", "guidance": {"context": 2.0}, "cfg_interval": (0.1, 0.8), "format": "flac"},
]


def with_recordings(options: dict[str, Any], recording: Any) -> dict[str, Any]:
    """Options whose recordings, True so far, are a file or audio."""
    given = {**dict.fromkeys(RECORDINGS, recording), "bridge": (recording, recording)}
    return {name: given.get(name, value) for name, value in options.items()}


@pytest.mark.parametrize(
    "options", [*({"edit": True} | one for one in (*EDITS, *OTHERS)), *NEW], ids=lambda one: " ".join(map(str, one))
)
def test_settings_make_the_same_sample_again(
    model: SnacDiffusion, checkpoint: Path, song: tuple[Path, np.ndarray], tmp_path: Path, options: dict[str, Any]
) -> None:
    file = str(song[0])
    asked = with_recordings(options, file)
    continued = asked.pop("context", None)
    recording = None if continued is None else Recording.read(continued, model.levels)
    made = make_samples(
        model, Request(**asked), tmp_path / "first", seed=5, recording=recording, checkpoint=str(checkpoint), progress=False
    )
    sample = next(made)
    command = ["generate", "--settings", str(sample.files.json), "--out", str(tmp_path / "again")]
    assert main([*command, *([] if continued is None else ["--continue", file])]) == 0
    again = tmp_path / "again" / sample.files.wav.name
    assert again.read_bytes() == sample.files.wav.read_bytes()
    assert json.loads(again.with_suffix(".json").read_text()) == json.loads(sample.files.json.read_text())

    audio = read_audio(file)
    told = options_in(json.loads(sample.files.json.read_text()))
    told = with_recordings(told | ({"context": True} if continued else {}), audio)
    beside = {"width": options.get("width", "keep")} if {*RECORDINGS} & options.keys() else {}
    before = {"seed": 5, **with_recordings(options, audio), **beside}
    before.pop("format", None)
    assert torch.equal(model.generate(**told, progress=False), model.generate(**before, progress=False))


def test_a_model_of_several_samplers_keeps_the_temperature(model: SnacDiffusion) -> None:
    """It was lost where the levels' samplers differ: a sample at 0.6 came back at 1."""
    network = model.config.model.diffusion.config
    mixed = network.sampling.model_copy(
        update={"sampler": {"A": "euler", "B": "euler", "C": "pingpong-codes", "D": "pingpong-codes"}}
    )
    diffusion = model.config.model.diffusion.model_copy(update={"config": network.model_copy(update={"sampling": mixed})})
    config = model.config.model_copy(update={"model": model.config.model.model_copy(update={"diffusion": diffusion})})
    settings = check_request(Request(temperature=0.6), config, "ABCD")
    assert settings.temperatures == (1.0, 1.0, 0.6, 0.6)
    told = options_in({"seed": 1, "seconds": 1.0, **settings.as_dict("ABCD")})
    assert told["temperature"] == 0.6
    assert check_request(Request(**{name: value for name, value in told.items() if name != "seed"}), config, "ABCD") == settings


def test_a_sample_of_a_batch_that_was_solved_as_one_comes_with_the_batch(
    model: SnacDiffusion, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone its seed gives another sample: the sampler draws noise for all of them at once."""
    request = Request(seconds=0.3, sampler="pingpong")
    options: dict[str, Any] = {"seed": 3, "count": 2, "progress": False, "checkpoint": str(checkpoint)}
    first, second = make_samples(model, request, tmp_path / "first", **options)
    assert main(["generate", "--settings", str(second.files.json), "--out", str(tmp_path / "again")]) == 0
    for sample in (first, second):
        assert (tmp_path / "again" / sample.files.wav.name).read_bytes() == sample.files.wav.read_bytes()
    told = options_in(json.loads(second.files.json.read_text()))
    assert (told["seed"], told["batch_size"]) == (3, 2)
    settings = json.loads(second.files.json.read_text())
    del settings["batch_seed"]  # as earlier versions wrote them
    (tmp_path / "old.json").write_text(json.dumps(settings))
    assert main(["generate", "--settings", str(tmp_path / "old.json"), "--out", str(tmp_path)]) == 1
    assert (
        "found one of 2 samples that pingpong made together, expected --seed with the seed of the first" in capsys.readouterr().err
    )


def test_batches_of_no_samples_are_refused(model: SnacDiffusion, tmp_path: Path) -> None:
    """-1 made nothing, without a word."""
    with pytest.raises(UsageError, match="batch_size: found -1, expected 1 or more"):
        next(make_samples(model, Request(), tmp_path, batch_size=-1))


def test_a_sample_of_a_batch_comes_with_the_batch(model: SnacDiffusion, checkpoint: Path, tmp_path: Path) -> None:
    """How many samples are computed at once decides how sums are rounded: alone a sample of a batch was another one."""
    options: dict[str, Any] = {"seed": 3, "count": 2, "progress": False, "checkpoint": str(checkpoint)}
    first, second = make_samples(model, Request(seconds=0.3), tmp_path / "first", **options)
    for sample in (first, second):
        told = options_in(json.loads(sample.files.json.read_text()))
        assert (told["seed"], told["batch_size"]) == (3, 2)
    assert main(["generate", "--settings", str(second.files.json), "--out", str(tmp_path / "again")]) == 0
    for sample in (first, second):
        assert (tmp_path / "again" / sample.files.wav.name).read_bytes() == sample.files.wav.read_bytes()
    for sample in make_samples(model, Request(seconds=0.3), tmp_path / "one by one", batch_size=1, **options):
        assert options_in(json.loads(sample.files.json.read_text()))["seed"] == sample.seed


def test_a_batch_notes_its_metadata_by_sample_and_one_alone_its_own() -> None:
    from snac_plugin.generation.batch import settings_of_each, told_of_batch

    request = Request(conditioning=[{"tempo": 90}, {"tempo": 120}, {"tempo": 150}], negative_conditioning={"tempo": 60})
    told = told_of_batch(request, 3, 2, 2)
    assert told == {"conditioning": [{"tempo": 150}], "negative_conditioning": {"tempo": 60}}
    euler = {"sampler": {"A": "euler"}, "conditioning": None}
    alone = {"seed": 9, "batch_size": 1, **euler, "conditioning": {"tempo": 150}, "negative_conditioning": {"tempo": 60}}
    assert settings_of_each([9], euler, told) == {9: alone}
    told = told_of_batch(request, 3, 2, 0)
    assert settings_of_each([7, 8], euler, told)[8] == {"seed": 8, "batch_size": 2, "batch_seed": 7, **euler, **told}
    with pytest.raises(UsageError, match="conditioning: found 3 samples, expected 4"):
        told_of_batch(replace(request), 4, 2, 0)
