"""Pre-encode a collection to shards and train on them, unbroken and with kill -9 in between: both must give the same.

    python benchmarks/killed_runs.py --music demo_music/a demo_music/b --model-config model_configs/snac_dit.json --out runs/killed

Prints hours, sizes and rates, and whether shards, losses and weights are equal. Stages whose results lie in --out are not repeated.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from small_runs import logged  # noqa: E402


def started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=file, stderr=file, start_new_session=True)


def kill_until_done(command: list[str], log: Path, due: list[Callable[[float], bool]]) -> dict[str, float]:
    """Run a command until it ends by itself, killing it -9 with all its processes whenever the next of `due` says so.

    `due` are functions of the seconds since the start. Returns wall and CPU seconds, of all starts together, and kills.
    """
    before, began, kills = _cpu(), time.time(), 0
    while True:
        process, start = started(command, log), time.time()
        while process.poll() is None:
            time.sleep(0.2)
            if kills < len(due) and due[kills](time.time() - start):
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
        if process.wait() == 0:
            if kills < len(due):
                raise SystemExit(f"{' '.join(command)} ended after {kills} of {len(due)} kills: give it more to do")
            return {"seconds": time.time() - began, "cpu_seconds": _cpu() - before, "kills": kills}
        if process.returncode != -signal.SIGKILL:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: see {log}")


def a_while_after(reached: Callable[[], bool], wait: float) -> Callable[[float], bool]:
    """Whether `reached` has been true for `wait` seconds, by the seconds since the start."""
    seen: list[float] = []

    def due(seconds: float) -> bool:
        if reached():
            seen.append(seconds)
        return bool(seen) and seconds - seen[0] >= wait

    return due


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stage(out: Path, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a stage: of an earlier run, or of this one."""
    note = out / f"{name}.json"
    if not note.is_file():
        for old in (out / name, out / f"{name}.log"):
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        note.write_text(json.dumps(run()))
    found: dict[str, Any] = json.loads(note.read_text())
    return found


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def megabytes(folder: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in folder.rglob(pattern)) / 1e6


def encode(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Encode twice; rows of the table."""
    entries = [{"id": folder.name, "path": str(folder.resolve())} for folder in args.music]
    dataset = args.out / "dataset.json"
    dataset.write_text(json.dumps({"dataset_type": "audio_dir", "datasets": entries}))
    base = [
        "pre_encode.py",
        "--model-config",
        str(args.model_config.resolve()),
        "--dataset-config",
        str(dataset),
        "--device",
        "cpu",
    ]
    base += ["--shards", str(args.shards), *args.encode_flags.split()]

    def command(name: str) -> list[str]:
        return [*base, "--output-path", str(args.out / name)]

    whole = stage(args.out, "encoded", lambda: kill_until_done(command("encoded"), args.out / "encoded.log", []))
    shards = len(digests(args.out / "encoded"))
    each = whole["seconds"] / shards

    def written(count: int) -> Callable[[], bool]:
        return lambda: len(list((args.out / "encoded_killed").glob("*.tar"))) >= count

    marks = [shards * (i + 1) // (args.encode_kills + 1) for i in range(args.encode_kills)]
    due = [a_while_after(written(count), random.Random(i).uniform(0, each)) for i, count in enumerate(marks)]
    killed = stage(
        args.out, "encoded_killed", lambda: kill_until_done(command("encoded_killed"), args.out / "encoded_killed.log", due)
    )
    details = json.loads((args.out / "encoded" / "details.json").read_text())
    equal = digests(args.out / "encoded") == digests(args.out / "encoded_killed")
    size = megabytes(args.out / "encoded", "*.tar")
    audio = sum(megabytes(folder, "*.flac") for folder in args.music)
    hours = details["seconds"] / 3600
    return [
        ("music", f"{hours:.2f} hours, {details['tracks']:,} tracks, {audio:,.0f} MB of FLAC"),
        ("shards", f"{details['shards']}, {size:.1f} MB, {size / hours:.2f} MB an hour"),
        ("encoding", f"{_time(whole)}: {details['seconds'] / whole['cpu_seconds']:.1f} hours of music an hour of one core"),
        (f"encoding, killed {killed['kills']} times", _time(killed)),
        ("shards equal, byte for byte", "yes" if equal else "NO"),
    ]


def train(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Train twice; rows of the table."""
    config = args.out / "encoded_killed" / "dataset_config.json"
    base = ["train.py", "--model-config", str(args.model_config.resolve()), "--dataset-config", str(config), "--accelerator", "cpu"]
    base += ["--batch-size", "2", "--max-steps", str(args.steps), "--checkpoint-every", str(args.checkpoint_every)]

    def command(name: str) -> list[str]:
        return [*base, "--save-dir", str(args.out / name), "--recover"]

    def saved(step: int) -> Callable[[], bool]:
        checkpoints = args.out / "trained_killed" / "checkpoints"
        return lambda: max((int(path.stem[5:]) for path in checkpoints.glob("step=*.ckpt")), default=0) >= step

    whole = stage(args.out, "trained", lambda: kill_until_done(command("trained"), args.out / "trained.log", []))
    marks = [args.steps * (i + 1) // (args.train_kills + 1) for i in range(args.train_kills)]
    due = [a_while_after(saved(step), random.Random(step).uniform(0, 2)) for step in marks]
    killed = stage(
        args.out, "trained_killed", lambda: kill_until_done(command("trained_killed"), args.out / "trained_killed.log", due)
    )
    one, other = (logged(args.out / name) for name in ("trained", "trained_killed"))
    names = [name for name in one if name.startswith("train/loss")]
    losses = all(one[name] == other.get(name) for name in names)
    ends = [args.out / name / "checkpoints" / f"step={args.steps:08d}.ckpt" for name in ("trained", "trained_killed")]
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in ends]
    equal = weights[0].keys() == weights[1].keys() and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    return [
        ("training", f"{args.steps} steps, a checkpoint every {args.checkpoint_every}: {_time(whole)}"),
        (f"training, killed {killed['kills']} times", _time(killed)),
        (f"losses equal ({len(names)} curves, {sum(map(len, (one[n] for n in names)))} points)", "yes" if losses else "NO"),
        ("weights equal, bit for bit", "yes" if equal else "NO"),
    ]


def _time(of: dict[str, float]) -> str:
    return f"{of['seconds'] / 60:.1f} minutes, {of['cpu_seconds'] / 60:.1f} of CPU"


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--music", type=Path, nargs="+", required=True, metavar="FOLDER", help="folders of FLAC files")
    made.add_argument("--model-config", type=Path, required=True, metavar="FILE", help="names the codec and the network")
    made.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where all of it goes")
    made.add_argument("--shards", type=float, default=4.0, metavar="MB", help="size of a shard (%(default)s)")
    made.add_argument("--encode-flags", default="", metavar="FLAGS", help="more flags of pre_encode.py, in quotes")
    made.add_argument("--encode-kills", type=int, default=5, metavar="N", help="%(default)s by default")
    made.add_argument("--train-kills", type=int, default=10, metavar="N", help="%(default)s by default")
    made.add_argument("--steps", type=int, default=110, metavar="N", help="of the training (%(default)s)")
    made.add_argument("--checkpoint-every", type=int, default=5, metavar="N", help="steps (%(default)s)")
    args = made.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = encode(args) + train(args)
    print("\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]))
    return int(any(value == "NO" for _, value in rows))


if __name__ == "__main__":
    sys.exit(main())
