"""The pretransform `snac_hierarchical`: audio to packed latents or packed codes of a SNAC codec, and back.

Letters: B batch, N audio samples, R rows (codes per frame, all levels), T frames, D codebook dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from stable_audio_tools.models.pretransforms import Pretransform
from torch import Tensor

from snac_plugin.codec.checks import check_audio, check_codes, check_rate, checked_length, seeds_for
from snac_plugin.codec.load import Codec
from snac_plugin.codec.noise import PlacedNoise
from snac_plugin.codec.pieces import margin_frames, pieces
from snac_plugin.codec.snac_forward import decode_with_noise, quantise
from snac_plugin.latents import LatentSpace


class SnacPretransform(Pretransform):
    """A SNAC codec as stable-audio-tools' pretransform.

    Latents are the code vectors, standardised: [B, R * D, T] float32, one frame a column. Tokens are packed codes [B, R, T],
    so that stable-audio-tools sees R quantisers at one rate (`is_discrete` is true, its language models work too).

    T is the number of frames that cover the audio; what SNAC needs beyond them is padded inside and never seen. Decoding gives
    T * downsampling_ratio samples, or as many as `length` says: pass the input's length to get exactly that back.

    Audio longer than `piece_seconds` goes through in pieces with `margin` frames of context at both sides. Attention windows
    and the decoder's noise fall as in the whole file, so the pieces give what the whole file gives (but for rounding).

    Args:
        codec: from `load_codec`.
        model_half: run encoder and decoder in half precision; latents stay float32, codes are found in float32. Nothing else
            narrows them but `half()` of the pretransform itself: in a model that is converted, the codec stays as it is.
        piece_seconds: longest piece that is encoded or decoded at once.
        iterate_batch: one example at a time, to save memory.
        seed: of the decoder's noise where a call gives none.
    """

    def __init__(
        self,
        codec: Codec,
        model_half: bool = False,
        piece_seconds: float = 10.0,
        iterate_batch: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(enable_grad=False, io_channels=1, is_discrete=True)
        self.levels, self.codec_name = codec.levels, codec.name
        self.fingerprint, self.known_as = codec.fingerprint, codec.known_as
        self.model = codec.model.eval().requires_grad_(False)
        self.space = LatentSpace(codec.levels, [q.codebook.weight for q in codec.model.quantizer.quantizers])
        self.sample_rate = codec.levels.sample_rate
        self.downsampling_ratio = codec.levels.frame_samples
        self.encoded_channels = codec.levels.channels
        self.num_quantizers = codec.levels.rows
        self.codebook_size = codec.levels.codebook_size
        self.iterate_batch, self.seed = iterate_batch, seed
        self.margin = margin_frames(codec.model, codec.levels)
        grid = codec.levels.grid_frames
        self.piece_frames = max(1, round(piece_seconds * codec.levels.frames_per_second / grid)) * grid
        self._silence: Tensor | None = None
        self.model_half = False
        if model_half:
            self.half()

    def encode(self, x: Tensor, sample_rate: int | None = None, **_: Any) -> Tensor:
        """Audio [B, 1, N] to latents [B, R * D, T]; gradients pass the codebooks straight through if `enable_grad`.

        Args:
            x: float audio, any N above 0.
            sample_rate: of the audio, if the caller knows it; it is only checked.

        Raises:
            AudioError: the audio is not mono float audio [B, 1, N] at the codec's sample rate, or holds NaN.
        """
        self._check_audio(x, sample_rate)
        if self.enable_grad and torch.is_grad_enabled():
            return self._encode_with_gradients(x)
        return self.space.from_codes(self.tokenize(x))

    def decode(self, z: Tensor, length: int | None = None, seed: int | Sequence[int] | None = None, **_: Any) -> Tensor:
        """Latents [B, R * D, T] to audio [B, 1, N] by the nearest codes; see `decode_tokens`."""
        if self.enable_grad and torch.is_grad_enabled():
            snapped = z + (self.snap(z) - z).detach()
            vectors = self.space.to_vectors(self._on_grid(snapped, self.space.from_codes(self.silent_codes())))
            return self._decode_vectors(vectors, 0, self._seeds(seed, len(z)))[..., : self._length(z, length)]
        return self.decode_tokens(self.latents_to_codes(z), length, seed)

    @torch.no_grad()
    def tokenize(self, x: Tensor, sample_rate: int | None = None, **_: Any) -> Tensor:
        """Audio [B, 1, N] to packed codes [B, R, T], int64; see `encode`."""
        self._check_audio(x, sample_rate)
        if self.iterate_batch and len(x) > 1:
            return torch.cat([self.tokenize(example) for example in x.split(1)])
        samples, frames = x.shape[-1], self.levels.frames_for(x.shape[-1])
        x = torch.nn.functional.pad(x, (0, self.levels.padded_samples(samples) - samples))
        return self._in_pieces(x, self.downsampling_ratio, 1, lambda part, _: self._encode_piece(part))[..., :frames]

    @torch.no_grad()
    def decode_tokens(self, tokens: Tensor, length: int | None = None, seed: int | Sequence[int] | None = None, **_: Any) -> Tensor:
        """Packed codes [B, R, T] to audio [B, 1, N], float32.

        Args:
            tokens: any number of frames above 0.
            length: N, at most T * downsampling_ratio, which is the default.
            seed: of the decoder's noise: one for each example, or one for the batch, whose examples then take it and the
                integers after it; `self.seed` by default. The same seed gives the same audio, and the global generator is
                neither read nor moved.
        """
        samples, seeds = self._length(tokens, length), self._seeds(seed, len(tokens))
        if self.iterate_batch and len(tokens) > 1:
            return torch.cat([self.decode_tokens(t[None], length, s) for t, s in zip(tokens, seeds, strict=True)])
        self._check_codes(tokens)
        padded = self._on_grid(tokens, self.silent_codes())
        return self._in_pieces(padded, 1, self.downsampling_ratio, lambda part, first: self._decode_piece(part, first, seeds))[
            ..., :samples
        ]

    @torch.no_grad()
    def decode_frames(self, codes: Tensor, first_frame: int, seeds: Sequence[int]) -> Tensor:
        """Audio [B, 1, N] of packed codes [B, R, T] that begin at `first_frame` of their files, a multiple of the grid.

        Within `margin` frames of a cut it differs from the whole file's audio.
        """
        self._check_codes(codes)
        audio = self._decode_piece(self._on_grid(codes, self.silent_codes()), first_frame, seeds)
        return audio[..., : codes.shape[-1] * self.downsampling_ratio]

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        """Packed codes [B, R, T] to latents [B, R * D, T]."""
        self._check_codes(codes)
        return self.space.from_codes(codes)

    def latents_to_codes(self, latents: Tensor) -> Tensor:
        """Latents [B, R * D, T] to the packed codes [B, R, T] nearest to them."""
        return self.space.to_codes(latents)

    def snap(self, latents: Tensor) -> Tensor:
        """The latents of the nearest codes, same shape."""
        return self.space.from_codes(self.space.to_codes(latents))

    def level_codebook(self, level: int) -> Tensor:
        """The standardised codebook of one level, [codebook_size, D]."""
        return self.space.codebooks[level]

    def half(self) -> SnacPretransform:
        """Encoder and decoder in half precision, as `model_half` has them."""
        self.model_half = True
        self.model.encoder.half()
        self.model.decoder.half()
        return self

    def _encode_piece(self, audio: Tensor) -> Tensor:
        with self._precision():
            z = self.model.encoder(audio.to(self._dtype()))
        with torch.autocast(audio.device.type, enabled=False):
            return self.levels.pack(self.model.quantizer(z.float())[1])

    def _encode_with_gradients(self, audio: Tensor) -> Tensor:
        frames = self.levels.frames_for(audio.shape[-1])
        with self._precision():
            z = self.model.encoder(self.model.preprocess(audio.to(self._dtype())))
        with torch.autocast(audio.device.type, enabled=False):
            found = quantise(self.model, z.float())
        through = [v + (chosen - v).detach() for v, chosen in zip(found.vectors, found.chosen, strict=True)]
        return self.space.from_vectors(through)[..., :frames]

    def _decode_piece(self, codes: Tensor, first_frame: int, seeds: Sequence[int]) -> Tensor:
        books = [level.codebook for level in self.model.quantizer.quantizers]
        vectors = [book(c).transpose(1, 2) for book, c in zip(books, self.levels.unpack(codes.long()), strict=True)]
        return self._decode_vectors(vectors, first_frame, seeds)

    def _decode_vectors(self, vectors: Sequence[Tensor], first_frame: int, seeds: Sequence[int]) -> Tensor:
        """Code vectors [B, D, N] a level to audio; what SNAC's `from_codes` and decoder do, with noise by place."""
        frames = vectors[0].shape[-1] // self.levels.per_frame[0]
        with torch.autocast(vectors[0].device.type, enabled=False):
            z_q = sum(
                level.out_proj(v).repeat_interleave(level.stride, dim=-1)
                for level, v in zip(self.model.quantizer.quantizers, vectors, strict=True)
            )
        noise = PlacedNoise(seeds, first_frame, frames)
        with self._precision():
            return decode_with_noise(self.model.decoder, z_q.to(self._dtype()), noise).float()

    def _in_pieces(self, x: Tensor, before: int, after: int, run: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Run over the last axis piece by piece; one frame is `before` steps of the input and `after` of the output."""
        done = []
        for piece in pieces(x.shape[-1] // before, self.piece_frames, self.margin):
            out = run(x[..., piece.first * before : piece.last * before], piece.first)
            done.append(out[..., (piece.start - piece.first) * after : (piece.stop - piece.first) * after])
        return torch.cat(done, dim=-1)

    def _on_grid(self, frames: Tensor, silence: Tensor) -> Tensor:
        """Append frames of silence up to SNAC's grid: what its own padding of the audio would have become."""
        lacking = -frames.shape[-1] % self.levels.grid_frames
        tail = silence[..., -1:].expand(len(frames), -1, lacking)
        return torch.cat([frames, tail.to(frames)], dim=-1) if lacking else frames

    @torch.no_grad()
    def silent_codes(self) -> Tensor:
        """Packed codes [1, R, T] of silence."""
        if self._silence is None:
            samples = self.downsampling_ratio * self.levels.grid_frames
            self._silence = self._encode_piece(torch.zeros(1, 1, samples, device=self._device())).cpu()
        return self._silence.to(self._device())

    def _seeds(self, seed: int | Sequence[int] | None, batch: int) -> list[int]:
        return seeds_for(self.seed if seed is None else seed, batch)

    def _length(self, frames: Tensor, length: int | None) -> int:
        return checked_length(frames.shape[-1], self.downsampling_ratio, length)

    def _check_codes(self, codes: Tensor) -> None:
        check_codes(codes, self.codebook_size)

    def _check_audio(self, audio: Tensor, sample_rate: int | None) -> None:
        check_audio(audio)
        check_rate(sample_rate, self.sample_rate, self.codec_name)

    def _dtype(self) -> torch.dtype:
        return next(self.model.encoder.parameters()).dtype

    def _precision(self) -> torch.autocast:
        """Whatever autocast a caller has on: the codec's own precision.

        In half precision SNAC's rotary positions turn queries and keys, not values, into float32; autocast mends that.
        """
        return torch.autocast(self._device().type, torch.float16, enabled=self._dtype() == torch.float16)

    def _device(self) -> torch.device:
        return self.space.means.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SnacPretransform:
        """Move, but keep the precision: what suits the model around it would change the codes, and bfloat16 crashes SNAC."""

        def keep_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        self.model._apply(keep_precision)
        self.space._apply(keep_precision)
        return self
