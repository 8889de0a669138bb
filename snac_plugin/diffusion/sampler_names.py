"""Names of the samplers. Configs are checked against them before torch is imported."""

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
SAMPLERS = {"rectified_flow": FLOW_SAMPLERS, "v": V_SAMPLERS}
"""stable-audio-tools' samplers by diffusion objective, its default for the objective first, and this package's own."""
