"""Names of the objectives and of their samplers. Configs are checked against them before torch is imported."""

from collections.abc import Sequence

from snac_plugin.errors import UsageError, did_you_mean

CODE_SAMPLER = "pingpong-codes"
"""Of this package: each step draws codes from the logits and adds noise to them anew."""
FLOW_SAMPLERS = ("euler", "rk4", "dpmpp", "pingpong", CODE_SAMPLER)
V_SAMPLERS = (
    "dpmpp-3m-sde",
    "dpmpp-2m-sde",
    "dpmpp-2m",
    "v-ddim",
    "v-ddim-cfgpp",
    "k-heun",
    "k-lms",
    "k-dpmpp-2s-ancestral",
    "k-dpm-2",
    "k-dpm-fast",
    "k-dpm-adaptive",
)
BY_CONFIDENCE, AT_RANDOM, EVENLY = MASKED_SAMPLERS = ("masked", "masked-random", "masked-halton")
"""Of this package, for masked codes: each step draws all of them and keeps some."""
MOST_STEPS = 1_000_000
"""Denoising steps that a level or a chunk may take: more are a slip of the hand, which would go on for ever."""
CONFIDENCE_NOISE, REMASK = 4.5, 0.0
"""Defaults of the options that the samplers for masked codes alone have."""
DRAWING = (CODE_SAMPLER, *MASKED_SAMPLERS)
"""The samplers that draw codes, at a temperature."""
OWN_ADDED_NOISE = {"euler": 0.0, CODE_SAMPLER: 1.0}
"""The samplers that follow `added_noise`, with the share that each has by itself."""
SCHEDULES = ("constant", "rising", "falling")
"""How strong guidance is along a level's steps: see `Guidance.schedule`."""
AUTOGUIDANCE = 2.0
"""Scale of autoguidance where nobody names one."""
NEEDS_UNCONDITIONED = "v-ddim-cfgpp"
"""The sampler that steps along the output without conditions."""
OF_THE_BATCH = ("pingpong", "dpmpp-3m-sde", "dpmpp-2m-sde", "k-dpmpp-2s-ancestral", "k-dpm-adaptive")
"""Samplers that add noise to, or choose steps for, all samples at once: one of them alone is another sample."""
SAMPLERS = {"rectified_flow": FLOW_SAMPLERS, "v": V_SAMPLERS, "masked": MASKED_SAMPLERS}
"""stable-audio-tools' samplers by diffusion objective, its default for the objective first, and this package's own."""
HEADS = {"rectified_flow": ("velocity", "logits", "posterior"), "v": ("velocity", "logits", "posterior"), "masked": ("logits",)}
"""What the network can predict, by objective."""
DEFAULT_OBJECTIVE = "rectified_flow"
LEARNT = ("adaptive", "time_warp")
"""Distributions of noise levels in training that follow what it has learnt of the loss at each."""
EULER = {"rectified_flow": "euler", "v": "v-ddim", "masked": "masked"}
"""The sampler of each objective that takes the place of "euler", the default of stable-audio-tools' calls."""


def check_sampler(sampler: str, known: Sequence[str], why: str = "") -> None:
    """UsageError, with `why`, for a sampler that is not among those known."""
    if sampler not in known:
        raise UsageError("sampler", repr(sampler), f"one of {', '.join(known)}{why}", did_you_mean(sampler, known))


def default_sampler(objective: str, predicts_codes: bool) -> str:
    """The sampler of a model whose config names none: the one that draws codes, where there are codes to draw."""
    samplers = SAMPLERS.get(objective, FLOW_SAMPLERS)
    return CODE_SAMPLER if predicts_codes and CODE_SAMPLER in samplers else samplers[0]
