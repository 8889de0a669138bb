"""Moving averages of several lengths, and one of any other length from snapshots of these (EDM2's post-hoc EMA).

Karras et al. 2024, arXiv:2312.02696, section 3 and appendix C. An average with exponent gamma weighs the weights theta(t) of step t
by p(t) = (gamma + 1) t^gamma / T^(gamma + 1) up to its own step T. Its length is the standard deviation of p over T. What snapshots
(gamma_i, T_i) there are, summed with the factors x that bring sum_i x_i p_i nearest to the p that is wanted, in the mean over t,
gives the average of that length.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snac_plugin.checkpoints import notes
from snac_plugin.checkpoints.opening import open_weights
from snac_plugin.checkpoints.places import snapshots_in
from snac_plugin.checkpoints.reading import Checkpoint
from snac_plugin.checkpoints.writing import write_safetensors
from snac_plugin.errors import CheckpointError, UsageError
from snac_plugin.files import make_folder

LENGTHS, STEP, REST = "snac_average_lengths", "global_step", "rest"
LARGEST_ERROR = 0.25
"""Of the profile of a rebuilt average beside the one that was asked for: beyond it the result would be something else."""
Profile = tuple[float, int]
"""gamma and the last step of an average."""


def gamma_of(length: float) -> float:
    """gamma of an average of length s, up to 0.28: the largest root of g^3 + 7 g^2 + (16 - s^-2) g + 12 - s^-2 (Algorithm 2)."""
    return float(np.roots([1, 7, 16 - length**-2, 12 - length**-2]).real.max())


def products(a: Sequence[Profile], b: Sequence[Profile]) -> np.ndarray:
    """Integrals of p_a(t) p_b(t) over t [len(a), len(b)], float64 (Algorithm 3): with T_a <= T_b

    (gamma_a + 1) (gamma_b + 1) / (gamma_a + gamma_b + 1) * (T_a / T_b)^gamma_b / T_b.
    """
    (gamma_a, last_a), (gamma_b, last_b) = (np.array(side, dtype=np.float64).reshape(-1, 2).T for side in (a, b))
    gamma_a, last_a = gamma_a[:, None], last_a[:, None]
    exponent = np.where(last_a <= last_b, gamma_b, gamma_a)
    shorter, longer = np.minimum(last_a, last_b), np.maximum(last_a, last_b)
    return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * (shorter / longer) ** exponent / longer


def factors(snapshots: Sequence[Profile], wanted: Profile) -> tuple[np.ndarray, float]:
    """The factor of each snapshot, by least squares over t, and the relative error of the profile that they give."""
    gram, right = products(snapshots, snapshots), products(snapshots, [wanted])[:, 0]
    scale = np.sqrt(np.diag(gram))  # profiles of length one: early ones are tall
    found = np.linalg.lstsq(gram / scale / scale[:, None], right / scale, rcond=1e-12)[0] / scale
    whole = products([wanted], [wanted])[0, 0]
    error = (whole - 2 * found @ right + found @ gram @ found) / whole
    return found, float(np.sqrt(max(error, 0.0)))


def write_snapshot(
    folder: Path,
    step: int,
    lengths: Sequence[float],
    weights: Sequence[Mapping[str, Tensor]],
    rest: Mapping[str, Tensor],
    content: Any,
) -> Path:
    """Write averages of a model's weights, float16, with `rest` of its state as it is and the notes `content` of a checkpoint."""
    make_folder("averages", folder)
    stored = {f"{place}/{name}": value.half() for place, named in enumerate(weights) for name, value in named.items()}
    stored |= {f"{REST}/{name}": value for name, value in rest.items()}
    kept = {**content, LENGTHS: list(lengths), STEP: step}
    metadata = {key: json.dumps(value) for key, value in kept.items() if value is not None}
    path = folder / f"step={step:08d}.safetensors"
    write_safetensors(path, {name: value.detach().cpu().contiguous() for name, value in stored.items()}, metadata)
    return path


def rebuilt(run: Path, length: float, step: int | None = None) -> tuple[Checkpoint, float, int]:
    """The average of this length at a step, the last one by default; the relative error of its profile; snapshots used.

    Args:
        run: the folder of a training with `training.ema_lengths`, or that of its snapshots.

    Raises:
        CheckpointError: no snapshots, or damaged ones. UsageError: a step or a length that they do not give.
    """
    if not (files := snapshots_in(run)):
        advice = "Training writes them into the folder ema of its run, with training.ema_lengths."
        raise CheckpointError(str(run), "no snapshots of averages", "a run that was trained with ema_lengths", advice)
    last = max(files) if step is None else step
    if last not in files:
        raise UsageError("step", last, f"a step with a snapshot: {', '.join(map(str, files))}")
    opened = {at: _opened(path) for at, path in files.items() if at <= last}
    profiles = [(gamma_of(each), at) for at, (_, told) in opened.items() for each in told[LENGTHS]]
    found, error = factors(profiles, (gamma_of(length), last))
    if error > LARGEST_ERROR:
        advice = "Save more of them (--checkpoint-every), or keep track of a length nearer to it."
        what = f"one that {len(profiles)} snapshots give: they miss its profile by {error:.0%}"
        raise UsageError("length", length, what, advice)
    state: dict[str, Tensor] = {}
    left = iter(found)
    for weights, told in opened.values():
        for place in range(len(told[LENGTHS])):
            factor = float(next(left))
            for name, value in weights.items():
                kind, _, own = name.partition("/")
                if kind == str(place):
                    state[own] = state.get(own, 0.0) + factor * value.float()
    weights, told = opened[last]
    state |= {name.partition("/")[2]: value for name, value in weights.items() if name.startswith(f"{REST}/")}
    config, codec, version = notes.saved_config(told), notes.saved_codec(told), notes.noted_version(told)
    return Checkpoint(state, config, codec, files[last], last, version), error, len(profiles)


def _opened(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, on disk until they are used, and notes of a snapshot."""
    weights, metadata = open_weights(path, CheckpointError, "a snapshot of averages", "Take it away, and rebuild from the others.")
    told = {key: json.loads(text) for key, text in metadata.items() if key in (LENGTHS, STEP, *notes.IN_SNAPSHOTS)}
    if not {LENGTHS, notes.CONFIG, notes.CONFIG_VERSION_NOTE} <= told.keys():
        raise CheckpointError(str(path), "a file without the notes of a snapshot", "a snapshot of averages")
    return weights, told
