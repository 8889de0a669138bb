"""stable-audio-tools' sample_rf for our models: on global time where that is exact, level by level where it is not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from snac_plugin.config.network_keys import split_steps
from snac_plugin.diffusion.global_time import CERTAIN_T, noise_left, windows
from snac_plugin.diffusion.sampler_names import EULER, SAMPLERS, check_sampler
from snac_plugin.diffusion.samplers import silent
from snac_plugin.errors import UsageError
from snac_plugin.generation.chunks import Known, Watch, chunk_starts, generate_chunks
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import Settings, resolve
from snac_plugin.levels import chunk_sizes
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.wording import counted

# A step of theirs inside a window is a step of its stage; all others mix in noise, or earlier steps of other stages.
EXACT_ON_GLOBAL_TIME = ("euler", "rk4")


@torch.no_grad()
def sample_rf(
    original: Callable[..., Tensor],
    model_fn: SnacDiffusionModel,
    noise: Tensor,
    init_data: Tensor | None = None,
    steps: int = 100,
    sampler_type: str = "euler",
    sigma_max: float = 1.0,
    callback: Callable[[dict[str, Any]], None] | None = None,
    **inputs: Any,
) -> Tensor:
    """Packed latents [B, R * 8, T] from noise of that shape, or from `init_data` noised to the global time `sigma_max`.

    Level by level, finished levels are codes and stay. The steps are shared out among the levels. Of `init_data` the levels whose
    window of one chunk's global time lies above `sigma_max` keep their codes, those below start as noise, and the one between
    starts at its own noise level: the fine levels change first, the plan last, in every chunk.

    Args:
        original: stable-audio-tools' own function.
        inputs: its further arguments: conditioning inputs and guidance.

    Raises:
        UsageError: a sampler that does not fit the model's objective, or fewer steps than levels.
    """
    objective = model_fn.objective.name
    exact = () if model_fn.objective.masks else EXACT_ON_GLOBAL_TIME
    check_sampler(sampler_type, tuple(dict.fromkeys(("euler", *exact, *SAMPLERS[objective]))), f" for {objective}")
    varied, how = init_data is not None and sigma_max < 1, {"steps": steps, "sampler_type": sampler_type, "sigma_max": sigma_max}
    spans = windows(len(chunk_sizes(noise.shape[-1], model_fn.network.config.chunk_frames)), model_fn.step_weights)
    noised = sampler_type == "euler" and model_fn.network.config.sampling.added_noise  # which global time knows nothing of
    if not varied and sampler_type in exact and not noised:
        with silent():
            unsolved = noise_left(lambda velocity, x: original(velocity, x, **how), spans)
        if unsolved <= CERTAIN_T:
            return original(model_fn, noise, None, callback=callback, **how, **inputs)
    if sampler_type == "euler":
        sampler_type = EULER[objective]
    strengths: tuple[float, ...] = ()
    if varied:
        local = torch.stack([span.local(torch.tensor(sigma_max)) for span in windows(1, model_fn.step_weights)])
        local = local.where(local > CERTAIN_T, 0.0)  # where its nearest code is certain, a level stays
        strengths = tuple(model_fn.objective.from_flow(local)[1].tolist())
    known = _known(model_fn, noise, init_data if varied else None, inputs)
    chunks = len(chunk_starts(known.frames, model_fn.network.config.chunk_frames))
    if chunks == 0:
        return model_fn.space.from_codes(known.codes).to(noise)
    shares = _split(steps, chunks, model_fn.step_weights, strengths or (1.0,) * len(model_fn.levels))
    settings = replace(_settings(model_fn, sampler_type, inputs), steps=shares, strengths=strengths)
    watch = None if callback is None else _watch(model_fn, _first(model_fn, noise, known, settings), sum(shares) * chunks, callback)
    return _by_level(model_fn, noise, known, settings, watch, inputs)


def _known(model: SnacDiffusionModel, noise: Tensor, init_data: Tensor | None, inputs: dict[str, Any]) -> Known:
    """The codes to vary, and the frames that inpainting keeps."""
    codes = torch.zeros(len(noise), model.levels.rows, noise.shape[-1], dtype=torch.long, device=noise.device)
    frames = torch.zeros(noise.shape[-1], dtype=torch.bool)
    if init_data is not None:
        codes = model.space.to_codes(init_data)
    if inputs.get("known_mask") is not None:
        frames = inputs["known_mask"][0].cpu() > 0.5
        codes = torch.where(frames.to(codes.device), model.space.to_codes(inputs["known"]), codes)
    return Known(codes, frames)


def _settings(model: SnacDiffusionModel, sampler: str, inputs: Mapping[str, Any]) -> Settings:
    if inputs.get("guidance"):
        raise UsageError("guidance", inputs["guidance"], "cfg_scale alone from stable-audio-tools' calls", "Or model.generate.")
    guidance = {"cfg_scale": "cfg_scale", "scale_phi": "cfg_rescale", "cfg_interval": "cfg_interval"}
    request = Request(sampler=sampler, **{ours: inputs[name] for name, ours in guidance.items() if name in inputs})
    return resolve(request, model.network.config, model.levels.names, model.objective.name)


def _by_level(
    model: SnacDiffusionModel, noise: Tensor, known: Known, settings: Settings, watch: Watch | None, inputs: Mapping[str, Any]
) -> Tensor:
    """Packed latents of all chunks, each level solved alone."""
    negative, blank = (Conditions.of(inputs, f"{prefix}_") for prefix in ("negative", "dropped"))
    context, mask = inputs.get("context"), inputs.get("context_mask")
    codes = generate_chunks(
        model,
        Conditions.of(inputs),
        torch.randint(2**31, (len(noise),)).tolist(),  # of new noise, from the generator that the caller has seeded
        settings,
        negative=None if negative.empty else negative,
        others={"blank": None if blank.empty else blank},
        context=None if context is None else model.space.to_codes(context),
        context_mask=None if mask is None else mask.bool(),
        known=known,
        noise=noise,
        progress=not inputs.get("disable_tqdm", False),
        watch=watch,
    )
    return model.space.from_codes(torch.cat(list(codes), dim=-1)).to(noise)


def _first(model: SnacDiffusionModel, noise: Tensor, known: Known, settings: Settings) -> Tensor:
    """What is there before the first step [B, R * 8, T]: codes that stay, and noise."""
    initial = model.space.from_codes(known.codes).to(noise)
    pairs = [model.levels.unpack_latents(x) for x in (torch.where(known.frames.to(noise.device), initial, noise), initial)]
    by_level = enumerate(zip(*pairs, strict=True))
    return model.levels.pack_latents([x if settings.strength(level) else kept for level, (x, kept) in by_level])


def _split(steps: int, chunks: int, weights: Sequence[float], strengths: Sequence[float]) -> tuple[int, ...]:
    """Steps of each level of a chunk; a level that keeps its codes takes none, one that keeps much of them fewer."""
    shares = [weight * strength for weight, strength in zip(weights, strengths, strict=True) if strength]
    if steps // chunks < len(shares):
        each = f"one for each of {counted(len(shares), 'level')} of {counted(chunks, 'chunk')}"
        raise UsageError("steps", steps, f"at least {len(shares) * chunks}, {each}")
    counts = iter(split_steps(steps // chunks, tuple(share / sum(shares) for share in shares)))
    return tuple(next(counts) if strength else 0 for strength in strengths)


def _watch(model: SnacDiffusionModel, first: Tensor, steps: int, callback: Callable[[dict[str, Any]], None]) -> Watch:
    """Tells stable-audio-tools' callback the estimate of all levels: finished ones, the one in progress, noise for the others."""
    levels, x, done = model.levels, first.clone(), 0

    def watch(frame: int, level: int, denoised: Tensor) -> None:
        nonlocal done
        by_level = list(levels.unpack_latents(x[..., frame : frame + model.network.config.chunk_frames]))
        by_level[level] = denoised[:, : by_level[level].shape[1]]
        x[..., frame : frame + by_level[0].shape[1]] = levels.pack_latents(by_level)
        t = max(1 - done / steps, 0.0)
        callback({"x": x, "i": done, "t": t, "sigma": t, "sigma_hat": t, "denoised": x})
        done += 1

    return watch
