"""What `choices.py` measures of a finished training, each part kept in a file of its own beside the checkpoint.

Letters: S songs, W windows of a song, P noise levels, B batch, R rows, T frames, L levels, N audio samples, C channels.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import estimates
import numpy as np
import timing
import torch
from choices_variants import Sampled
from context_losses import starts_of
from small_trainings import CHUNKS, CONTEXT_CHUNKS, Training, digest, found_in, kept
from songs import Song
from torch import Tensor

from snac_plugin.checkpoints.ema_snapshots import rebuilt
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import SamplingConfig
from snac_plugin.device import pick_device, pick_precision
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, MASKED_SAMPLERS
from snac_plugin.evaluation import music_measures as music
from snac_plugin.evaluation.clips import decode
from snac_plugin.evaluation.confidence_intervals import by_song
from snac_plugin.evaluation.frechet_distance import REAL, distances, encoder_features
from snac_plugin.generation.chunks import generate_chunks
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import Settings, resolve
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditions import Conditions
from snac_plugin.plugin.loading import load_model

# Both objectives' deterministic first-order sampler; and the default of v. Heads that predict codes draw them, too. The last leads.
SAMPLERS = {"rectified_flow": ("euler",), "v": ("v-ddim", "dpmpp-3m-sde"), "masked": (*MASKED_SAMPLERS[::-1],)}
AGREEMENTS = {"tempo": "tempo within 4 %", "pitch": music.PITCH}
"""Names of what is measured between a continuation and its context, and the measure."""


@dataclass
class HeldOut:
    """Songs that no training heard, and windows of them; what is heard in the recordings is found once.

    Args:
        codec: the codec.
        songs: the songs.
        windows: packed codes [S, W, R, 3 T].
        batch: chunks decoded at once.
        seed: of decoder, halves and resamples.
    """

    codec: SnacPretransform
    songs: Sequence[Song]
    windows: Tensor
    batch: int
    seed: int

    @property
    def frames(self) -> int:
        """Of a chunk."""
        return self.windows.shape[-1] // CHUNKS

    @cached_property
    def digest(self) -> str:
        return digest(self.windows)

    @cached_property
    def _recordings(self) -> list[Tensor]:
        return [song.audio(self.codec) for song in self.songs]

    @cached_property
    def _real(self) -> list[np.ndarray]:
        """Features of each song's recording, chunk by chunk."""
        samples = self.frames * self.codec.downsampling_ratio
        cut = (audio[: len(audio) // samples * samples].unflatten(0, (-1, samples)) for audio in self._recordings)
        return [self._features(chunks) for chunks in cut]

    @cached_property
    def _contexts(self) -> list[music.TempoAndKey]:
        """Of the recording of each window's first two chunks [S * W]."""
        (_, count, _, window), hop, found = self.windows.shape, self.codec.downsampling_ratio, []
        for song, audio in zip(self.songs, self._recordings, strict=True):
            for start in starts_of(song, count, window):
                clip = audio[start * hop : (start + CONTEXT_CHUNKS * self.frames) * hop]
                found.append(music.TempoAndKey.of(clip.numpy(), self.codec.sample_rate))
        return found

    def _features(self, chunks: Tensor) -> np.ndarray:
        """Of all patches of chunks [B, N]."""
        return np.concatenate(list(encoder_features(self.codec, chunks[:, None])))

    def measured(self, codes: Tensor) -> dict[str, Any]:
        """Of chunks [S * W, R, T] in the place of the windows' last ones.

        Their Frechet distance to the recordings with that of each resample, which are the same resamples at each call, so that
        differences are paired; distinct codes of each level [L]; and by song, with librosa, the share of chunks in their
        context's tempo and the correlation with its pitch classes, the same with other songs' contexts, and the beat's strength.
        """
        audio = decode(self.codec, codes, self.batch, self.seed)
        of_songs = audio.unflatten(0, (len(self.songs), -1))
        apart = distances(self._real, {"made": [self._features(chunks) for chunks in of_songs]}, seed=self.seed)
        found: dict[str, Any] = {"used": [len(level.unique()) for level in self.codec.levels.unpack(codes)]}
        for name, kind in (("distance", "made"), ("floor", REAL)):
            found[name] = {"value": apart.values[kind], "resampled": apart.resampled[kind].tolist()}
        if music.have_librosa():
            rate, which = self.codec.sample_rate, np.arange(len(self.songs)).repeat(self.windows.shape[1])
            after = [music.TempoAndKey.of(clip.numpy(), rate) for clip in audio]
            for name, measure in AGREEMENTS.items():
                own, others = music.agreement(after, self._contexts, which, music.COMPARISONS[measure])
                found[name] = {"own": own.tolist(), "others": others.tolist()}
            strengths = np.array([music.beat_strength(clip.numpy(), rate) for clip in audio])
            found["beat"] = by_song(strengths, which).tolist()
        return found


def samplers_of(config: dict[str, Any], all_of_them: bool) -> tuple[str, ...]:
    """The samplers that a variant is tested with, or that which leads."""
    diffusion = config["model"]["diffusion"]
    objective, draws = diffusion["diffusion_objective"], diffusion["config"]["head"] != "velocity"
    found = (*SAMPLERS[objective], *([CODE_SAMPLER] if draws and objective == "rectified_flow" else []))
    return found if all_of_them else found[-1:]


@dataclass(frozen=True)
class Subject:
    """What is tested: a training, and how samples are made of it.

    Args:
        name: of the variant.
        run: the training.
        sampled: another way to sample from it than its own.
        weaker: the training of the model that autoguidance leads away from.
    """

    name: str
    run: Training
    sampled: Sampled | None = None
    weaker: Training | None = None

    def samplers(self, all_of_them: bool) -> tuple[str, ...]:
        asked = self.sampled and self.sampled.sampling.get("sampler")
        return (asked,) if asked else samplers_of(self.run.config, all_of_them and self.sampled is None)

    def model(self, device: torch.device) -> SnacDiffusion:
        """The trained model."""
        last = self.run.checkpoint(self.run.steps)
        average = self.sampled and self.sampled.average
        loaded = load_model(last if average is None else rebuilt(self.run.folder, average)[0], device=device)
        if self.weaker is not None:
            loaded.autoguide(load_model(self.weaker.checkpoint(self.weaker.steps), device=device))
        return loaded

    def settings(self, model: SnacDiffusion, steps: int, sampler: str) -> Settings:
        """How samples are made; UsageError or ValidationError for a way that the model has not."""
        network, keys = model.model.network.config, self.sampled.sampling if self.sampled else {}
        sampling = SamplingConfig.model_validate(network.sampling.model_dump() | dict(keys))
        changed = network.model_copy(update={"sampling": sampling})
        return resolve(Request(steps=steps, sampler=sampler), changed, model.levels.names, model.model.objective.name)

    def next_chunks(self, model: SnacDiffusion, past: Tensor, seeds: Sequence[int], steps: int, sampler: str) -> Tensor:
        """Codes [B, R, T] after those before them."""
        settings = self.settings(model, steps, sampler)
        return next(generate_chunks(model.model, Conditions(), seeds, settings, 1, context=past, progress=False))


def parts(subject: Subject, args: argparse.Namespace, held_out: HeldOut) -> dict[str, tuple[Path, dict[str, Any]]]:
    """By name, where each part of a test is kept and what it depends on: the scores, and each sampler's steps."""
    checkpoint, sampled = subject.run.checkpoint(subject.run.steps), subject.sampled
    about = {"seed": args.seed, "windows": held_out.digest, "precision": pick_precision(pick_device(args.device))}
    asked = about | ({"sampled": asdict(sampled)} if sampled else {})
    own = f".{subject.name}" if sampled else ""
    of_scores = (own, asked) if sampled and sampled.average else ("", about)  # other samples of the same weights have their scores
    found = {"scores": (checkpoint.with_suffix(f"{of_scores[0]}.scores.json"), of_scores[1] | {"t": args.noise_levels})}
    for sampler in subject.samplers(args.all_samplers):
        for steps in args.steps:
            found[f"{sampler}, {steps}"] = (checkpoint.with_suffix(f"{own}.{sampler}.{steps}.json"), asked)
    return found


def tested(subject: Subject, args: argparse.Namespace, held_out: HeldOut, device: torch.device) -> dict[str, dict[str, Any]]:
    """All parts of a test; those that an earlier call kept are read.

    Scores are those of `estimates.evaluate` [3, S, P, L], with the base also those of a noised point alone; the others are what
    `HeldOut.measured` gives, with the codes and the seconds a chunk.
    """
    loaded: list[SnacDiffusion] = []

    def model() -> SnacDiffusion:
        loaded.extend([] if loaded else [subject.model(device)])
        return loaded[0]

    def scores() -> dict[str, Any]:
        whose = {"scores": True} | ({"alone": False} if subject.run.name == "base" else {})
        asked = (model(), held_out.windows, args.noise_levels, args.seed)
        return {name: estimates.evaluate(*asked, network).tolist() for name, network in whose.items()}

    def made(name: str) -> Callable[[], dict[str, Any]]:
        sampler, steps = name.rsplit(", ", 1)
        return lambda: continued_and_measured(
            lambda past, seeds: subject.next_chunks(model(), past, seeds, int(steps), sampler),
            held_out,
            args.generate_batch,
            device,
        )

    found = {}
    for name, (path, about) in parts(subject, args, held_out).items():
        found[name] = kept(path, about, scores if name == "scores" else made(name))
    return found


def read(subject: Subject, args: argparse.Namespace, held_out: HeldOut) -> dict[str, dict[str, Any]] | None:
    """What `tested` kept; None if a part of it is missing."""
    found = {name: found_in(*where) for name, where in parts(subject, args, held_out).items()}
    whole = {name: part for name, part in found.items() if part is not None}
    return whole if len(whole) == len(found) else None


Continue = Callable[[Tensor, Sequence[int]], Tensor]
"""Codes [B, R, T] after those before them [B, R, 2 T], with a seed for each."""


def continued_and_measured(go_on: Continue, held_out: HeldOut, batch: int, device: torch.device) -> dict[str, Any]:
    """The windows' last chunks made anew from what is before them, measured; their codes, and seconds a chunk."""
    past = held_out.windows[..., : -held_out.frames].flatten(0, 1)
    made, seconds, watch = [], [], timing.Stopwatch(device)
    with torch.inference_mode():
        for start in range(0, len(past), batch):
            context = past[start : start + batch].to(device)
            made.append(go_on(context, range(start, start + len(context))).cpu())
            lap = watch.lap()
            seconds.append((lap.cpu if lap.threads else lap.wall) / len(context))
    codes = torch.cat(made).clone()
    return {"codes": codes.tolist(), "seconds": float(torch.tensor(seconds).median()), **held_out.measured(codes)}
