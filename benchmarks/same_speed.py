"""Whether a change left the speed as it was: training steps and generated chunks, two commits in turn in one run.

python benchmarks/same_speed.py --base HEAD~1
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from two_commits import ROOT, Run, checkout, commit_of, demo_data, runner

GENERATE = """
import sys, time, snac_plugin
model = snac_plugin.load_model("snac_dit_tiny")
times = [time.perf_counter()]
for _ in model.stream(chunks=int(sys.argv[1]) + 3, seed=1, steps=24, progress=False):
    times.append(time.perf_counter())
print("seconds", *(b - a for a, b in zip(times[3:], times[4:])))
"""
WARM_UP = 4  # training steps that are not counted


def main(argv: Sequence[str] | None = None) -> None:
    """Print the median seconds of a step and of a chunk in both commits, and their ratio."""
    parser = argparse.ArgumentParser("same_speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, metavar="REV", help="commit to compare the working tree with")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each commit, in turn (%(default)s)")
    parser.add_argument("--steps", type=int, default=16, metavar="N", help="training steps of a run (%(default)s)")
    parser.add_argument("--chunks", type=int, default=5, metavar="N", help="chunks of a run (%(default)s)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = {"base": checkout(commit_of(args.base), folder / "base"), "working tree": ROOT}
        seconds: dict[tuple[str, str], list[float]] = {}
        _, data = demo_data(runner(trees["base"]), folder, songs=4, seconds=40)
        for number in range(args.rounds):
            for side, tree in trees.items():
                run = runner(tree)
                steps = _training_steps(run, data, folder / f"{side} {number}", args.steps)
                seconds.setdefault(("training step", side), []).extend(steps)
                words = run("-c", GENERATE, args.chunks).rpartition("seconds")[2].split()
                seconds.setdefault(("chunk", side), []).extend(map(float, words))
    print("| | base, s | working tree, s | ratio |\n|---|---|---|---|")
    for what in ("training step", "chunk"):
        before, after = (statistics.median(seconds[what, side]) for side in trees)
        print(f"| {what} | {before:.3f} | {after:.3f} | {after / before:.3f} |")


def _training_steps(run: Run, data: Path, folder: Path, steps: int) -> list[float]:
    """Seconds of each step after the first ones, by the clock of the log."""
    flags = ["--dataset-config", data, "--batch-size", 2, "--save-dir", folder, "--max-steps", steps, "--seed", 3]
    run("train.py", "--model-config", "model_configs/snac_dit_tiny.json", *flags)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    times = [event.wall_time for event in events.Scalars("train/loss")]
    return [later - earlier for earlier, later in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False)]


if __name__ == "__main__":
    main()
