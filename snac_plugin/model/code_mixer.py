"""Codes that share a token, mixed before they are read out. Letters: B batch, N tokens, P codes of a token, D width."""

from torch import Tensor, nn

from snac_plugin.model.adaptive_layer_norm import zeroed

HIDDEN = 4  # hidden units for each code


class CodeMixer(nn.Module):
    """What each code of a token says to the others: the token-mixing half of MLP-Mixer (Tolstikhin et al. 2021, eq. 1).

    x + W2 gelu(W1 norm(x)) over the codes, the same for all D channels; W2 starts at zero, so each code begins by itself.
    """

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mix = nn.Sequential(nn.Linear(codes, HIDDEN * codes), nn.GELU(), zeroed(nn.Linear(HIDDEN * codes, codes)))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, P, D] -> [B, N, P, D]."""
        return x + self.mix(self.norm(x).transpose(-1, -2)).transpose(-1, -2)
