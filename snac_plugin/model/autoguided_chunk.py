"""Guidance away from a weaker model (Karras et al. 2024, arXiv:2406.02507). Letters: B batch, N tokens of a level."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from snac_plugin.diffusion.guidance import WEAKER
from snac_plugin.errors import UsageError
from snac_plugin.model.chunk_in_progress import ChunkInProgress, ReadOutput
from snac_plugin.model.conditions import Prompt


class AutoguidedChunk(ChunkInProgress):
    """A chunk beside which a weaker model denoises the same chunk, from the same codes and under the same conditions.

    D_w = D_0 + w (D_1 - D_0) with D_1 the model's own output, D_0 the weaker one's (eq. 3): to D_1 the guidance adds
    (w - 1) (D_1 - D_0), beside what it adds for conditions.
    """

    weaker: ChunkInProgress
    reads: Mapping[ReadOutput, ReadOutput]
    """By the function that reads the outputs of the model, that of the weaker one."""

    def beside(self, weaker: ChunkInProgress, reads: Mapping[ReadOutput, ReadOutput]) -> "AutoguidedChunk":
        self.weaker, self.reads = weaker, reads
        return self

    def append(self, level: int, latents: Tensor) -> None:
        super().append(level, latents)
        self.weaker.append(level, latents)

    def estimates(self, level: int, read: ReadOutput) -> Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]:
        own, other = super().estimates(level, read), self.weaker.estimates(level, self.reads[read])

        def estimate(x: Tensor, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            conditioned, without = own(x, t)
            return conditioned, without | {WEAKER: other(x, t)[0]}

        return estimate


def weaker_prompt(prompt: Prompt, reads_conditions: bool) -> Prompt:
    """What the weaker model is told: the conditions as its own conditioners read them. UsageError where nobody has read them."""
    if prompt.weaker is None and reads_conditions and not prompt.conditions.empty:
        found = "a call of stable-audio-tools, which reads the conditions for one model"
        raise UsageError("autoguidance", found, "model.generate, generate.py or the page")
    nothing: dict[str, Any] = {"negative": None, "blank": None, "without": {}, "weaker": None}
    return replace(prompt, conditions=prompt.weaker or prompt.conditions, **nothing)
