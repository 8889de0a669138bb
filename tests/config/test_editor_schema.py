"""The JSON schemas for editors: current, named by every shipped config, and as strict as the checks where a schema can be."""

import json
from pathlib import Path

import pytest
from config_examples import example, phase

from snac_plugin.cli import config_reference, main
from snac_plugin.config import check_codec_config, check_dataset_config, check_model_config, load_json
from snac_plugin.config.reference import SCHEMAS, editor_schema
from snac_plugin.errors import UsageError

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((*(ROOT / "model_configs").glob("*.json"), *(ROOT / "dataset_configs").glob("*.json")))
DIT = json.loads(editor_schema(SCHEMAS["model_configs/schema/snac_dit.json"]))
NET = "model.diffusion.config"


@pytest.mark.parametrize("path", SCHEMAS)
def test_the_committed_schema_is_current(path: str) -> None:
    """A key that was added must be known to editors: run `python -m snac_plugin config_reference --schema`."""
    assert (ROOT / path).read_text() == editor_schema(SCHEMAS[path])
    jsonschema.Draft202012Validator.check_schema(json.loads((ROOT / path).read_text()))


def test_the_command_writes_them(tmp_path: Path) -> None:
    main(["config_reference", "--schema", "--folder", str(tmp_path)])
    assert all((tmp_path / path).read_text() == (ROOT / path).read_text() for path in SCHEMAS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_names_its_schema_and_fits_it(path: Path) -> None:
    config = load_json(path)
    schema = load_json(path.parent / config["$schema"])
    jsonschema.Draft202012Validator(schema).validate(config)


def test_every_default_fits_and_every_key_has_a_description() -> None:
    for kind in SCHEMAS.values():
        schema = json.loads(editor_schema(kind))
        for section in (schema, *schema["$defs"].values()):
            for key, value in section.get("properties", {}).items():
                assert value.get("description"), key
                if "default" in value:
                    jsonschema.Draft202012Validator(value | {"$defs": schema["$defs"]}).validate(value["default"])


@pytest.mark.parametrize(
    "changes",
    [
        {f"{NET}.sampling": {"steps": {"A": 4, "B": 9}, "sampler": {"A": "euler"}, "cfg_interval": [0.1, 0.9]}},
        {f"{NET}.visibility": {"within": {"D": ["C"]}, "context": "same"}},
        {"training.curriculum": [phase(levels=["A", "B"]), phase(name="b", levels="AB")]},
        {"training.timestep_sampler_options": {"A": {"shift": 2.0}}, "training.corruption": {"A": 0.1}},
    ],
)
def test_all_forms_of_a_value_fit(changes: dict) -> None:
    """Values once or per level, names as text or list: what the check takes, an editor may not underline."""
    check_model_config(example({key: value for key, value in changes.items() if "curriculum" not in key}))
    jsonschema.Draft202012Validator(DIT).validate(example(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {f"{NET}.dept": 6},
        {f"{NET}.head": "logit"},
        {f"{NET}.depth": 0},
        {f"{NET}.sampling.sampler": "eulr"},
        {"training.corruption": 2},
    ],
)
def test_mistakes_are_underlined(changes: dict) -> None:
    assert not jsonschema.Draft202012Validator(DIT).is_valid(example(changes))


def test_the_path_of_the_schema_is_passed_over_at_the_top_alone(tmp_path: Path) -> None:
    check_model_config(example({"$schema": "./schema/snac_dit.json"}))
    check_codec_config(load_json(ROOT / "model_configs" / "snac_codec_tiny.json"))
    config = load_json(ROOT / "dataset_configs" / "local_folder.json")
    assert check_dataset_config(config, check_paths=False) == config
    with pytest.raises(Exception, match=r"model\.\$schema: found an unknown key"):
        check_model_config(example({"model.$schema": "x"}))


def test_a_folder_for_schemas_that_are_not_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--folder: found .*, expected --schema beside it"):
        config_reference.main(["--folder", str(tmp_path)])
