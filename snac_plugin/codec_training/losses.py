"""The loss of the hum at the code rate, as a loss of stable-audio-tools."""

from collections.abc import Mapping

from stable_audio_tools.training.losses import LossModule
from torch import Tensor

from snac_plugin.spectra.lines import line_loss


class LinesLoss(LossModule):
    """`weight` times `line_loss` of the decoded audio; `period`: samples of a finest code."""

    def __init__(self, period: int, weight: float) -> None:
        super().__init__(name="lines_loss", weight=weight)
        self.period = period

    def forward(self, info: Mapping[str, Tensor]) -> Tensor:
        return self.weight * line_loss(info["decoded"].float(), self.period)
