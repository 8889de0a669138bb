"""The flags of `train.py`: defaults, the file of defaults, wrong values, and that they are checked before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from snac_plugin.cli import COMMANDS
from snac_plugin.cli.train_flags import FLAGS, parse
from snac_plugin.errors import UsageError

# The keys of stable-audio-tools' own defaults.ini.
THEIR_DEFAULTS = """
[DEFAULTS]
name = stable_audio_tools
batch_size = 4
num_gpus = -1
num_nodes = 1
strategy = ""
precision = "16-mixed"
num_workers = 6
seed = 42
accum_batches = 2
checkpoint_every = 10000
val_every = -1
recover = false
save_top_k = -1
save_dir = ''
gradient_clip_val = 0.0
logger = 'none'
ckpt_path = ''
pretrained_ckpt_path = ''
pretransform_ckpt_path = ''
model_config = ''
dataset_config = ''
val_dataset_config = ''
remove_pretransform_weight_norm = ''
"""


def test_defaults_file_of_stable_audio_tools_is_read(tmp_path: Path) -> None:
    """With its quotes, and below what the command line says."""
    (tmp_path / "defaults.ini").write_text(THEIR_DEFAULTS)
    args = parse(["--config-file", str(tmp_path / "defaults.ini"), "--model-config", "m.json", "--seed", "7"])
    assert (args.precision, args.accum_batches, args.logger, args.gradient_clip_val) == ("16-mixed", 2, "none", 0.0)
    assert (args.recover, args.save_dir, args.seed, args.num_workers) == (False, "", 7, 6)


def test_every_flag_of_the_table_is_a_flag() -> None:
    args = parse(["--model-config", "m.json"])
    assert {name: getattr(args, name) for name in FLAGS} == {name: default for name, (default, _) in FLAGS.items()} | {
        "model_config": "m.json"
    }
    assert parse(["--model-config", "m", "--resume"]).recover is True
    assert parse(["--model-config", "m", "--logger", ""]).logger == "none"
    assert parse(["--model-config", "m", "--recover"]).recover is True
    assert parse(["--model-config", "m", "--recover", "false"]).recover is False


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batchsize = 4", "defaults.ini: batchsize: found 4, expected one of"),
        ("seed = x", "defaults.ini: seed: found 'x', expected a value of type int"),
    ],
)
def test_wrong_defaults_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "defaults.ini").write_text(f"[DEFAULTS]\n{line}\n")
    with pytest.raises(UsageError, match=message):
        parse(["--config-file", str(tmp_path / "defaults.ini"), "--model-config", "m.json"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model-config is needed"),
        (
            ["--model-config", "m.json", "--logger", "paper"],
            "--logger: found 'paper', expected one of tensorboard, wandb, comet, none",
        ),
        (["--model-config", "m.json", "--batch-size", "many"], "argument --batch-size: invalid int value: 'many'"),
        (["--model-config", "m.json", "--modle", "x"], "unrecognized arguments: --modle"),
        (["--model-config", "m.json", "--recover", "perhaps"], "found 'perhaps', expected true or false"),
    ],
)
def test_wrong_flags_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--accelerator", "gpuu", "'gpuu', expected one of auto, cpu, gpu, mps"),
        ("--pretransform-ckpt-path", "/x", "/x, expected nothing. The model config names the codec"),
        ("--remove-pretransform-weight-norm", "later", "'later', expected pre_load or post_load"),
        ("--save-top-k", "0", "0, expected -1 or at least 1"),
        ("--save-top-k", "-2", "-2, expected -1 or at least 1"),
    ],
)
def test_values_that_lightning_would_stumble_over_are_named(flag: str, value: str, expected: str) -> None:
    with pytest.raises(UsageError, match=f"{flag}: found {expected}"):
        parse(["--model-config", "m.json", flag, value])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config-file", "typo.ini"], r"--config-file: found no file typo\.ini, expected a file of defaults"),
        (["--dataset-config", "d.json", "--val-every", "5"], "--val-every: found 5, expected --val-dataset-config beside it"),
        (["--val-dataset-config", "d.json"], r"--val-dataset-config: found d\.json, expected --val-every above 0 beside it"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags: list[str], message: str) -> None:
    """Hours of training without a validation, and defaults that nobody read."""
    with pytest.raises(UsageError, match=message):
        parse(["--model-config", "m.json", *flags])


def test_demo_music_is_validated_on_without_a_dataset_config() -> None:
    assert parse(["--model-config", "m.json", "--val-every", "5"]).val_every == 5


def test_more_gpus_than_the_accelerator_has_are_refused() -> None:
    """They were taken and ignored. With --accelerator cpu they are processes."""
    flags = ["--model-config", "m.json", "--accelerator"]
    with pytest.raises(UsageError, match="--num-gpus: found 4, expected -1 or 1 with --accelerator mps"):
        parse([*flags, "mps", "--num-gpus", "4"])
    assert parse([*flags, "mps", "--num-gpus", "1"]).num_gpus == 1
    assert parse([*flags, "cpu", "--num-gpus", "4"]).num_gpus == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["--help"], ["--accelerator", "gpuu"], ["--ckpt-path", "nowhere.ckpt"], ["--save-dir", __file__]]
)
def test_flags_are_checked_before_anything_heavy_is_imported(flags: list[str], tmp_path: Path) -> None:
    """A wrong flag took ten seconds to be named, `--help` as long."""
    (tmp_path / "m.json").write_text('{"model_type": "autoencoder"}')
    command = ["-X", "importtime", "-m", "snac_plugin", "train", "--model-config", "m.json", *flags]
    ran = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == (0 if flags == ["--help"] else 1)
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert "snac_plugin.cli.train_flags" in imported
    assert not imported & {"torch", "stable_audio_tools", "pytorch_lightning"}


def test_no_command_imports_torch_before_its_flags_are_read() -> None:
    code = f"import importlib, sys\n[importlib.import_module(f'snac_plugin.cli.{{name}}') for name in {[*COMMANDS]}]\n"
    ran = subprocess.run([sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
