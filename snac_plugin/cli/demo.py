"""The whole chain in minutes: render music, encode it, fine-tune the shipped model on it, generate. `make demo` runs this.

    python -m snac_plugin demo

It writes to `demo_music/` and `runs/demo/`; a second call reuses the music, trains anew and removes the first one's run.
"""

import argparse
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.cli.arguments import check_paths
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.demo_songs import DemoSongs, Kind, add_kind_arguments, kind_from
from snac_plugin.errors import UsageError
from snac_plugin.files import make_folder
from snac_plugin.wording import counted

BATCH_SIZE = 2
CHUNKS = 2  # to generate: 12.3 s
HELD_OUT = 2  # songs that no training has seen, which are continued
KNOWN = Kind(("house", "techno"), 125, "A minor")  # what the shipped model knows best
MUSIC_SEED = 1  # the shipped model was trained on songs of seed 0
HELD_OUT_SECONDS = 16.0  # of each of these songs
REPAINTED = "6:9"  # seconds of the first of them
MARK = "demo_run.txt"
TRAINING_FLAGS = ("save-dir", "pretrained-ckpt-path", "max-steps", "seed")  # handed on to train.py
MADE = ("checkpoints", "demos", "generated", "tensorboard")
CONFIG = "model_config.json"  # in the folder of the run: the config that is trained, with the styles of the songs


def parser() -> CommandParser:
    flags = CommandParser("demo", description=__doc__)
    config = Path(__file__).resolve().parents[2] / "model_configs" / "snac_dit_finetune.json"  # of this checkout
    flags.add_argument(
        "--model-config", default=str(config), metavar="FILE", help=f"model config to train; {config.name} by default"
    )
    flags.add_argument(
        "--pretrained-ckpt-path",
        default=DEFAULT,
        metavar="FILE",
        help=f'checkpoint to start from ({DEFAULT}); "" starts from random weights',
    )
    flags.add_argument(
        "--save-dir",
        type=Path,
        default=Path("runs/demo"),
        metavar="FOLDER",
        help="folder of the run (%(default)s); an earlier demo in it goes",
    )
    flags.add_argument("--max-steps", type=int, default=60, metavar="N", help="training steps (%(default)s)")
    flags.add_argument("--songs", type=int, default=16, metavar="N", help="songs to render, of a minute each (%(default)s)")
    add_kind_arguments(flags, KNOWN)
    flags.add_argument(
        "--seed", type=int, default=42, metavar="N", help="of training and of the first generated sample (%(default)s)"
    )
    return flags


def main(argv: Sequence[str]) -> int:
    """Run the chain and say where wav, picture and checkpoint lie and how the losses fell."""
    args = parser().parse_args(argv)
    if args.max_steps == 0:
        raise UsageError("--max-steps", args.max_steps, "at least one training step")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_paths(args)
    make_room(args.save_dir)
    started = time.perf_counter()
    config = _config(args)
    print("1/4 render and encode demo music", flush=True)
    songs, dataset = _held_out_songs(args, config), _codes(args, config)
    start = args.pretrained_ckpt_path or "the beginning"
    print(f"2/4 train for {counted(args.max_steps, 'step')}, from {start}", flush=True)
    checkpoint = _train(args, dataset)
    print("3/4 losses: mean of the first and of the last tenth of the steps")
    print(_losses(args.save_dir))
    print("4/4 generate, and listen", flush=True)
    _generate(args, config, checkpoint, songs)
    _listen(args, config, songs)
    print(f"checkpoint {checkpoint}\nin all {(time.perf_counter() - started) / 60:.1f} minutes")
    return 0


def _config(args: argparse.Namespace) -> dict[str, Any]:
    """The model config to train, in the folder of the run: its condition `style` knows the styles of the songs, too."""
    from snac_plugin.checkpoints.new_classes import CLASSES
    from snac_plugin.config import check_model_config, load_json

    config = load_json(args.model_config)
    check_model_config(config, args.model_config)
    conditioning = config["model"].get("conditioning") or {"configs": []}
    for one in conditioning["configs"]:
        if one["id"] == "style" and (key := CLASSES.get(one["type"])):
            one["config"][key] += [style for style in args.styles if style not in one["config"][key]]
    (args.save_dir / CONFIG).write_text(json.dumps(config, indent=4), encoding="utf-8")
    return config


def make_room(run: Path) -> None:
    """Make the folder of a demo run, or remove what an earlier demo run made in it; UsageError if others made the folder."""
    if os.path.isfile(run) or (os.path.isdir(run) and any(run.iterdir()) and not (run / MARK).is_file()):
        advice = "Name another one, or remove it yourself."
        raise UsageError("--save-dir", f"{run}, which no demo run has made", "a new folder or that of an earlier demo", advice)
    for name in MADE if os.path.isdir(run) else ():
        shutil.rmtree(run / name, ignore_errors=True)
    make_folder("--save-dir", run)
    (run / MARK).write_text(f"Made by python -m snac_plugin demo. Its next run here removes {', '.join(MADE)}.\n")


def _codes(args: argparse.Namespace, config: Mapping[str, Any]) -> Path:
    """Codes of the demo music, encoded once; returns the dataset config to train with."""
    from snac_plugin.cli.memory import reuse_freed_memory
    from snac_plugin.config import check_model_config
    from snac_plugin.data.pre_encode import pre_encode
    from snac_plugin.plugin import builders

    reuse_freed_memory()
    checked = check_model_config(config, args.model_config)
    codec = builders.pretransform(config["model"]["pretransform"], checked.sample_rate)
    songs = DemoSongs(args.songs, None, kind_from(args), MUSIC_SEED)
    music, output = songs.dataset("train", checked.sample_rate), songs.folder / f"codes_{codec.fingerprint}"
    return pre_encode(music, output, codec, min_frames=checked.sample_size // codec.downsampling_ratio)


def _train(args: argparse.Namespace, dataset: Path) -> Path:
    from snac_plugin.cli.train import train
    from snac_plugin.cli.train_flags import parse

    flags = {"model-config": args.save_dir / CONFIG, "dataset-config": dataset, "batch-size": BATCH_SIZE}
    flags |= {name: vars(args)[name.replace("-", "_")] for name in TRAINING_FLAGS}
    checkpoint = train(parse([word for name, value in flags.items() for word in (f"--{name}", str(value))]))
    assert checkpoint is not None, "the last step is always saved"
    return checkpoint


def _losses(run: Path) -> str:
    """A table of each level's loss at the start and at the end of a run, from its TensorBoard log."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # or it says that it has come to the end of the file
    log = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    log.Reload()
    rows = ["level   first    last"]
    for tag in sorted(log.Tags()["scalars"]):
        if tag.startswith("train/loss_") and len(tag) == len("train/loss_") + 1:
            values = [event.value for event in log.Scalars(tag)]
            tenth = max(1, len(values) // 10)
            rows.append(f"{tag[-1]:5} {fmean(values[:tenth]):7.3f} {fmean(values[-tenth:]):7.3f}")
    return "\n".join(rows)


def _held_out_songs(args: argparse.Namespace, config: Mapping[str, Any]) -> list[Path]:
    """The beginnings of songs of the same kind that no training has seen. UsageError: the model does not take their conditions."""
    from snac_plugin.config import check_model_config
    from snac_plugin.generation.settings import check_metadata

    held_out = DemoSongs(HELD_OUT, HELD_OUT_SECONDS, kind_from(args)).dataset("held_out", config["sample_rate"])
    songs, checked = sorted(Path(held_out["datasets"][0]["path"]).glob("*.flac")), check_model_config(config, args.model_config)
    for song in songs:  # now, and not after the training
        check_metadata(_conditions(checked.model.conditioning, song), checked, where=str(song.with_suffix(".json")))
    return songs


def _generate(args: argparse.Namespace, config: Mapping[str, Any], checkpoint: Path, songs: Sequence[Path]) -> None:
    """A sample from nothing with the conditions of each song, one that continues it, and the first song repainted."""
    from snac_plugin.cli import generate
    from snac_plugin.config import check_model_config

    checked, out = check_model_config(config, args.model_config), _made_in(args)
    common, length = ["--ckpt", str(checkpoint), "--out", str(out)], ["--chunks", str(CHUNKS)]
    asked = [_conditions(checked.model.conditioning, song) for song in songs]
    flags = [[word for name, value in one.items() for word in ("--condition", f"{name}={value}")] for one in asked]
    for number, (song, said) in enumerate(zip(songs, flags, strict=True)):
        generate.main([*common, *length, "--seed", str(args.seed + number), *said])
        if checked.model.diffusion.config.context_chunks > 0:
            generate.main([*common, *length, "--seed", str(args.seed), "--continue", str(song), *said])
    known = ["--put-back"] if checked.training is None or checked.training.infill is None else []
    repaint = ["--edit", str(songs[0]), "--repaint", REPAINTED, *known, *flags[0]]
    generate.main([*common, "--out", str(out / "repainted"), "--seed", str(args.seed), *repaint])


def _conditions(section: Any, song: Path) -> dict[str, Any]:
    """What the JSON file beside a song says of a model's conditions: of its ConditioningSection, or None."""
    facts = json.loads(song.with_suffix(".json").read_text(encoding="utf-8"))
    return section.read_of(facts) if section else {}


def _made_in(args: argparse.Namespace) -> Path:
    folder: Path = args.save_dir / "generated"
    return folder


def _listen(args: argparse.Namespace, config: Mapping[str, Any], songs: Sequence[Path]) -> None:
    """Tempo and key of what is new beside those of its song; what was continued once more, with its song through the codec."""
    out, continued = _made_in(args), {}
    for number, song in enumerate(songs):
        facts = json.loads(song.with_suffix(".json").read_text(encoding="utf-8"))
        told = f"its song: {facts['tempo']} beats a minute, {facts['key']}"
        print(f"seed_{args.seed + number}: {_tempo_and_key(out / f'seed_{args.seed + number}.wav')}; {told}")
        if (wav := out / f"{song.stem}_seed_{args.seed}.wav").is_file():  # a model without context continues nothing
            print(f"{wav.stem}: {_tempo_and_key(wav, song)}; {told}")
            continued[wav] = song
    for wav, song in continued.items():
        print(f"one sound all along, the recording through the codec, too: {_through_codec(config, song, wav)}")


def _through_codec(config: Mapping[str, Any], song: Path, continued: Path) -> Path:
    """A continued song whose recording has passed the codec, too: one sound all along, so that the join can be judged."""
    import soundfile
    import torch

    from snac_plugin.data.audio import read_audio
    from snac_plugin.generation.joining import JOIN_SECONDS, join
    from snac_plugin.plugin import builders

    (rate, recorded), (_, whole) = read_audio(song), read_audio(continued)
    codec = builders.pretransform(config["model"]["pretransform"], rate)
    length, size = recorded.shape[-1], round(JOIN_SECONDS * rate)
    passed = codec.decode(codec.encode(recorded[None]), length)[0]
    # The new audio was joined to the recording; the same join, from the recording to its copy, joins it to that.
    new = join(whole[:, length:], passed[:, length - size :], recorded[:, length - size :])
    written = continued.with_name(f"{continued.stem}_through_codec.wav")
    soundfile.write(written, torch.cat([passed, new], dim=1).T.numpy(), rate, subtype="FLOAT")
    return written


def _tempo_and_key(wav: Path, continued: Path | None = None) -> str:
    """Tempo and key of a file, as librosa estimates them; of a continuation only what follows the recording."""
    import soundfile

    from snac_plugin.evaluation import music_measures as music

    if not music.have_librosa():
        return music.WITHOUT_LIBROSA
    start = 0 if continued is None else soundfile.info(continued).frames
    audio, rate = soundfile.read(wav, dtype="float32", start=start)
    fits = music.key_fits(music.pitch_classes(audio, rate))
    beat, key = music.beat_strength(audio, rate), music.key_name(int(fits.argmax()))
    return f"librosa hears {music.tempo(audio, rate):.0f} beats a minute (strength {beat:.2f}) and {key} (fit {fits.max():.2f})"
