"""The type of our models in the configs of stable-audio-tools. Imports nothing, as what checks it before torch does."""

from typing import Literal

ModelType = Literal["diffusion_snac_dit"]
MODEL_TYPE: ModelType = "diffusion_snac_dit"
