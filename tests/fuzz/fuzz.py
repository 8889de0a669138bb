"""Try thousands of damaged configs, audio files and checkpoints: each must succeed or end in a sentence.

    python tests/fuzz/fuzz.py --configs 500 --datasets 200 --files 200 --checkpoints 200

Prints how many were tried, fine, told in a sentence; and every raw traceback, hang and silent fault with the seed that repeats it:
`--only model_config --seed 17 --configs 1`.
"""

import argparse
import os
import pickle
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from cases import Fuzz, Silent  # noqa: E402

import snac_plugin  # noqa: E402
from snac_plugin.errors import SnacPluginError  # noqa: E402

KINDS = {"model_config": "configs", "dataset_config": "datasets", "audio_file": "files", "checkpoint": "checkpoints"}
BAD = ("raw", "hang", "silent", "killed")


def outcome(fuzz: Fuzz, kind: str, seed: int) -> tuple[str, str]:
    """How one case ended, and what is to be said of it."""
    fuzz.note = ""
    try:
        getattr(fuzz, kind)(np.random.default_rng([seed, list(KINDS).index(kind)]))
        return "fine", fuzz.note
    except SnacPluginError as error:
        text = str(error)
        plain = text.strip() and "Traceback" not in text and (text.count("\n") == 0 or "more:" in text or "(In " in text)
        return ("clear error" if plain else "raw"), f"{fuzz.note}: {text}"
    except Silent as error:
        return "silent", f"{fuzz.note}: {error}"
    except BaseException:
        return "raw", f"{fuzz.note}: {traceback.format_exc()}"


def worker(fuzz: Fuzz, cases: list[tuple[str, int]], pipe: int, memory: int) -> None:
    """Run cases in a process of their own, and write each outcome into a pipe."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for kind, seed in cases:
        for left in fuzz.folder.glob("case_*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        data = pickle.dumps((kind, seed, *outcome(fuzz, kind, seed)))
        os.write(pipe, len(data).to_bytes(4, "big") + data)
        if _resident() > memory:
            os._exit(3)
    os._exit(0)


def _resident() -> int:
    """MiB of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


def run_cases(fuzz: Fuzz, cases: list[tuple[str, int]], limit: float, until: float) -> list[tuple[str, int, str, str]]:
    """Outcomes of all cases, or of those before the time `until`. A case that takes longer than `limit` seconds is a hang."""
    done: list[tuple[str, int, str, str]] = []
    while len(done) < len(cases) and time.time() < until:
        source, pipe = os.pipe()
        process = os.fork()
        if process == 0:
            os.setsid()
            worker(fuzz, cases[len(done) :], pipe, 4000)
        os.close(pipe)
        with os.fdopen(source, "rb", buffering=0) as results:
            ended = _collect(results, done, limit, until)
        os.killpg(process, signal.SIGKILL) if ended != "end" else None
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if ended == "hang" or (ended == "end" and status not in (0, 3)):
            kind, seed = cases[len(done)]
            done.append((kind, seed, "hang" if ended == "hang" else "killed", f"status {status}"))
    return done


def _collect(results: Any, done: list[tuple[str, int, str, str]], limit: float, until: float) -> str:
    while time.time() < until:
        if not select.select([results], [], [], limit)[0]:
            return "hang"
        if not (size := results.read(4)):
            return "end"
        data = b""
        while len(data) < int.from_bytes(size, "big"):
            data += results.read(int.from_bytes(size, "big") - len(data))
        done.append(pickle.loads(data))
    return "time"


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, name in KINDS.items():
        made.add_argument(
            f"--{name}", type=int, default=500 if kind == "model_config" else 200, help=f"{kind}s to try (%(default)s)"
        )
    made.add_argument("--only", choices=KINDS, help="one kind alone")
    made.add_argument("--seed", type=int, default=0, help="of the first case of each kind (%(default)s)")
    made.add_argument("--limit", type=float, default=30.0, metavar="S", help="seconds after which a case hangs (%(default)s)")
    made.add_argument("--seconds", type=float, default=3600.0, metavar="S", help="end after so long (%(default)s)")
    made.add_argument("--verbose", action="store_true", help="print every outcome")
    args = made.parse_args()
    torch.set_num_threads(1)
    snac_plugin.register()
    until = time.time() + args.seconds
    kinds = [args.only] if args.only else list(KINDS)
    cases = [(kind, args.seed + i) for kind in kinds for i in range(getattr(args, KINDS[kind]))]
    with tempfile.TemporaryDirectory() as folder:
        done = run_cases(Fuzz(Path(folder)), cases, args.limit, until)
    for kind, seed, how, what in done:
        if args.verbose or how in BAD:
            print(f"{how}: --only {kind} --seed {seed}: {what}\n")
    print("| kind | tried | fine | clear error | raw traceback | hang | silent |\n|---|---|---|---|---|---|---|")
    for kind in kinds:
        count = Counter(how for each, _, how, _ in done if each == kind)
        cells = [count.total(), count["fine"], count["clear error"], count["raw"] + count["killed"], count["hang"], count["silent"]]
        print(f"| {kind.replace('_', ' ')} | {' | '.join(map(str, cells))} |")
    return int(any(how in BAD for _, _, how, _ in done))


if __name__ == "__main__":
    sys.exit(main())
