"""A training of soundstorm-pytorch on our codes, for `soundstorm.py`.

Letters: B batch, R rows, T frames.
"""

import argparse
import importlib
import importlib.util
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import measure
import songs
import torch
from choices_report import Row
from choices_tests import Continue, HeldOut, continued_and_measured
from ema_pytorch import EMA
from small_trainings import CHUNKS, PARTS, kept, tag
from torch import Tensor

from snac_plugin.device import pick_precision
from snac_plugin.diffusion.seeds import mixed_seed
from snac_plugin.errors import InstallationError
from snac_plugin.files import write_whole

PACKAGE = "soundstorm_pytorch"
OWN, ALIKE = "soundstorm", "soundstorm, all rows alike"
CLIP = 0.5


def package() -> ModuleType:
    """soundstorm_pytorch. InstallationError: it is not there, or something that it needs."""
    advice = (
        "An optional requirement of this benchmark alone: python benchmarks/soundstorm.py --help names what to install, and where."
    )
    expected = "soundstorm-pytorch 0.6.1, which is compared"
    if importlib.util.find_spec(PACKAGE) is None:
        raise InstallationError(PACKAGE, "nothing", expected, advice)
    if "fairseq" not in sys.modules and importlib.util.find_spec("fairseq") is None:
        sys.modules["fairseq"] = ModuleType("fairseq")
        sys.modules["fairseq"].__spec__ = ModuleSpec("fairseq", None)  # libraries ask whether it is there
    try:
        found = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise InstallationError(PACKAGE, str(error), expected, advice) from error
    found.soundstorm.tqdm = lambda passes, **_: passes  # a bar for each row of each batch
    return found


def its(codes: Tensor) -> Tensor:
    """Packed codes [B, R, T] as the package has them: positions, and quantizers of each [B, T, R]."""
    return codes.transpose(1, 2).contiguous()


def ours(sequence: Tensor, rows: int) -> Tensor:
    """Packed codes [B, R, T] of what the package generates [B, T * R]."""
    return sequence.unflatten(1, (-1, rows)).transpose(1, 2)


def build(its_classes: ModuleType, dim: int, args: argparse.Namespace, held_out: HeldOut) -> torch.nn.Module:
    """The package's model over our codes."""
    levels = held_out.codec.levels
    conformer = {"dim": dim, "depth": args.depth, "heads": args.heads, "dim_head": dim // args.heads}
    network = its_classes.ConformerWrapper(codebook_size=levels.codebook_size, num_quantizers=levels.rows, conformer=conformer)
    return its_classes.SoundStorm(network, schedule="cosine")


def dim_of(weights: int, args: argparse.Namespace, held_out: HeldOut, its_classes: ModuleType) -> int:
    """The width at which it has about as many weights; heads have an even one."""
    dims = range(2 * args.heads, 2 * args.dim, 2 * args.heads)
    with torch.device("meta"):
        counts = {dim: sum(p.numel() for p in build(its_classes, dim, args, held_out).parameters()) for dim in dims}
    return min(counts, key=lambda dim: abs(counts[dim] - weights))


class SoundStormRun:
    """A training of the package's model, which goes on where it was stopped, and its tests.

    Args:
        dim: its width.
        seed: of weights, batches and masks.
        codes: folder of the codes to train on.
    """

    def __init__(
        self,
        its_classes: ModuleType,
        dim: int,
        seed: int,
        args: argparse.Namespace,
        held_out: HeldOut,
        codes: Path,
        device: torch.device,
    ) -> None:
        _seed(seed)
        self.args, self.seed, self.device = args, seed, device
        self.model = build(its_classes, dim, args, held_out).to(device)
        self.average = EMA(self.model, beta=0.9999, power=3 / 4, update_every=1, update_after_step=1, include_online_model=False)
        rate = args.soundstorm_learning_rate or args.learning_rate
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.window = held_out.windows.shape[-1]
        self.songs = [song.codes for song in songs.read_songs(codes, held_out.codec, self.window, args.songs)]
        size = [dim, args.depth, args.heads, self.window, args.batch_size, rate, seed, args.minutes, str(codes)]
        self.folder = args.out / "soundstorm" / f"{dim}_{tag([*size, pick_precision(device)])}"
        self.step, self.minutes = 0, 0.0
        self._load()

    def row(self, held_out: HeldOut) -> Row:
        """Train for the minutes that are left, and test."""
        self.train(lambda: self.minutes >= self.args.minutes)
        self.average.ema_model.eval()
        return Row(60 * self.minutes / self.step, self.step, self.minutes, self._tests(held_out))

    def train(self, done: Callable[[], bool]) -> None:
        """Steps until it is done; saves now and then, when it is done, and when a signal stops it."""
        stopped: list[int] = []
        before = {number: signal.signal(number, lambda n, _: stopped.append(n)) for number in (signal.SIGTERM, signal.SIGINT)}
        clock, saved = time.process_time if self.device.type == "cpu" else time.perf_counter, self.minutes
        try:
            while not done() and not stopped:
                started = clock()
                self._step()
                self.minutes += (clock() - started) / 60
                if self.minutes - saved > self.args.minutes / PARTS:
                    saved = self.minutes
                    self._save()
            self._save()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if stopped:
            sys.exit(f"{signal.Signals(stopped[0]).name}: stopped after {self.minutes:.1f} minutes; the same command goes on.")

    def _step(self) -> None:
        _seed(mixed_seed(self.seed, self.step))
        self.model.train()
        with measure.training_precision(self.device):
            loss, _ = self.model(its(self._batch()))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()
        self.step += 1

    def _batch(self) -> Tensor:
        """Windows of songs, drawn anew at each step [B, R, T]."""
        drawn = [random.choice(self.songs) for _ in range(self.args.batch_size)]
        starts = [random.randrange(song.shape[-1] - self.window + 1) for song in drawn]
        return torch.stack([song[:, s : s + self.window] for song, s in zip(drawn, starts, strict=True)]).to(self.device)

    def _tests(self, held_out: HeldOut) -> dict[str, dict[str, Any]]:
        """As `choices_tests.tested`, by sampler and passes, without scores; kept."""
        about = {"seed": self.args.seed, "windows": held_out.digest, "step": self.step}
        found = {}
        for name in (OWN, ALIKE):
            for passes in sorted(self.args.steps):
                go_on = self.continuing(name, passes, held_out.codec.levels.rows)
                if go_on is not None:
                    run = partial(continued_and_measured, go_on, held_out, self.args.generate_batch, self.device)
                    found[f"{name}, {passes}"] = kept(self.folder / f"{name}.{passes}.json", about, run)
        return found

    def continuing(self, name: str, passes: int, rows: int) -> Continue | None:
        """How it makes codes [B, R, T] after others [B, R, 2 T] in so many passes; None where these are too few for its rows."""
        steps, full = (passes - rows + 1, 1) if name == OWN else (passes // rows, rows)
        if steps < 1:
            return None

        def go_on(past: Tensor, seeds: Sequence[int]) -> Tensor:
            model, frames = self.average.ema_model, self.window // CHUNKS
            model.steps = steps
            _seed(mixed_seed(self.args.seed, seeds[0]))
            with measure.precision(self.device):
                made = model.generate(
                    num_latents=self.window,
                    prompt_acoustic_token_ids=its(past),
                    batch_size=len(past),
                    num_full_sampling_levels=full,
                )
            assert int(made.max()) < model.mask_id, "a code stayed masked"
            return ours(made, rows)[..., -frames:]

        return go_on

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {"model": self.model, "average": self.average, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()} | {"step": self.step, "minutes": self.minutes}
        write_whole(self.folder / "state.pt", lambda path: torch.save(state, path))

    def _load(self) -> None:
        if (self.folder / "state.pt").is_file():
            state = torch.load(self.folder / "state.pt", map_location=self.device, weights_only=True)
            for name, part in (("model", self.model), ("average", self.average), ("optimizer", self.optimizer)):
                part.load_state_dict(state[name])
            self.step, self.minutes = state["step"], state["minutes"]


def _seed(seed: int) -> None:
    """The package draws weights, masks and codes from both global generators."""
    random.seed(seed)
    torch.manual_seed(seed)
