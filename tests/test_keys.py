"""docs/keys.md says what becomes of everything that stable-audio-tools documents: each row is tried, and none is missing."""

import contextlib
import copy
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from codec_runs import CODEC_CONFIG
from known import KnowsTheAnswer, make_model, random_codes
from networks import FOUR_LEVELS
from stable_audio_tools.inference import generation, sampling
from stable_audio_tools.models import conditioners
from stable_audio_tools.training import factory
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli import pre_encode, run_gradio, train_flags, unwrap
from snac_plugin.config import check_codec_config, check_dataset_config, check_model_config
from snac_plugin.config.foreign_keys import FOREIGN_KEYS
from snac_plugin.diffusion.sampler_names import SAMPLERS
from snac_plugin.errors import SnacPluginError
from snac_plugin.plugin import builders
from snac_plugin.plugin.registry import register

register()
PAGE = (Path(__file__).parents[1] / "docs" / "keys.md").read_text()


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without the quotes of code."""
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def code(cell: str) -> str:
    return cell.removeprefix("`").removesuffix("`")


@contextlib.contextmanager
def as_claimed(claim: str) -> Iterator[None]:
    """What a row says: nothing is raised, or an error that a user can read."""
    assert re.fullmatch(r"works|works so: .+|no: .+", claim), claim
    if claim.startswith("works"):
        yield
        return
    with pytest.raises((SnacPluginError, SystemExit)) as error:
        yield
    wanted = re.search(r"use `([^`]+)`", claim)
    if wanted is not None and isinstance(error.value, SnacPluginError):
        assert wanted[1].split(".")[-1] in str(error.value), f"{claim} is not what it says: {error.value}"


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {**config, first: put(config.get(first, {}), rest, value) if rest else value}


def conditioned() -> dict[str, Any]:
    """A model config with a conditioner on each path."""
    kinds = {
        "style": ("list", {"options": ["house"]}),
        "tempo": ("number", {"min_val": 60, "max_val": 200}),
        "melody": ("pretransform", {}),
    }
    configs = [{"id": name, "type": kind, "config": options} for name, (kind, options) in kinds.items()]
    ids = {"cross_attention_cond_ids": ["style"], "global_cond_ids": ["tempo"], "prepend_cond_ids": ["tempo"]}
    dims = {"cond_token_dim": 8, "global_cond_dim": 8, "prepend_cond_dim": 8, "input_concat_dim": 8}
    return {
        "model_type": "diffusion_snac_dit",
        "sample_size": 589824,
        "sample_rate": 32000,
        "model": {
            "pretransform": {"type": "snac_hierarchical", "config": {"codec": "snac_tiny_32khz"}},
            "conditioning": {"configs": configs, "cond_dim": 8},
            "diffusion": {"type": "snac_dit", **ids, "input_concat_ids": ["melody"], "config": dims},
            "io_channels": 120,
        },
        "training": {"learning_rate": 1e-4, "demo": {"demo_cond_from_batch": True, "num_demos": 1}},
    }


@pytest.mark.parametrize(("key", "example", "claim"), rows("Model config"))
def test_model_config(key: str, example: str, claim: str) -> None:
    with as_claimed(claim):
        check_model_config(put(conditioned(), code(key), json.loads(code(example))))


@pytest.mark.parametrize(("key", "example", "claim"), rows("Codec config"))
def test_codec_config(key: str, example: str, claim: str) -> None:
    config = copy.deepcopy(CODEC_CONFIG)
    config["training"] |= {"warmup_steps": 10}
    with as_claimed(claim):
        check_codec_config(put(config, code(key), json.loads(code(example))))


@pytest.mark.parametrize(("key", "example", "claim"), rows("Dataset config"))
def test_dataset_config(key: str, example: str, claim: str) -> None:
    kind, _, name = code(key).rpartition(": ")
    kind = kind or "audio_dir"
    entry = {"id": "mine", "s3_path": "s3://bucket/"} if kind == "s3" else {"id": "mine", "path": "/path"}
    with as_claimed(claim):
        check_dataset_config({"dataset_type": kind, "datasets": [entry], name: json.loads(code(example))}, check_paths=False)


CONDITIONERS = inspect.getsource(conditioners.create_multi_conditioner_from_conditioning_config)


def conditioner_types() -> list[str]:
    return re.findall(r'conditioner_type == "(\w+)"', CONDITIONERS)


def keys_of_conditioner(kind: str) -> set[str]:
    """What its constructor takes, and what the factory takes out of its config before."""
    ((part, name),) = re.findall(rf'conditioner_type == "{kind}":(.*?conditioners\[id\] = (\w+))', CONDITIONERS, re.DOTALL)
    read = re.findall(r'conditioner_config\.(?:pop|get)\("(\w+)"', part)
    return {*inspect.signature(getattr(conditioners, name).__init__).parameters, *read} - {"self", "pretransform"}


@pytest.mark.parametrize(("kind", "key", "claim"), rows("Conditioners"))
def test_conditioners(kind: str, key: str, claim: str) -> None:
    """Their constructors take the key or do not; types with weights of their own are not at hand here."""
    for one in _each(code(kind)):
        assert (code(key) in keys_of_conditioner(one)) == claim.startswith("works")


def parse(command: str, arguments: list[str]) -> None:
    if command == "train.py":
        Path("none.ini").touch()
        needed = ["--config-file", "none.ini", "--model-config", "m.json", "--val-dataset-config", "v.json", "--val-every", "9"]
        train_flags.parse([*needed, *arguments])
    elif command == "pre_encode.py":
        pre_encode.parse(["--model-config", "m.json", "--output-path", "out", *arguments])
    elif command == "run_gradio.py":
        run_gradio.parser().parse_args(arguments)
    else:
        unwrap.parser().parse_args(["--ckpt-path", "last.ckpt", *arguments])


COMMANDS = ("train.py", "pre_encode.py", "run_gradio.py", "unwrap_model.py")


@pytest.mark.parametrize(("command", "row"), [(command, row) for command in COMMANDS for row in rows(command)])
def test_flags(command: str, row: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flag, example, claim = row
    with as_claimed(claim):
        parse(command, [code(flag), *([code(example).replace('""', "")] if example else [])])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")), global_cond_dim=8, head="logits")
    tempo = {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}}
    config["model"]["conditioning"] = {"configs": [tempo], "cond_dim": 8}
    config["model"]["diffusion"]["global_cond_ids"] = ["tempo"]
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return builders.model(config).eval()


@pytest.mark.parametrize(("argument", "example", "claim"), rows("generate_diffusion_cond"))
def test_arguments_of_generate_diffusion_cond(model: Any, argument: str, example: str, claim: str) -> None:
    value = eval(code(example), {"torch": torch, "print": print})
    usual = {"steps": 8, "conditioning": [{"tempo": 100}], "sample_size": 12288, "device": "cpu", "cfg_scale": 2}
    with as_claimed(claim):
        made = generation.generate_diffusion_cond(model, **usual | {code(argument): value})
        assert made.isfinite().all()


@pytest.mark.parametrize(("argument", "example", "claim"), rows("generate_diffusion_cond_inpaint"))
def test_arguments_of_generate_diffusion_cond_inpaint(tmp_path: Path, argument: str, example: str, claim: str) -> None:
    config = tiny_model_config(write_tiny_codec(tmp_path), head="logits")
    config["training"]["infill"] = {}
    recording = (32000, 0.1 * torch.randn(1, 12288, generator=torch.Generator().manual_seed(0)))
    usual = {"steps": 4, "conditioning": [{}], "sample_size": 12288, "device": "cpu", "inpaint_audio": recording}
    usual |= {"inpaint_mask": torch.ones(1, 12288), code(argument): eval(code(example), {"torch": torch})}
    with as_claimed(claim):
        made = generation.generate_diffusion_cond_inpaint(builders.model(config).eval(), **usual)
        assert made.isfinite().all()


@pytest.mark.parametrize("objective", SAMPLERS)
@pytest.mark.parametrize("row", rows("Samplers"), ids=lambda row: code(row[0]))
def test_samplers(row: list[str], objective: str) -> None:
    sampler, claim = code(row[0]), row[1 + list(SAMPLERS).index(objective)]
    small = {"dim": 8, "depth": 1, "chunk_frames": 1, "context_chunks": 0, "head": "logits"}
    model = make_model(FOUR_LEVELS, objective, KnowsTheAnswer, **small)
    model.answer = random_codes(model.levels, 1, batch=1)  # type: ignore[assignment]
    noise = torch.randn(1, model.levels.channels, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with as_claimed(claim):
        x = sampling.sample_rf(model, noise, steps=40, sampler_type=sampler, device="cpu")
        assert sampler == "pingpong-codes" or torch.equal(model.space.to_codes(x), model.answer)


def test_no_key_is_missing() -> None:
    """What its code reads from configs, its functions' arguments, our table of its keys, and its samplers."""
    model_keys, codec_keys, data_keys = (
        {code(row[0]).rpartition(": ")[2] for row in rows(name)} for name in ("Model config", "Codec config", "Dataset config")
    )
    wrapper, demos = (inspect.getsource(inspect.unwrap(made)) for made in (
        factory.create_training_wrapper_from_config, factory.create_demo_callback_from_config))  # fmt: skip
    wrapper = wrapper[wrapper.index("return DiffusionCondTrainingWrapper") :]
    wrapper = wrapper[: wrapper.index("elif")]
    read = {f"training.{key}" for key in re.findall(r'training_config\.get\("(\w+)"', wrapper)}
    demos = demos[demos.index('"diffusion_cond"') : demos.index('"diffusion_cond_inpaint"')]
    read |= {f"training.demo.{key}" for key in re.findall(r'demo_config(?:\.get\(|\[)"(\w+)"', demos)}
    assert len(read) > 15
    assert read <= model_keys
    from stable_audio_tools.data import dataset

    assert set(re.findall(r'dataset_config(?:\.get\(|\[)"(\w+)"', inspect.getsource(dataset))) <= data_keys
    assert FOREIGN_KEYS.keys() <= model_keys | codec_keys
    theirs = {f"--{name.replace('_', '-')}" for name in train_flags.FLAGS} - {"--accelerator", "--max-steps"}
    assert theirs <= {code(row[0]) for row in rows("train.py")}
    arguments = set(inspect.signature(generation.generate_diffusion_cond).parameters) - {"model", "sampler_kwargs"}
    assert arguments <= {code(row[0]) for row in rows("generate_diffusion_cond")}
    samplers = {code(row[0]) for row in rows("Samplers")}
    assert {name for names in SAMPLERS.values() for name in names} == samplers
    assert {*re.findall(r'sampler_type == "([\w-]+)"', inspect.getsource(sampling))} <= samplers
    shown = {(kind, code(key)) for types, key, _ in rows("Conditioners") for kind in _each(code(types))}
    assert {(kind, key) for kind in conditioner_types() for key in keys_of_conditioner(kind)} <= shown


def _each(kind: str) -> list[str]:
    return conditioner_types() if kind == "any" else [kind]


def test_every_table_of_the_page_is_tried() -> None:
    """A section whose rows no test reads could say anything."""
    tried = ["Model config", "Conditioners", "Dataset config", "Codec config", *COMMANDS]
    tried += ["generate_diffusion_cond", "generate_diffusion_cond_inpaint", "Samplers"]
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == tried
    assert sum(len(rows(section)) for section in tried) == len(re.findall(r"^\| `", PAGE, re.MULTILINE))
