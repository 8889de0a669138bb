"""Registration: our types are built here, others are handed on untouched, unknown ones name the known."""

import importlib.metadata
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from plain_stable_audio import diffusion_cond
from stable_audio_tools.models import autoencoders, conditioners, diffusion, factory
from stable_audio_tools.training import factory as training_factory
from torch import nn

from snac_plugin.errors import ConfigError, InstallationError, UsageError
from snac_plugin.plugin import registry

registry.register()


def run_python(code: str, **environment: str) -> str:
    """Standard output of a fresh interpreter in which nothing registers by itself."""
    env = {**os.environ, "SNAC_PLUGIN_AUTOLOAD": "0", **environment}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_registering_again_wraps_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", False)
    before = factory.create_model_from_config
    registry.register()
    assert factory.create_model_from_config is before
    assert not hasattr(before.__wrapped__, "__wrapped__")


@pytest.mark.parametrize("by_keyword", [False, True])
def test_a_type_of_the_table_is_built_by_its_builder(monkeypatch: pytest.MonkeyPatch, by_keyword: bool) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setitem(registry.BUILDERS["pretransform"], "ours", lambda *args, **kwargs: calls.append((args, kwargs)) or "built")
    config = {"type": "ours"}
    if by_keyword:
        built = factory.create_pretransform_from_config(pretransform_config=config, sample_rate=8000)
    else:
        built = factory.create_pretransform_from_config(config, sample_rate=8000)
    assert (built, calls) == ("built", [((config,), {"sample_rate": 8000})])


def test_a_plain_model_is_built_as_without_the_plugin() -> None:
    torch.manual_seed(0)
    ours = factory.create_model_from_config(diffusion_cond())
    torch.manual_seed(0)
    plain = factory.create_model_from_config.__wrapped__(diffusion_cond())
    assert type(ours) is type(plain)
    states = ours.state_dict(), plain.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("build", "where", "ours", "theirs"),
    [
        (lambda: factory.create_model_from_config({"model_type": "no"}), "model_type", "diffusion_snac_dit", "lm"),
        (
            lambda: factory.create_pretransform_from_config({"type": "no"}, 8000),
            "model.pretransform.type",
            "snac_hierarchical",
            "pqmf",
        ),
        (lambda: factory.create_bottleneck_from_config({"type": "no"}), "model.bottleneck.type", "", "dac_rvq"),
        (lambda: autoencoders.create_encoder_from_config({"type": "no"}), "model.encoder.type", "", "oobleck"),
        (lambda: autoencoders.create_decoder_from_config({"type": "no"}), "model.decoder.type", "", "oobleck"),
        (
            lambda: training_factory.create_training_wrapper_from_config({"model_type": "no", "training": {}}, None),
            "model_type",
            "diffusion_snac_dit",
            "diffusion_cond_inpaint",
        ),
        (
            lambda: training_factory.create_demo_callback_from_config({"model_type": "no", "training": {}}),
            "model_type",
            "diffusion_snac_dit",
            "autoencoder",
        ),
        (
            lambda: diffusion.create_multi_conditioner_from_conditioning_config(
                {"cond_dim": 4, "configs": [{"id": "a", "type": "int", "config": {}}, {"id": "b", "type": "no", "config": {}}]}
            ),
            "model.conditioning.configs[1].type",
            "",
            "number",
        ),
    ],
)
def test_an_unknown_type_lists_the_known_ones(build: Any, where: str, ours: str, theirs: str) -> None:
    with pytest.raises(ConfigError) as error:
        build()
    assert error.value.where == where
    assert error.value.found == "'no'"
    assert theirs in error.value.expected
    assert ours in error.value.expected


def test_a_missing_or_misspelt_type_is_named() -> None:
    with pytest.raises(ConfigError, match="found no type"):
        factory.create_model_from_config({})
    with pytest.raises(ConfigError, match='Did you mean "diffusion_snac_dit"'):
        factory.create_model_from_config({"model_type": "diffusion_snac_dot"})


@pytest.mark.parametrize(("part", "value"), [("encoder", None), ("decoder", []), ("latent_dim", "many")])
def test_parts_that_an_autoencoder_lacks_are_named(part: str, value: Any) -> None:
    """stable-audio-tools raises a KeyError."""
    model = {
        "encoder": {"type": "oobleck"},
        "decoder": {"type": "oobleck"},
        "latent_dim": 4,
        "downsampling_ratio": 8,
        "io_channels": 1,
    }
    with pytest.raises(ConfigError, match=rf"model\.{part}: found (nothing|\[\]|'many'), expected"):
        factory.create_model_from_config({"model_type": "autoencoder", "sample_rate": 32000, "model": {**model, part: value}})


@pytest.mark.parametrize("found", [{"": None}, ["oobleck"], 3])
def test_a_type_that_is_no_name_is_told(found: Any) -> None:
    """An object ended in a TypeError."""
    with pytest.raises(ConfigError, match=rf"model\.decoder\.type: found {re.escape(repr(found))}, expected one of .*oobleck"):
        autoencoders.create_decoder_from_config({"type": found})


def test_an_unknown_type_further_inside_keeps_its_own_error() -> None:
    config = {"model_type": "diffusion_uncond", "sample_size": 1, "sample_rate": 1, "model": {"type": "no"}}
    with pytest.raises(NotImplementedError, match="Unknown model type: no"):
        factory.create_model_from_config(config)


def test_conditioners_of_both_kinds_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[Any, Any]] = []

    def build(config: dict[str, Any], pretransform: Any) -> nn.Module:
        built.append((config, pretransform))
        return nn.Identity()

    monkeypatch.setitem(registry.BUILDERS["conditioner"], "ours", build)
    seconds = {"type": "number", "config": {"min_val": 0, "max_val": 10}}
    config = {
        "cond_dim": 4,
        "configs": [
            {"id": "first", **seconds},
            {"id": "second", "type": "ours", "config": {"width": 2}},
            {"id": "third", **seconds},
        ],
        "default_keys": {"second": "first"},
    }
    multi = diffusion.create_multi_conditioner_from_conditioning_config(config, pretransform="pretransform")
    assert list(multi.conditioners) == ["first", "second", "third"]
    assert isinstance(multi.conditioners["third"], conditioners.NumberConditioner)
    assert multi.default_keys == {"second": "first"}
    assert built == [({"output_dim": 4, "width": 2}, "pretransform")]
    assert len(config["configs"]) == 3, "the caller's config was changed"


@pytest.mark.slow
def test_callers_that_bound_a_factory_before_or_after_see_the_plugin() -> None:
    """stable-audio-tools binds its factories by name in several modules, and so do scripts."""
    code = """
        from stable_audio_tools.models import create_model_from_config as before
        from stable_audio_tools.models import diffusion
        import snac_plugin, stable_audio_tools
        assert not hasattr(before, "__wrapped__")
        snac_plugin.register()
        assert hasattr(before, "__wrapped__"), "this script's own name still means the original"
        from stable_audio_tools.models.factory import create_model_from_config, create_pretransform_from_config
        from stable_audio_tools.models.conditioners import create_multi_conditioner_from_conditioning_config
        from stable_audio_tools.models import autoencoders
        from stable_audio_tools.training import factory
        assert stable_audio_tools.create_model_from_config is before is create_model_from_config is factory.create_model_from_config
        for module in (autoencoders, diffusion):
            assert module.create_pretransform_from_config is create_pretransform_from_config, module
        assert diffusion.create_multi_conditioner_from_conditioning_config is create_multi_conditioner_from_conditioning_config
        assert hasattr(create_multi_conditioner_from_conditioning_config, "__wrapped__")
        print("all see it")
    """
    assert run_python(code).strip().endswith("all see it")


@pytest.mark.slow
def test_registering_imports_neither_torch_nor_stable_audio_tools() -> None:
    code = """
        import sys, snac_plugin
        snac_plugin.register()
        print([name for name in ("torch", "numpy", "stable_audio_tools") if name in sys.modules])
    """
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("found", ["0.0.20", None])
def test_another_version_of_stable_audio_tools_is_named(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    def version(name: str) -> str:
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(registry, "_registered", False)
    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(InstallationError, match=r"0\.0\.20.*0\.0\.19" if found else r"no installed version.*0\.0\.19"):
        registry.register()


@pytest.mark.slow
def test_a_script_runs_with_the_plugin_registered(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("here = True")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, neighbour
            from stable_audio_tools.models import create_model_from_config
            if __name__ == "__main__":
                print(sys.argv[1:], hasattr(create_model_from_config, "__wrapped__"))
            """
        )
    )
    command = [sys.executable, "-m", "snac_plugin", str(script), "--flag", "value"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SNAC_PLUGIN_AUTOLOAD": "0"})
    assert done.stdout.strip() == "['--flag', 'value'] True", done.stderr


def test_a_misspelt_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from snac_plugin.cli import main

    assert main(["doctr"]) == 1
    assert 'Did you mean "doctor"' in capsys.readouterr().err


@pytest.fixture
def page_parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Builders that note what they get, in place of our model, weights and page."""
    parts: dict[str, Any] = {}
    checkpoints = ModuleType("snac_plugin.checkpoints.reading")
    checkpoints.read_checkpoint = lambda path: SimpleNamespace(  # type: ignore[attr-defined]
        path=path, config_for=lambda config: config
    )
    checkpoints.load_weights = lambda model, read: parts.update(loaded=(model, read.path))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snac_plugin.checkpoints.reading", checkpoints)
    monkeypatch.setitem(registry.BUILDERS["model"], "ours", lambda config: nn.Linear(1, 1))
    monkeypatch.setitem(
        registry.BUILDERS["ui"], "ours", lambda config, model, gradio_title: parts.update(title=gradio_title, model=model) or "page"
    )
    return parts


def test_the_page_of_our_type_opens_with_its_weights(page_parts: dict[str, Any], tmp_path: Path) -> None:
    from stable_audio_tools.interface.gradio import create_ui

    (tmp_path / "model.json").write_text('{"model_type": "ours", "sample_rate": 8000, "sample_size": 8}')
    page = create_ui(model_config_path=str(tmp_path / "model.json"), ckpt_path="some.ckpt", model_half=True, gradio_title="a title")
    assert page == "page"
    assert page_parts["loaded"] == (page_parts["model"], "some.ckpt")
    assert page_parts["title"] == "a title"
    assert not page_parts["model"].training
    assert page_parts["model"].weight.dtype == torch.float32, "the flag of its run_gradio.py is always on; half is no use on a CPU"


def test_the_page_says_that_a_codec_is_no_checkpoint(page_parts: dict[str, Any]) -> None:
    from stable_audio_tools.interface.gradio import load_model

    with pytest.raises(UsageError, match="--pretransform-ckpt-path"):
        load_model({"model_type": "ours"}, "some.ckpt", pretransform_ckpt_path="codec.ckpt")
    with pytest.raises(UsageError, match="--ckpt-path"):
        load_model({"model_type": "ours"})


def test_the_page_of_a_plain_model_still_opens(tmp_path: Path) -> None:
    import json

    from stable_audio_tools.interface.gradio import create_ui

    model = factory.create_model_from_config(diffusion_cond())
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.ckpt")
    (tmp_path / "model.json").write_text(json.dumps(diffusion_cond()))
    page = create_ui(model_config_path=str(tmp_path / "model.json"), ckpt_path=str(tmp_path / "model.ckpt"))
    assert type(page).__name__ == "Blocks"
