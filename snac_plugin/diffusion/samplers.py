"""A stage solved by stable-audio-tools' own samplers."""

import contextlib
import contextvars
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from k_diffusion import sampling as k_sampling
from stable_audio_tools.inference import sampling
from torch import Tensor

from snac_plugin.diffusion.sampler_names import SAMPLERS
from snac_plugin.errors import UsageError

# (x [B, C, N], t [B]) -> velocity [B, C, N]
Velocity = Callable[[Tensor, Tensor], Tensor]
StepDone = Callable[[dict[str, Any]], None]

FLOW = {
    "euler": sampling.sample_discrete_euler,
    "rk4": sampling.sample_rk4,
    "dpmpp": sampling.sample_flow_dpmpp,
    "pingpong": sampling.sample_flow_pingpong,
}
# From one end to the other of the log signal-to-noise ratio, as stable-audio-tools' sample_rf runs through it.
LOG_SNR_FIRST, LOG_SNR_LAST = -6.0, 2.0


def flow_times(steps: int, shift: float = 1.0, start: float = 1.0) -> Tensor:
    """The noise levels of sample_rf, [steps + 1] from `start` to 0, shifted to s t / (1 + (s - 1) t) (Esser et al. 2024, eq. 23).

    The last step goes from about 0.12 to 0 at once: below 0.15 the nearest code is already certain.
    """
    first, last = LOG_SNR_FIRST, LOG_SNR_LAST
    if start < 1:  # what is shifted to `start`
        first = math.log((1 - start) * shift / start)
        last = max(last, first + 1)
    t = torch.sigmoid(-torch.linspace(first, last, steps + 1))
    if start == 1:
        t[0] = 1.0
    t[-1] = 0.0
    return shift * t / (1 + (shift - 1) * t)


def solve(
    objective: str,
    velocity: Velocity,
    noise: Tensor,
    *,
    steps: int,
    sampler: str,
    shift: float = 1.0,
    callback: StepDone | None = None,
    unconditioned: Callable[[], Tensor | None] = lambda: None,
    initial: Tensor | None = None,
    start: float = 1.0,
) -> Tensor:
    """Denoise one stage: unit Gaussian noise [B, C, N] -> data [B, C, N].

    Args:
        shift: above 1 spends more steps near noise; rectified flow only.
        initial: data [B, C, N] that is noised to begin with, for a noise level `start` below 1.
        callback: called after each step with stable-audio-tools' dictionary (i, t, denoised, ...).
        unconditioned: the velocity without conditioning of the last call, if there is guidance; "v-ddim-cfgpp" uses it.
    """
    if sampler not in SAMPLERS[objective]:
        raise UsageError("sampler", repr(sampler), f"one of {', '.join(SAMPLERS[objective])} for {objective}")
    with silent():
        options: dict[str, Any] = {"steps": steps, "shift": shift, "callback": callback, "initial": initial, "start": start}
        return SOLVERS[objective](sampler, velocity, noise, unconditioned=unconditioned, **options)


def _solve_flow(
    sampler: str,
    velocity: Velocity,
    noise: Tensor,
    *,
    steps: int,
    shift: float,
    callback: StepDone | None,
    initial: Tensor | None,
    start: float,
    **_: Any,
) -> Tensor:
    times = flow_times(steps, shift, start).to(noise)
    return FLOW[sampler](velocity, noised(initial, noise, start), steps=steps, sigmas=times, callback=callback)


def _solve_v(
    sampler: str,
    velocity: Velocity,
    noise: Tensor,
    *,
    steps: int,
    callback: StepDone | None,
    initial: Tensor | None,
    start: float,
    unconditioned: Callable[[], Tensor | None],
    **_: Any,
) -> Tensor:
    def with_info(x: Tensor, t: Tensor, return_info: bool = False) -> Any:
        guided, plain = velocity(x, t), unconditioned()
        return (guided, {} if plain is None else {"uncond_output": plain}) if return_info else guided

    options: dict[str, Any] = {} if sampler.startswith("v-") else {"sigma_min": 0.03, "sigma_max": 500.0}
    if initial is not None and start < 1:
        most = start if sampler.startswith("v-") else max(math.tan(start * math.pi / 2), 0.06)
        options |= {"init_data": initial, "sigma_max": most}
    if steps == 1 and sampler.endswith("m-sde"):  # k-diffusion's fail there, and one step ends at the same estimate
        sampler = "dpmpp-2m"
    return sampling.sample_k(with_info, noise, steps=steps, sampler_type=sampler, device=noise.device, callback=callback, **options)


SOLVERS: dict[str, Callable[..., Tensor]] = {"rectified_flow": _solve_flow, "v": _solve_v}
"""How each objective's samplers are called: arguments as of `solve`."""


def solve_by_codes(
    draw: Velocity,
    noise: Tensor,
    renoise: Callable[[], Tensor],
    *,
    steps: int,
    shift: float = 1.0,
    callback: StepDone | None = None,
    initial: Tensor | None = None,
    start: float = 1.0,
    added: float = 1.0,
) -> Tensor:
    """Denoise one stage of a rectified flow with noise that is added in each step: unit Gaussian noise [B, C, N] -> data [B, C, N].

    `draw` maps (x, t) to an estimate d of the data. A step goes straight towards it, beyond the next level sigma = t / (1 - t) down
    to (1 - added) sigma, and adds noise of deviation sqrt(sigma^2 - ((1 - added) sigma)^2), as dualdiffusion's sampling does:

        x' = d + (t' / t) (x - d), with t' the level of (1 - added) sigma
        x_next = (1 - t_next) / (1 - t') x' + t_next sqrt(1 - (1 - added)^2) n

    0 is Euler's step. 1 is ping-pong sampling (Novack et al. 2025, arXiv:2505.08175), where the estimate is the vector of one drawn
    code: the expected vector, a mean of many codes, would lose variety. `renoise` gives new noise of the same shape. `initial` and
    `start` as in `solve`.
    """
    times, x = flow_times(steps, shift, start).to(noise), noised(initial, noise, start)
    for i, (t, after) in enumerate(itertools.pairwise(times)):
        denoised = draw(x, t.expand(len(x)))
        if after == 0:
            x = denoised
        elif added == 1:
            x = (1 - after) * denoised + after * renoise()
        else:
            below = (1 - added) * after / (1 - after)  # sigma, at t' below / (1 + below)
            straight = denoised + below / (1 + below) / t * (x - denoised)
            x = (1 - after) * (1 + below) * straight + after * (1 - (1 - added) ** 2) ** 0.5 * renoise()
        if callback is not None:
            callback({"i": i, "t": t, "denoised": denoised})
    return x


def noised(initial: Tensor | None, noise: Tensor, start: float) -> Tensor:
    """Where a rectified flow starts: noise, or data under noise."""
    return noise if initial is None or start == 1 else (1 - start) * initial + start * noise


def likely(logits: Tensor, top_p: float) -> Tensor:
    """Logits [B, N, K] of the likeliest codes that together reach the probability `top_p`, -inf for all others.

    Top-p sampling (Holtzman et al. 2020, arXiv:1904.09751, section 3.1); the likeliest code always stays.
    """
    if top_p >= 1:
        return logits
    shares, order = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    beyond = shares.cumsum(dim=-1) - shares >= top_p
    return logits.masked_fill(beyond.gather(-1, order.argsort(dim=-1)), -torch.inf)


def codes_at(quantiles: Tensor, logits: Tensor) -> Tensor:
    """Codes [B, N] at quantiles [B, N] in [0, 1) of the distributions that logits [B, N, K] stand for."""
    shares = logits.softmax(dim=-1).cumsum(dim=-1)
    codes = torch.searchsorted(shares, quantiles[..., None].to(shares) * shares[..., -1:], right=True)
    return codes[..., 0].clamp(max=logits.shape[-1] - 1)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without the samplers' own progress bars: the bar around them names the level."""
    _hide_bars()
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def _silenced(bar: Callable[..., Any]) -> Callable[..., Any]:
    """A sampler's own progress bar, off while this thread is inside `silent`."""
    return functools.wraps(bar)(lambda *args, **kwargs: bar(*args, **kwargs | ({"disable": True} if _SILENT.get() else {})))


_SILENT: contextvars.ContextVar[bool] = contextvars.ContextVar("silent", default=False)


@functools.cache
def _hide_bars() -> None:
    for module, name in ((sampling, "tqdm"), (sampling, "trange"), (k_sampling, "trange")):
        setattr(module, name, _silenced(getattr(module, name)))
