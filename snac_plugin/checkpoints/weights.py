"""Weights by name: their prefixes, which are the frozen codec's, whether they fit a model, and a fingerprint of them."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from snac_plugin.errors import CheckpointError, Mismatch

CODEC = "pretransform."
WRAPPERS = (("diffusion.", "diffusion_ema.ema_model.", "model."), ("autoencoder.", "autoencoder_ema.ema_model.", ""))
"""Prefixes that stable-audio-tools' training wrappers put before weights and averaged ones, and what those are averages of."""


def is_codec_weight(name: str) -> bool:
    return name.startswith(CODEC)


def model_weights(state: Mapping[str, Tensor], ema: bool = True) -> dict[str, Tensor]:
    """Weights by the model's names, without the codec's and without the prefixes of a training wrapper.

    With `ema` they are the averaged ones where there are any.
    """
    weights = dict(state)
    for prefix, averaged, part in WRAPPERS:
        if any(name.startswith(prefix) for name in state):
            weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            if ema:
                weights |= {part + n.removeprefix(averaged): v for n, v in state.items() if n.startswith(averaged)}
    return {name: value for name, value in weights.items() if not is_codec_weight(name)}


def check_weights(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    where: str,
    source: str = "the weights of this model config",
    advice: str = "Use the config that the checkpoint was trained with.",
    error: type[Mismatch] = CheckpointError,
) -> None:
    """Raise an `error` unless the weights found in the file `where` have the names and shapes expected by `source`."""
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    reshaped = [
        f"{name} ({list(found[name].shape)} in place of {list(expected[name].shape)})"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
    ]
    kinds = {"missing": missing, "not in the model": surplus, "of another shape": reshaped}
    problems = [f"{len(names)} weights {kind}, first {names[0]}" for kind, names in kinds.items() if names]
    if problems:
        raise error(where, "; ".join(problems), source, advice)


def check_finite(weights: Mapping[str, Any], where: str, advice: str, error: type[Mismatch] = CheckpointError) -> None:
    """Raise an `error` for what is no tensor, and for weights of a training that diverged."""
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise error(where, f"{name}: {type(value).__name__}", "named tensors", advice)
        if value.is_floating_point() and not value.isfinite().all():
            raise error(where, f"NaN or infinite numbers in {name}", "finite weights", advice)


COUNTED = ("ready", "started", "processed", "completed")
"""What Lightning counts of batches and steps."""


def check_optimizers(optimizers: Iterable[Any], where: str) -> None:
    """CheckpointError unless what optimizers remember of each weight is finite and fits its shape, and is the same for all.

    Adafactor remembers a row and a column of a matrix, with dimensions of 1, and other things of a vector.
    """
    expected, advice = "the state of a training", "Start a new run from its weights: --pretrained-ckpt-path."
    for optimizer in optimizers:
        kinds = {(min(ndim := getattr(weight, "ndim", 0), 2), _kinds(state, ndim)) for weight, state in optimizer.state.items()}
        if len(kinds) > len({matrix for matrix, _ in kinds}) or any(kind is None for _, kind in kinds):
            raise CheckpointError(where, "optimizers that remember other things of some weights", expected, advice)
        switches = {name: value for name, value in optimizer.defaults.items() if value is None or isinstance(value, bool)}
        absent = {"differentiable": False}  # torch adds it to the defaults as it loads; Adafactor's groups never have it
        if any({**absent, **group}.get(name) != value for group in optimizer.param_groups for name, value in switches.items()):
            raise CheckpointError(where, "optimizers with other options", "those of this model config", advice)
        numbers = {name: value for name, value in optimizer.defaults.items() if _are_numbers(value)}
        if any(not _are_numbers(group.get(name, value)) for group in optimizer.param_groups for name, value in numbers.items()):
            raise CheckpointError(where, "optimizers with options that are no numbers", expected, advice)
        for weight, state in optimizer.state.items():
            for name, value in state.items():
                if not isinstance(weight, Tensor) or (isinstance(value, Tensor) and not _fits(value, weight)):
                    raise CheckpointError(where, f"{name} of an optimizer, which fits no weight", expected, advice)
                if name == "step" and not value >= 0:
                    raise CheckpointError(where, f"an optimizer after {float(value):g} steps", expected, advice)


def _are_numbers(value: Any) -> bool:
    """Whether it is a number, as a learning rate, or several, as betas."""
    several = value if isinstance(value, list | tuple) and value else [value]
    return all(isinstance(one, int | float | Tensor) and not isinstance(one, bool) for one in several)


def check_counts(loops: Mapping[str, Any], where: str) -> None:
    """CheckpointError unless all that Lightning's loops have counted is a whole number from 0 up."""
    for name, value in loops.items():
        if isinstance(value, Mapping):
            check_counts(value, where)
        elif name in COUNTED and (not isinstance(value, int) or value < 0):
            found, advice = f"{value!r:.40} steps or batches {name}", "Take an earlier checkpoint."
            raise CheckpointError(where, found, "a whole number from 0 up", advice)


def _kinds(state: Any, ndim: int) -> tuple[tuple[str, str, bool], ...] | None:
    """Name, type and whether it has a weight's number of dimensions, of all that an optimizer remembers of the weight."""
    if not isinstance(state, Mapping):
        return None
    return tuple(sorted((str(name), type(value).__name__, getattr(value, "ndim", None) == ndim) for name, value in state.items()))


def _fits(value: Tensor, weight: Tensor) -> bool:
    """Whether it is finite and has a weight's shape, some dimensions 1; counts have other numbers of dimensions."""
    shaped = value.ndim != weight.ndim or all(mine in (1, size) for mine, size in zip(value.shape, weight.shape, strict=True))
    return shaped and bool(value.isfinite().all())


def load_state(model: Any, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights by the names of the model or of its training wrapper; the model keeps its codec. Raises as `check_weights`."""
    weights = model_weights(state)
    check_weights(weights, {name: value for name, value in model.state_dict().items() if not is_codec_weight(name)}, where)
    model.load_state_dict(weights, strict=False)


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that name a set of weights, whatever their order and stored precision."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update((tensor.float() if tensor.is_floating_point() else tensor.long()).contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
