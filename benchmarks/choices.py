"""Which tokens, head, objective, visibility, backbone? Short trainings at equal compute, one setting changed at a time.

    python benchmarks/choices.py --seeds 0 1 2

Measures the seconds of a training step of each variant, trains each by `train.py`'s own trainer for as many steps as fit into
the same CPU time (wall time on a GPU), and tests the averaged weights on songs they never heard:

* the estimate of a chunk's data given the two chunks before it: mean squared error, share of nearest codes that are right, and
  cross-entropy of the logits, at equal ratios of data to noise; of masked codes at equal shares t of them, which says another
  thing: those alone count, and nothing of them is seen;
* continuations by a chunk: Frechet distance to the songs' recordings (that of `evaluate.py`), codes used, agreement with the
  context in tempo and pitch, seconds a chunk.

It can go on for days: stop it at any time (Ctrl-C, SIGTERM); the same command goes on from there. Trainings go on from their
last checkpoint, and finished parts are kept and used again. The base and what changes its tokens come first, with all --seeds,
one seed after another; then the others in turn; then other ways to sample from what was trained, with averages of other lengths,
noise, autoguidance. `--report` prints what is there, and what is missing.
"""

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import measure
import songs
import timing
import torch
from choices_report import Row, report
from choices_tests import HeldOut, Subject, read, tested
from choices_variants import SAMPLED, TOKENS, VARIANTS, config_of, trained_of
from context_losses import windows_of
from small_trainings import CHUNKS, CONTEXT_CHUNKS, add_arguments, finished, run_training, training

from snac_plugin.cli.demo_songs import kind_from
from snac_plugin.config import load_json
from snac_plugin.device import pick_precision
from snac_plugin.files import read_json_object, write_whole
from snac_plugin.model.conditions import Conditions
from snac_plugin.plugin import builders
from snac_plugin.training.stage_losses import draw_step, stage_losses

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Time, train, test, report; stopped, report what is there."""
    args = parser().parse_args(argv)
    device = measure.start(args)
    held_out = held_out_of(args)
    codes = args.codes or songs.demo_codes(
        held_out.codec, "train", args.music, args.songs, args.seconds, CHUNKS * args.chunk_frames, kind_from(args)
    )
    before = signal.signal(signal.SIGTERM, _stop)  # outside of a training, which handles it itself
    try:
        for name, seed in () if args.report else order(args):
            row(name, seed, args, codes, held_out, device)
    finally:
        signal.signal(signal.SIGTERM, before)
        report(args, device, held_out, rows_there(args, codes, held_out, device), order(args))


def _stop(number: int, _: Any) -> None:
    sys.exit(f"{signal.Signals(number).name}: stopped; the same command goes on from there.")


def parser() -> argparse.ArgumentParser:
    """Arguments; `soundstorm.py` has them, too."""
    made = measure.parser(__doc__, repeats=5)
    add_arguments(made, batch_size=8, heads=2, chunk_frames=16)
    songs.add_arguments(made, held_out=16, seconds=60.0)
    names = [*VARIANTS, *SAMPLED]
    made.add_argument("--variants", nargs="+", choices=names, default=names, help="what to compare with the base")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], help=f"of the trainings of {', '.join(TOKENS)}")
    made.add_argument("--seeds-of-others", type=int, nargs="+", default=[0], help="of the trainings of all others")
    made.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of each training; of wall time on a GPU")
    made.add_argument("--windows", type=int, default=8, help="windows of each held-out song")
    made.add_argument("--noise-levels", type=float, nargs="+", default=[0.3, 0.6, 0.9], help="t of the rectified flow to test at")
    made.add_argument("--steps", type=int, nargs="+", default=[12, 24, 48], help="denoising steps of a chunk in all")
    made.add_argument(
        "--all-samplers", action="store_true", help="test with several samplers each, not with that which leads alone"
    )
    made.add_argument("--generate-batch", type=int, default=16, help="chunks that are generated at once")
    made.add_argument("--report", action="store_true", help="train and test nothing: print what is there, and what is missing")
    return made


def held_out_of(args: argparse.Namespace) -> HeldOut:
    """The songs and windows that all are tested on."""
    codec, window = songs.codec_of(load_json(args.model_config)), CHUNKS * args.chunk_frames
    whole = songs.held_out(args, codec, window)
    return HeldOut(codec, whole, windows_of(whole, args.windows, window), args.generate_batch, args.seed)


def order(args: argparse.Namespace) -> list[tuple[str, int]]:
    """Variants and seeds, the most valuable first: the base always; tokens with one seed, then the next; then the others."""
    names = ["base", *(name for name in (*VARIANTS, *SAMPLED) if name in args.variants and name != "base")]
    tokens = [(name, seed) for seed in args.seeds for name in names if name in TOKENS]
    return tokens + [(name, seed) for seed in args.seeds_of_others for name in names if name not in TOKENS]


def row(name: str, seed: int, args: argparse.Namespace, codes: Any, held_out: HeldOut, device: torch.device) -> Row:
    """Train a variant with a seed, or what it is sampled from, and test it; what is kept of it is used."""
    trained, config = trained_of(name), config_of(name, args, held_out.codec)
    seconds = step_seconds(trained, {"base": config_of("base", args, held_out.codec), trained: config}, args, device)
    subject = _subject(name, seed, config, seconds, args, codes)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    minutes = None
    for run in (subject.weaker, subject.run):  # the last one's minutes count
        if run is not None:
            run.folder.mkdir(parents=True, exist_ok=True)
            dataset = songs.dataset_config(codes, held_out.windows.shape[-1], run.folder / "dataset.json")
            minutes = run_training(run, args_with(args, seed), dataset, clock, keep=1)
    signal.signal(signal.SIGTERM, _stop)  # Lightning leaves its own
    return Row(seconds, subject.run.steps, minutes, tested(subject, args, held_out, device))


def rows_there(args: argparse.Namespace, codes: Any, held_out: HeldOut, device: torch.device) -> dict[tuple[str, int], Row]:
    """The rows that are whole."""
    found, known = {}, _known_seconds(args)
    for name, seed in order(args):
        config = config_of(name, args, held_out.codec)
        seconds = known.get(_about(config, args, device))
        subject = None if seconds is None else _subject(name, seed, config, seconds, args, codes)
        if subject is None or seconds is None or not finished(subject.run) or (tests := read(subject, args, held_out)) is None:
            continue
        minutes = json.loads((subject.run.folder / "minutes.json").read_text())
        found[name, seed] = Row(seconds, subject.run.steps, minutes, tests)
    return found


def args_with(args: argparse.Namespace, seed: int) -> argparse.Namespace:
    """The arguments with another seed."""
    return argparse.Namespace(**(vars(args) | {"seed": seed}))


def _subject(name: str, seed: int, config: dict[str, Any], seconds: float, args: argparse.Namespace, codes: Any) -> Subject:
    """What is tested of a variant whose steps take so many seconds."""
    sampled, steps = SAMPLED.get(name), max(1, round(args.minutes * 60 / seconds))
    trained = trained_of(name)
    run = training("choices", trained, config, steps, args_with(args, seed), codes)
    if sampled is None or not sampled.weaker:
        return Subject(name, run, sampled)
    fewer = max(1, round(steps * sampled.weaker))
    weaker = training("choices", f"{trained}_weaker", config, fewer, args_with(args, seed), codes)
    return Subject(name, run, sampled, weaker)


def step_seconds(name: str, configs: dict[str, dict[str, Any]], args: argparse.Namespace, device: torch.device) -> float:
    """Seconds of a training step of a variant (CPU seconds on a CPU): the base's, times the ratio of both timed in turn.

    So whatever else the machine does changes both. Kept, or repeated runs would train anew.
    """
    known = _known_seconds(args)
    keys = {which: _about(config, args, device) for which, config in configs.items()}
    if keys[name] not in known:
        sides = {which: _step(config, args, device) for which, config in configs.items()}
        for step in sides.values():
            step()  # the first one sets memory up
        timings = timing.interleaved(sides, device, repeats=args.repeats, retries=args.retries)
        now = {which: runs.cpu if device.type == "cpu" else runs.seconds for which, runs in timings.items()}
        base = known.setdefault(keys["base"], now["base"])
        known[keys[name]] = base * now[name] / now["base"]
        write_whole(_notes(args), json.dumps(known, indent=1))
    return known[keys[name]]


def _notes(args: argparse.Namespace) -> Any:
    folder = args.out / "choices"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "step_seconds.json"


def _known_seconds(args: argparse.Namespace) -> dict[str, float]:
    return read_json_object(_notes(args)) or {}


def _about(config: dict[str, Any], args: argparse.Namespace, device: torch.device) -> str:
    return json.dumps([measure.machine(device), pick_precision(device), args.batch_size, config])


def _step(config: dict[str, Any], args: argparse.Namespace, device: torch.device) -> Callable[[], None]:
    """A training step on random codes."""
    model = builders.model(config).to(device)
    training = model.config.training
    assert training is not None
    names, generator = model.levels.names, torch.Generator().manual_seed(args.seed)
    shape = (args.batch_size, model.levels.rows, CHUNKS * args.chunk_frames)
    codes = torch.randint(model.levels.codebook_size, shape, generator=generator).to(device)
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=args.learning_rate)

    def step() -> None:
        timesteps, corruption = training.timesteps(names), training.corruptions(names)
        draw = draw_step(codes, model.levels, CHUNKS, CONTEXT_CHUNKS, timesteps, corruption, generator)
        with measure.training_precision(device):
            losses, _ = stage_losses(model.model, codes, draw, Conditions(), None)
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
