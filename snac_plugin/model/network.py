"""The diffusion transformer over the levels of a SNAC codec. Letters: B batch, T frames, N tokens, S segments, D width."""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from stable_audio_tools.models.blocks import FourierFeatures
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from x_transformers.x_transformers import RotaryEmbedding

from snac_plugin.config import NetworkConfig
from snac_plugin.diffusion.objectives import is_masked
from snac_plugin.levels import Levels, pick_frames
from snac_plugin.model.adaptive_layer_norm import AdaLNSola, AdaLNZero, scale_and_shift, zeroed
from snac_plugin.model.blocks import Attend, Block, Tokens
from snac_plugin.model.code_mixer import CodeMixer
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.visibility import Role, Segment, VisibilityRule

TIME_FEATURES = 256


class Rotary(RotaryEmbedding):
    """Rotary frequencies that stay at least float32: rounded, they would turn late positions by whole radians."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Rotary":
        def keep_wide(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype.itemsize >= 4 else tensor.to(moved.device)

        return super()._apply(keep_wide, recurse)


class SnacDiT(nn.Module):
    """Shared trunk; an input projection, an embedding and a head for each level."""

    def __init__(self, config: NetworkConfig, levels: Levels, masks: bool = False) -> None:
        """With `masks` there is a learned vector for each level's masked codes."""
        super().__init__()
        self.config, self.levels = config, levels
        dim, count = config.dim, len(levels)
        self.patches = config.patches(levels.names, levels.per_frame)
        self.tokens_per_frame = tuple(n // patch for n, patch in zip(levels.per_frame, self.patches, strict=True))
        self.visibility = VisibilityRule(config.visibility.resolved(levels.names), config.context_chunks)

        self.to_tokens = nn.ModuleList(nn.Linear(patch * levels.codebook_dim, dim) for patch in self.patches)
        self.token_embedding = nn.Parameter(0.02 * torch.randn(2, count, dim))  # (clean, noised) x level
        self.segment_embedding = nn.Parameter(0.02 * torch.randn(count + 1, dim))  # the last is for prepended tokens
        self.fourier = FourierFeatures(1, TIME_FEATURES)
        self.embed_time = nn.Sequential(nn.Linear(TIME_FEATURES, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.rotary = Rotary(dim // config.num_heads, base=config.rotary_base)

        def projection(width: int) -> nn.Module | None:
            return nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim)) if width else None

        self.embed_cross = projection(config.cond_token_dim)
        self.embed_global = projection(config.global_cond_dim)
        self.embed_prepended = projection(config.prepend_cond_dim)
        # One projection a token of the frame: the concatenated channels come once a frame.
        concat, counts = config.input_concat_dim, self.tokens_per_frame if config.input_concat_dim else ()
        self.embed_concat = nn.ModuleList(zeroed(nn.Linear(concat, n * dim, bias=False)) for n in counts)
        self._build_trunk()
        self.norm_out = nn.LayerNorm(dim, elementwise_affine=False)
        # Heads start at zero and blocks as the identity, their gates being zero: the first loss is that of predicting nothing.
        self.modulate_out = zeroed(nn.Linear(dim, 2 * dim))
        width = levels.codebook_dim if config.head == "velocity" else levels.codebook_size
        self.heads = nn.ModuleList(zeroed(nn.Linear(dim, width)) for _ in range(count))
        by_code, mixed = config.read_out != "token", config.read_out == "mixed"
        # What a token's output says of each of its codes, and what a code's own noised vector adds to it.
        spreads = (nn.Linear(dim, patch * dim) if by_code or patch > 1 else nn.Identity() for patch in self.patches)
        self.to_codes = nn.ModuleList(spreads)
        self.own_vector = nn.ModuleList(nn.Linear(levels.codebook_dim, dim) for _ in range(count if by_code else 0))
        mixers = (CodeMixer(patch, dim) if patch > 1 else nn.Identity() for patch in (self.patches if mixed else ()))
        self.mixers = nn.ModuleList(mixers)
        # One for each of the codes that share a token.
        sizes = self.patches if masks else ()
        self.mask_vectors = nn.ParameterList(nn.Parameter(0.02 * torch.randn(patch, dim)) for patch in sizes)

    def _build_trunk(self) -> None:
        config, dim = self.config, self.config.dim
        self.blocks = nn.ModuleList(Block(config, len(self.levels)) for _ in range(config.depth))
        sola = config.modulation == "adaln_sola"
        self.modulation: nn.Module = AdaLNSola(dim, config.depth, config.modulation_rank) if sola else AdaLNZero(dim, config.depth)
        joins = config.depth // 2 if config.long_skips else 0
        self.skips = nn.ModuleList(nn.Sequential(nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim)) for _ in range(joins))

    @property
    def reads_conditions(self) -> bool:
        parts = (self.embed_cross, self.embed_global, self.embed_prepended)
        return bool(len(self.embed_concat)) or any(part is not None for part in parts)

    def normalise_weights(self) -> None:
        """What is done to the weights after each training step: nothing here."""

    def embed_codes(self, level: int, latents: Tensor, role: Role, concat: Tensor | None = None) -> Tensor:
        """Latents of one level [B, N * patch, 8] and optional channels of their frames [B, C, T] -> tokens [B, N, D]."""
        patches = rearrange(latents, "b (n p) d -> b n (p d)", p=self.patches[level])
        tokens = self.to_tokens[level](patches) + self.token_embedding[int(role is Role.NOISED), level]
        if role is Role.NOISED and len(self.mask_vectors):
            masked = is_masked(latents).unflatten(1, (-1, self.patches[level]))
            tokens = tokens + masked.to(tokens) @ self.mask_vectors[level]
        if concat is not None and len(self.embed_concat):
            rows = self.embed_concat[level](concat.transpose(1, 2))
            tokens = tokens + rows.unflatten(-1, (self.tokens_per_frame[level], -1)).flatten(1, 2)
        return tokens

    def prepended_tokens(self, conditions: Conditions) -> Tensor | None:
        """Tokens [B, N, D] of `prepend_cond_ids`, if there are any."""
        if conditions.prepended is None or self.embed_prepended is None:
            return None
        return self.embed_prepended(conditions.prepended)

    def embed_segments(self, segments: Sequence[Segment], t: Tensor, conditions: Conditions) -> Tensor:
        """Level, noise level t [B, S] and global conditioning of each segment, for its modulation -> [B, S, D]."""
        which = torch.tensor([segment.level for segment in segments], device=t.device)
        embedding = self.embed_time(self.fourier(t[..., None])) + self.segment_embedding[which]
        if conditions.embedding is not None and self.embed_global is not None:
            vectors = self.embed_global(conditions.embedding)
            each = [segment.chunk + 1 for segment in segments]  # tokens of no chunk come first
            embedding = embedding + (vectors[:, None] if vectors.ndim == 2 else vectors[:, each])
        return embedding

    def tokens(self, segments: Sequence[Segment], conditions: Conditions) -> Tokens:
        positions = torch.cat([self._positions(segment) for segment in segments])
        frequencies, _ = self.rotary(positions)
        angles = frequencies[0, :, ::2]
        lengths, levels = tuple(segment.length for segment in segments), tuple(segment.level for segment in segments)
        cross = self.embed_cross(conditions.cross) if conditions.cross is not None and self.embed_cross is not None else None
        return Tokens(lengths, levels, angles.cos(), angles.sin(), cross, conditions.cross_mask)

    def trunk(self, x: Tensor, tokens: Tokens, embedding: Tensor, attend: Attend) -> Tensor:
        """x [B, N, D] and segment embeddings [B, S, D] -> [B, N, D]."""
        depth = len(self.blocks)
        skipped: list[Tensor] = []
        for index, (block, modulation) in enumerate(zip(self.blocks, self.modulation(embedding), strict=True)):
            if self.skips and index >= depth - len(self.skips):
                x = self.skips[index - depth + len(self.skips)](torch.cat([x, skipped.pop()], dim=-1))
            if self.config.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, index, tokens, modulation, attend, use_reentrant=False)
            else:
                x = block(x, index, tokens, modulation, attend)
            if index < len(self.skips):
                skipped.append(x)
        return x

    def read_out(self, level: int, hidden: Tensor, lengths: Sequence[int], embedding: Tensor, noised: Tensor) -> Tensor:
        """The output for each code of segments of one level: velocity [B, N * patch, 8] or logits [B, N * patch, K].

        Args:
            hidden: their tokens after the trunk [B, N, D].
            lengths, embedding: tokens of each segment, and its embedding [B, S, D].
            noised: the latents that the tokens were made of [B, N * patch, 8].
        """
        shift, scale = self.modulate_out(nn.functional.silu(embedding)).chunk(2, dim=-1)
        read = self.to_codes[level](scale_and_shift(self.norm_out(hidden), lengths, shift, scale))
        codes = rearrange(read, "b n (p d) -> b n p d", p=self.patches[level])
        if len(self.own_vector):
            codes = nn.functional.silu(codes + self.own_vector[level](noised).view_as(codes))
        if len(self.mixers):
            codes = self.mixers[level](codes)
        return self.heads[level](codes.flatten(1, 2))

    def _positions(self, segment: Segment) -> Tensor:
        """Centre in time of each token, in finest-code units from the start of chunk 0; prepended tokens come before it."""
        device, dtype = self.rotary.inv_freq.device, self.rotary.inv_freq.dtype
        if segment.role is Role.PREPENDED:
            return torch.arange(-segment.length, 0, device=device, dtype=dtype)
        count, first = self.tokens_per_frame[segment.level], segment.chunk * self.config.chunk_frames
        last = segment.length // count if segment.frames is None else max(segment.frames) + 1
        codes = self.levels.positions(segment.level, last, first, device)
        positions = codes.unflatten(0, (-1, self.patches[segment.level])).mean(dim=1).to(dtype)
        return positions if segment.frames is None else pick_frames(positions[None], segment.frames, count)[0]
