"""Training a SNAC codec on recordings, on a CPU if need be: how the shipped codec was made.

The order of events, as fractions of the whole training (`TrainingPlan`):

1. weights start from data (`initialise_from_data`);
2. warm-up: no codebooks; noise on the code vectors, which lie on a sphere because SNAC compares directions, stands in for the
   codebooks' error, so that encoder and decoder learn to withstand it;
3. codebooks start from data, level by level (k-means over the residual that each level sees), and follow it as running means;
   dead codes start again at vectors seen lately; the encoder slows down, so that codes can follow;
4. at the end encoder and codebooks rest, and the decoder alone settles on the final codes.

Letters: B batch, N audio samples.
"""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from snac import SNAC
from torch import Tensor

from snac_plugin.codec.snac_forward import Quantised, centring, commitment, quantise, run_module
from snac_plugin.codec_training.codebooks import RunningCodebook
from snac_plugin.codec_training.initialise import initialise_from_data, start_codebooks
from snac_plugin.codec_training.losses import SpectralLoss, line_loss
from snac_plugin.codec_training.plan import TrainingPlan
from snac_plugin.codec_training.recordings import Recordings
from snac_plugin.errors import CheckpointError

logger = logging.getLogger(__name__)


class CodecTrainer:
    """Trains one SNAC model; `rows()` runs it and yields a row of measurements every so often.

    Args:
        config: the contents of a SNAC config.json.
        plan: how to train.
        recordings: what to train on.
    """

    def __init__(self, config: dict[str, Any], plan: TrainingPlan, recordings: Recordings) -> None:
        torch.manual_seed(plan.seed)
        self.config, self.plan, self.recordings = config, plan, recordings
        self.model = SNAC(**config)
        self.loss, self.period = SpectralLoss(config["sampling_rate"]), math.prod(config["decoder_rates"])
        self.rng = np.random.default_rng(plan.seed)
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.optimiser = torch.optim.AdamW(self._groups(), lr=plan.peak, betas=(0.8, 0.99), weight_decay=0.0)
        self.codebooks = [RunningCodebook(q.codebook.weight.data, plan.visits[0]) for q in self.model.quantizer.quantizers]
        self.step, self.seconds, self.starts, self.last_start = 0, 0.0, 0, 0
        self._encode: Callable[[Tensor], Tensor] = lambda x: run_module(self.model.encoder, x)
        self._decode: Callable[[Tensor], Tensor] = lambda z: run_module(self.model.decoder, z)
        if plan.compiled:
            self._encode, self._decode = torch.compile(self._encode), torch.compile(self._decode)

    def _trained(self) -> list[torch.nn.Parameter]:
        """All weights but the codebooks, which follow as running means."""
        return [p for name, p in self.model.named_parameters() if "codebook" not in name]

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with their part of the learning rate.

        A projection has 256 small inputs: at the full rate it turns by some percent a step, and codes cannot follow.
        """
        parts = {"encoder": self.plan.encoder, "quantizer": self.plan.projections, "decoder": 1.0}
        named = [(name, p) for name, p in self.model.named_parameters() if "codebook" not in name]
        return [
            {"params": [p for name, p in named if name.startswith(part)], "scale": scale, "part": part}
            for part, scale in parts.items()
        ]

    @property
    def progress(self) -> float:
        """How far the training is, 0 .. 1."""
        done = self.step / self.plan.steps if self.plan.minutes is None else self.seconds / 60 / self.plan.minutes
        return min(1.0, done)

    def rows(self, every: int = 50) -> Iterator[dict[str, float]]:
        """Train to the end, yielding the mean of each measurement over the last `every` steps."""
        window: list[dict[str, float]] = []
        seen: list[set[int]] = [set() for _ in self.codebooks]
        self.model.train()
        while self.progress < 1:
            begun = time.monotonic()
            window.append(self._train_step(seen))
            self.seconds += time.monotonic() - begun
            self.step += 1
            if self.step % every == 0 or self.progress >= 1:
                row = {key: sum(r[key] for r in window) / len(window) for key in window[-1] if all(key in r for r in window)}
                row |= {f"codes_{i}": float(len(codes)) for i, codes in enumerate(seen)}
                yield {"step": float(self.step), "minutes": self.seconds / 60, "progress": self.progress} | row
                window, seen = [], [set() for _ in self.codebooks]

    def _train_step(self, seen: list[set[int]]) -> dict[str, float]:
        plan, progress = self.plan, self.progress
        begun = time.monotonic()
        due = sum(progress >= start for start in plan.starts)
        if self.step == 0 and plan.settle > 0:
            initialise_from_data(self.model, torch.cat([self._crops() for _ in range(8)]))
        if due > self.starts:
            self._start_codebooks()
            self.starts, self.last_start = due, self.step
        settling = progress >= plan.settle
        audio = self._crops()
        quantised = self._quantised(audio, settling)
        made = self._decode(quantised.z_q)
        terms = self.loss(audio, made)
        commit = commitment(quantised)
        lines = line_loss(made, self.period) if plan.lines else made.new_zeros(())
        total = plan.mel * terms.mel + plan.convergence * terms.convergence + plan.waveform * terms.waveform + plan.lines * lines
        if not settling:
            total = total + plan.centre * centring(quantised) + (plan.commit * commit if self.starts else 0.0)
        norm = self._update(total, plan.learning_rate(self.step - self.last_start, progress))
        revived = 0 if settling or not self.starts else self._follow(quantised)
        for codes, found in zip(quantised.codes, seen, strict=False):
            found.update(codes.unique().tolist())
        measured = terms._asdict() | {"lines": lines, "commit": commit}
        row = {key: float(value.detach()) for key, value in measured.items()}
        return row | {"gradient": norm, "revived": float(revived), "step_seconds": time.monotonic() - begun}

    def _quantised(self, audio: Tensor, settling: bool) -> Quantised:
        """Encode and quantise as the present part of the plan has it."""
        levels = len(self.codebooks)
        dropped = torch.rand(len(audio), generator=self.generator) < self.plan.drop
        first = torch.randint(1, levels + 1, (len(audio),), generator=self.generator)
        kept = torch.where(dropped, first, torch.tensor(levels))
        if settling:  # eager, because a compiled function would be compiled once more for running without gradients
            with torch.no_grad():
                return quantise(self.model, run_module(self.model.encoder, audio))
        return quantise(self.model, self._encode(audio), None if self.starts else self.plan.noise, kept)

    def _update(self, total: Tensor, rate: float) -> float:
        """One optimiser step at a learning rate; returns the norm of the gradient."""
        for group in self.optimiser.param_groups:
            free = group["part"] == "encoder" and not self.starts
            group["lr"] = rate * (1.0 if free else group["scale"])
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._trained(), self.plan.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        else:
            logger.warning("step %d skipped: the gradient is not finite", self.step)
        return float(norm)

    def _follow(self, quantised: Quantised) -> int:
        """Move the codebooks to the vectors of this step; returns the dead codes revived."""
        first, last = self.plan.visits
        for book in self.codebooks:
            book.visits = first + (last - first) * self.progress
        rows = zip(self.model.quantizer.quantizers, self.codebooks, quantised.vectors, quantised.codes, strict=True)
        return sum(
            int(
                book.update(
                    level.codebook.weight.data, rearrange(vectors.detach(), "b d t -> (b t) d"), codes.flatten(), self.generator
                ).sum()
            )
            for level, book, vectors, codes in rows
        )

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        """Begin each codebook by k-means over audio of its own."""
        rounds = (self._crops() for _ in range(max(1, self.plan.start_crops // self.plan.batch)))
        start_codebooks(
            self.model.quantizer,
            self.codebooks,
            torch.cat([run_module(self.model.encoder, crop) for crop in rounds]),
            self.generator,
        )

    def _crops(self) -> Tensor:
        """The audio [B, 1, N] of one step."""
        return self.recordings.crops(self.plan.batch, self.plan.crop, self.rng, self.plan.quietest_db)

    def save(self, path: Path) -> None:
        """Write what `resume` needs; the file is replaced only when the new one is complete."""
        state = {
            "config": self.config,
            "plan": asdict(self.plan),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "codebooks": [book.state() for book in self.codebooks],
            "step": self.step,
            "seconds": self.seconds,
            "starts": self.starts,
            "last_start": self.last_start,
            "numpy": self.rng.bit_generator.state,
            "torch": [self.generator.get_state(), torch.get_rng_state()],
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    @classmethod
    def resume(cls, path: Path, recordings: Recordings, **changes: Any) -> CodecTrainer:
        """Go on from a state file.

        Args:
            path: what `save` wrote.
            recordings: the training data.
            changes: fields of the plan to change, the length for one.

        Raises:
            CheckpointError: the file is missing or is not a state of this trainer.
        """
        state = read_state(path)
        trainer = cls(state["config"], replace(state["plan"], **changes), recordings)
        trainer.model.load_state_dict(state["model"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        for book, saved in zip(trainer.codebooks, state["codebooks"], strict=True):
            book.restore(saved)
        trainer.step, trainer.seconds = state["step"], state["seconds"]
        trainer.starts, trainer.last_start = state["starts"], state["last_start"]
        trainer.rng.bit_generator.state = state["numpy"]
        trainer.generator.set_state(state["torch"][0])
        torch.set_rng_state(state["torch"][1])
        return trainer


def read_state(path: Path) -> dict[str, Any]:
    """What `CodecTrainer.save` wrote; "config" is the codec's, "plan" a TrainingPlan.

    Raises:
        CheckpointError: the file is missing or is not a state of the trainer.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {**state, "config": state["config"], "plan": TrainingPlan(**state["plan"])}
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            str(path), str(error).split("\n")[0], "a state file of train_codec", "Start without --resume."
        ) from error
