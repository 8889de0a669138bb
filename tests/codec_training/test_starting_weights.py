"""Starting weights from data."""

import torch
from snac import SNAC

from snac_plugin.codec.load import read_config
from snac_plugin.codec.places import SHIPPED
from snac_plugin.codec_training.starting_weights import initialise_from_data


def test_starting_weights_carry_the_signal_through_every_layer() -> None:
    """SNAC's default weights let it fade to almost nothing."""
    torch.manual_seed(0)
    audio = 0.1 * torch.randn(4, 1, 12_288)
    model = SNAC(**read_config(SHIPPED / "snac_tiny_32khz" / "config.json"))
    with torch.no_grad():
        faded = model.encoder(audio).std()
        initialise_from_data(model, audio)
        z = model.encoder(audio)
        z_q = sum(
            level.out_proj(level.in_proj(torch.nn.functional.avg_pool1d(z, level.stride, level.stride))).mean()
            for level in model.quantizer.quantizers
        )
        made, _ = model(audio)
    assert faded < 0.3
    assert 0.8 < z.std() < 1.2
    assert torch.isfinite(z_q)
    assert 0.02 < made.std() < 0.3
