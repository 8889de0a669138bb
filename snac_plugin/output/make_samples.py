"""From a request to samples on disk: what the command line and the page both do."""

import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import snac_plugin
from snac_plugin.checkpoints.notes import codec_note
from snac_plugin.checkpoints.weights import fingerprint
from snac_plugin.config.condition_checks import with_numbers
from snac_plugin.errors import UnwritableFile
from snac_plugin.files import fitting_name
from snac_plugin.generation.batch import PER_SAMPLE, sample_seeds, settings_of_each, told_of_batch
from snac_plugin.generation.chunks import StepCallback
from snac_plugin.generation.decoding import StreamedChunk
from snac_plugin.generation.option import PerSample
from snac_plugin.generation.option_rules import check_recording
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.recordings import Recording, digest_noted
from snac_plugin.output.sample_in_progress import Listener, Plan, Sample, SampleInProgress

SEEDS = re.compile(r"((^|_)seed_\d+(_\d+)?)+$")
"""The end of a sample's name: its seed, a number where the name was taken, and the same of samples that it was made of."""


def make_samples(
    model: SnacDiffusion,
    request: Request,
    folder: str | Path,
    *,
    seed: int = -1,
    count: int = 1,
    batch_size: int | None = None,
    recording: Recording | None = None,
    checkpoint: str | None = None,
    skip: bool = False,
    progress: bool = True,
    callback: StepCallback | None = None,
    heard: Listener | None = None,
    computed: Callable[[], None] | None = None,
    paths: bool = True,
) -> Iterator[Sample]:
    """Generate samples, batch after batch, and write each as `seed_N.wav`, `.png` and `.json`, chunk by chunk as they come.

    Stopped by Ctrl-C or an error, it finishes the files with what they hold.

    Args:
        seed: of the first sample, the next one's is one more; -1 draws one.
        count: number of samples.
        batch_size: how many are generated at once; all by default.
        recording: what each sample continues: it begins with the recording's own samples, at its rate and with its channels.
            Recordings that `request` names are files or audio; a sample has the rate and the channels of theirs.
        checkpoint: where the model came from, for the JSON files.
        skip: leave batches out of which all samples are there, whole and with these settings; they are yielded as `skipped`.
        callback: called with (chunk, level, step) after each denoising step.
        heard: called with the new audio of the first sample, [C, N] at the rate of its file, and that rate, as soon as it is made;
            not with edits, which are made in one piece.
        computed: called once nothing is left to do of a batch but to finish files with audio in them.
        paths: settings name recordings that are changed by their paths; by their names otherwise.

    Raises:
        SnacPluginError: the request does not fit the model.
    """
    check_recording(request, recording is not None)
    settings = check_request(request, model.config, model.levels.names).as_dict(model.levels.names)
    about = dict.fromkeys(PER_SAMPLE) | _about(model, checkpoint, recording) | _files_of(request, paths)
    name, plan = _name_of(request, recording), Plan.of(request, model, recording)
    form = plan.form()
    seeds, size = sample_seeds(seed, count), count if batch_size is None else len(sample_seeds(0, batch_size))
    for start in range(0, count, size):
        batch, told = seeds[start : start + size], told_of_batch(request, count, size, start)
        notes = settings_of_each(batch, {**settings, **about}, {name: _noted(one, model) for name, one in told.items()})
        there = [plan.finished(folder, f"{name}seed_{one}", form, notes[one]) for one in batch if skip]
        if there and all(there):
            yield from (one for one in there if one is not None)
            continue
        samples: list[SampleInProgress] = []
        options: Any = {"batch_size": len(batch), "seed": batch[0], "progress": progress, "callback": callback}
        try:
            opened = (
                SampleInProgress(Path(folder), f"{name}seed_{one}", one, plan, form, heard if one == seeds[0] else None)
                for one in batch
            )
            failure = _fill(samples, opened, model.stream(plan.asked(), **told, context=plan.context, place=plan.place, **options))
            if computed is not None and any(one.codes for one in samples):
                computed()
            finished, unwritable = _finish(samples, notes)
            yield from finished
            if failure is not None or unwritable is not None:
                raise failure or unwritable  # type: ignore[misc]
        finally:
            for sample in samples:
                sample.writer.discard()


def _fill(
    samples: list[SampleInProgress], opened: Iterable[SampleInProgress], chunks: Iterable[StreamedChunk]
) -> BaseException | None:
    """Put the batch's samples into the list and write all chunks to them; returns what ended it early.

    It is not raised: a full disk or Ctrl-C must not take the minutes that are there.
    """
    try:
        for sample in opened:
            samples.append(sample)
        for chunk in chunks:
            for row, sample in enumerate(samples):
                sample.add(chunk, row)
    except BaseException as error:
        return error
    return None


def _finish(samples: Sequence[SampleInProgress], notes: Mapping[int, dict[str, Any]]) -> tuple[list[Sample], UnwritableFile | None]:
    """The samples that have begun, finished; and why one could not be written: it has no room, the others may have."""
    finished: list[Sample] = []
    failure = None
    for sample in (one for one in samples if one.codes):
        try:
            finished.append(sample.finish(notes[sample.seed]))
        except UnwritableFile as error:
            failure = failure or error
    return finished, failure


def _files_of(request: Request, paths: bool) -> dict[str, Any]:
    """The editing that is asked for, recordings by their files and digests: another recording there gives another sample."""

    def name(value: Any) -> Any:
        return "audio" if not isinstance(value, str | Path) else str(value) if paths else Path(value).name

    asked = request.as_dict()
    asked |= {key: name(asked[key]) for key in ("edit", "before") if key in asked}
    asked |= {"bridge": [name(one) for one in asked["bridge"]]} if "bridge" in asked else {}
    return asked | ({"digests": [digest_noted(one) for one in request.recordings]} if request.recordings else {})


def _noted(conditions: PerSample | None, model: SnacDiffusion) -> Any:
    """Conditions of all samples or of each with numbers as such, so that settings by flag and by JSON are the same."""
    if conditions is None or isinstance(conditions, Mapping):
        return None if conditions is None else with_numbers(conditions, model.config.model.conditioning)
    return [_noted(one, model) for one in conditions]


def model_fingerprint(model: SnacDiffusion) -> str:
    """Of the weights that samples are made with, adapters' too."""
    return fingerprint({**model.model.state_dict(), **model.conditioner.state_dict()})


def _name_of(request: Request, recording: Recording | None) -> str:
    """What a sample's name begins with: the recordings that are in it; of samples what their own names begin with."""
    named = (None if recording is None else recording.path, *request.recordings)
    each = (SEEDS.sub("", Path(file).stem) for file in named if isinstance(file, str | Path))
    stems = "_".join(stem for stem in each if stem)
    return f"{fitting_name(stems, 40)}_" if stems else ""


def _about(model: SnacDiffusion, checkpoint: str | None, recording: Recording | None) -> dict[str, Any]:
    """What a sample depends on besides the request: model, codec, device, versions, recording."""
    diffusion = model.config.model.diffusion
    about: dict[str, Any] = {
        "checkpoint": checkpoint,
        **({"lora": model.loras} if model.loras else {}),
        **({"autoguidance": model.autoguidance} if model.autoguidance else {}),
        "model": {
            "type": model.config.model_type,
            "objective": diffusion.diffusion_objective,
            "head": diffusion.config.head,
            "weights": sum(p.numel() for p in model.model.parameters()),
            "fingerprint": model_fingerprint(model),
        },
        "codec": codec_note(model),
        "device": model.device.type,
        "versions": {
            "snac_plugin": snac_plugin.__version__,
            "stable-audio-tools": importlib.metadata.version("stable-audio-tools"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if recording is not None:
        seconds = round(recording.samples / recording.rate, 6)
        about["continues"] = {"file": recording.path.name, "sample_rate": recording.rate, "seconds": seconds}
        about["continues"]["digest"] = digest_noted(recording)
    return about
