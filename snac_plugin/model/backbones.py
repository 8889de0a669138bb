"""The network with the blocks that its config names; transformers of other packages, to measure ours against.

Those take a dense mask in place of segments, and in generation compute all tokens anew in each step. Letters: B batch, N tokens,
S segments, D width, H heads, E dimensions of a head.
"""

from typing import Any

import torch
from stable_audio_tools.models.transformer import Attention as TheirAttention
from stable_audio_tools.models.transformer import ContinuousTransformer
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from x_transformers import Encoder

from snac_plugin.config import NetworkConfig
from snac_plugin.levels import Levels
from snac_plugin.model.attention import SequenceAttention
from snac_plugin.model.blocks import Attend, Tokens
from snac_plugin.model.kv_cache import DenoisingAttention, PrefillAttention
from snac_plugin.model.magnitude_preserving import MagnitudePreservingDiT
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.visibility import attention_calls


def network_of(config: NetworkConfig, levels: Levels, masks: bool = False) -> SnacDiT:
    """The network of a config; `masks` as of `SnacDiT`."""
    kinds = {"own": SnacDiT, "magnitude-preserving": MagnitudePreservingDiT}
    return kinds.get(config.backbone, ForeignDiT)(config, levels, masks)


class XTransformers(nn.Module):
    """x-transformers' Encoder with its adaptive layer norm and layer scale, which know a condition for each token."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.encoder = Encoder(
            dim=config.dim,
            depth=config.depth,
            heads=config.num_heads,
            attn_dim_head=config.dim // config.num_heads,
            attn_flash=True,
            attn_qk_norm=config.qk_norm,
            ff_glu=True,
            ff_mult=config.ff_mult,
            ff_no_bias=True,
            ff_dropout=config.dropout,
            use_adaptive_layernorm=True,
            use_adaptive_layerscale=True,
        )

    def forward(self, x: Tensor, angles: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """x and condition [B, N, D], rotary angles [N, E / 2], mask [1 or B, 1, N, N] -> [B, N, D]."""
        positions = angles.repeat_interleave(2, dim=-1)[None]
        return self.encoder(x, attn_mask=mask.expand(len(x), -1, -1, -1), rotary_pos_emb=(positions, 1.0), condition=condition)


class MaskedAttention(TheirAttention):
    """stable-audio-tools' attention with a dense mask where it knows a FlexAttention block mask alone."""

    def apply_attn(
        self, q: Tensor, k: Tensor, v: Tensor, causal: Any = None, flex_attention_block_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        return scaled_dot_product_attention(q, k, v, attn_mask=flex_attention_block_mask)


class StableAudioTools(nn.Module):
    """The blocks of its ContinuousTransformer; the condition is added to the tokens, as its adaLN knows one vector a sample."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.checkpointing = config.gradient_checkpointing
        self.transformer = ContinuousTransformer(
            config.dim,
            config.depth,
            dim_heads=config.dim // config.num_heads,
            rotary_pos_emb=False,
            attn_kwargs={"qk_norm": "ln" if config.qk_norm else "none"},
            ff_kwargs={"mult": config.ff_mult, "no_bias": True},
        )
        for layer in self.transformer.layers:
            layer.self_attn.__class__ = MaskedAttention  # they build it themselves

    def forward(self, x: Tensor, angles: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """As of `XTransformers`."""
        x = x + condition
        options: dict[str, Any] = {"rotary_pos_emb": (torch.cat([angles, angles], dim=-1), 1.0), "self_attention_block_mask": mask}
        for layer in self.transformer.layers:
            if self.checkpointing and torch.is_grad_enabled():
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False, **options)
            else:
                x = layer(x, **options)
        return x


FOREIGN = {"x-transformers": XTransformers, "stable-audio-tools": StableAudioTools}


class ForeignDiT(SnacDiT):
    """The same tokens, levels, visibility and heads around a transformer of another package."""

    def _build_trunk(self) -> None:
        self.blocks, self.skips, self.modulation = nn.ModuleList(), nn.ModuleList(), nn.Identity()
        self.foreign = FOREIGN[self.config.backbone](self.config)

    def trunk(self, x: Tensor, tokens: Tokens, embedding: Tensor, attend: Attend) -> Tensor:
        lengths = list(tokens.lengths)
        condition = embedding.repeat_interleave(torch.tensor(lengths, device=x.device), dim=1)
        angles = torch.atan2(tokens.sin, tokens.cos)
        if isinstance(attend, SequenceAttention):
            return self.foreign(x, angles, condition, attend.dense(x.device))
        if isinstance(attend, PrefillAttention):  # keys and values are theirs: what is kept is what comes in
            pieces = (x.split(lengths, dim=1), angles.split(lengths), condition.split(lengths, dim=1))
            attend.cache.inputs.update(zip(attend.segments, zip(*pieces, strict=True), strict=True))
            return x
        assert isinstance(attend, DenoisingAttention)
        cache, segments = attend.cache, (*attend.cache.masks, attend.segment)
        calls = attention_calls(segments, segments, attend.rule)
        mask = SequenceAttention(segments, calls, [*cache.masks.values(), None]).dense(x.device)
        kept = zip(*(*(cache.inputs[segment] for segment in cache.masks), (x, angles, condition)), strict=True)
        whole = [torch.cat(parts, dim=axis) for parts, axis in zip(kept, (1, 0, 1), strict=True)]
        return self.foreign(*whole, mask)[:, -attend.length :]
