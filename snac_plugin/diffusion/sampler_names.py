"""Names of the objectives and of their samplers. Configs are checked against them before torch is imported."""

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
NEEDS_UNCONDITIONED = "v-ddim-cfgpp"
"""The sampler that steps along the output without conditions."""
SAMPLERS = {"rectified_flow": FLOW_SAMPLERS, "v": V_SAMPLERS}
"""stable-audio-tools' samplers by diffusion objective, its default for the objective first, and this package's own."""
DEFAULT_OBJECTIVE = "rectified_flow"
EULER = {"rectified_flow": "euler", "v": "v-ddim"}
"""The sampler of each objective that is Euler's method on its paths."""


def default_sampler(objective: str, predicts_codes: bool) -> str:
    """The sampler of a model whose config names none: the one that draws codes, where there are codes to draw."""
    samplers = SAMPLERS.get(objective, FLOW_SAMPLERS)
    return CODE_SAMPLER if predicts_codes and CODE_SAMPLER in samplers else samplers[0]
