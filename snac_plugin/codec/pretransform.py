"""The pretransform `snac_hierarchical`: audio to packed latents or packed codes of a SNAC codec, and back.
Letters: B batch, N audio samples, R rows (codes per frame, all levels), T frames, D codebook dimensions.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from stable_audio_tools.models.pretransforms import Pretransform
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from snac_plugin.codec.decoder_noise import PlacedNoise, decode_with_noise
from snac_plugin.codec.input_checks import check_audio, check_codes, checked_length, seeds_for
from snac_plugin.codec.load import Codec
from snac_plugin.codec.overlap import margin_frames, run_in_pieces
from snac_plugin.codec.quantise import quantise, unpool
from snac_plugin.latents import LatentSpace


class SnacPretransform(Pretransform):
    """A SNAC codec as stable-audio-tools' pretransform.

    Latents are the code vectors, standardised: [B, R * D, T] float32, one frame a column. Tokens are packed codes [B, R, T],
    so that stable-audio-tools sees R quantisers at one rate (`is_discrete` is true, its language models work too).

    T is the number of frames that cover the audio; SNAC's own padding beyond them is added and removed inside. Decoding gives
    T * downsampling_ratio samples, or `length` samples: pass the input's length to get exactly that back.

    Audio longer than `piece_seconds` is processed in pieces whose result is that of the whole file (but for rounding).

    Args:
        model_half: run encoder and decoder in half precision; latents stay float32, codes are found in float32. Converting the
            model around the codec does not change the codec's precision; only `half()` of the pretransform itself does.
        piece_seconds: longest piece that is encoded or decoded at once.
        iterate_batch: one example at a time, to save memory.
        seed: of the decoder's noise where a call gives none.
    """

    def __init__(
        self, codec: Codec, model_half: bool = False, piece_seconds: float = 10.0, iterate_batch: bool = False, seed: int = 0
    ) -> None:
        super().__init__(enable_grad=False, io_channels=1, is_discrete=True)
        levels = codec.levels
        self.levels, self.codec_name = levels, codec.name
        self.fingerprint, self.known_as = codec.fingerprint, codec.known_as
        self.model = codec.model.eval().requires_grad_(False)
        self.space = LatentSpace(levels, [q.codebook.weight for q in codec.model.quantizer.quantizers])
        self.sample_rate, self.downsampling_ratio = levels.sample_rate, levels.frame_samples
        self.encoded_channels, self.num_quantizers, self.codebook_size = levels.channels, levels.rows, levels.codebook_size
        self.iterate_batch, self.seed = iterate_batch, seed
        self.margin = margin_frames(codec.model, levels)
        self.piece_frames = max(1, round(piece_seconds * levels.frames_per_second / levels.grid_frames)) * levels.grid_frames
        self._silence: Tensor | None = None
        self.model_half = False
        if model_half:
            self.half()

    def encode(self, x: Tensor, sample_rate: int | None = None) -> Tensor:
        """Audio [B, 1, N] to latents [B, R * D, T]; gradients pass the codebooks straight through if `enable_grad`.

        Raises:
            AudioError: the audio is not mono float audio at the codec's rate (if `sample_rate` says it), or holds NaN.
        """
        if not (self.enable_grad and torch.is_grad_enabled()):
            return self.space.from_codes(self.tokenize(x, sample_rate))
        check_audio(x, sample_rate, self.sample_rate, self.codec_name)
        z = self._encoder_output(self.model.preprocess(x))
        with torch.autocast(x.device.type, enabled=False):
            quantised = quantise(self.model.quantizer, z)
        through = [v + (chosen - v).detach() for v, chosen in zip(quantised.vectors, quantised.chosen, strict=True)]
        return self.space.from_vectors(through)[..., : self.levels.frames_for(x.shape[-1])]

    def decode(self, z: Tensor, length: int | None = None, seed: int | Sequence[int] | None = None) -> Tensor:
        """Latents [B, R * D, T] to audio [B, 1, N] by the nearest codes; see `decode_tokens`."""
        if not (self.enable_grad and torch.is_grad_enabled()):
            return self.decode_tokens(self.space.to_codes(z), length, seed)
        samples = checked_length(z.shape[-1], self.downsampling_ratio, length)
        snapped = z + (self.space.snap(z) - z).detach()
        vectors = self.space.to_vectors(self._on_grid(snapped, self.space.from_codes(self.silent_codes())))
        with torch.autocast(z.device.type, enabled=False):
            z_q: Any = sum(unpool(level, v) for level, v in zip(self.model.quantizer.quantizers, vectors, strict=True))
        return self._decoder_output(z_q, 0, seeds_for(self.seed if seed is None else seed, len(z)))[..., :samples]

    @torch.no_grad()
    def tokenize(self, x: Tensor, sample_rate: int | None = None) -> Tensor:
        """Audio [B, 1, N] to packed codes [B, R, T], int64; see `encode`."""
        check_audio(x, sample_rate, self.sample_rate, self.codec_name)
        if self.iterate_batch and len(x) > 1:
            return torch.cat([self.tokenize(example) for example in x.split(1)])
        audio, ratio = self.model.preprocess(x), self.downsampling_ratio
        codes = run_in_pieces(audio, lambda part, _: self._encode_piece(part), self.piece_frames, self.margin, before=ratio)
        return codes[..., : self.levels.frames_for(x.shape[-1])]

    @torch.no_grad()
    def decode_tokens(self, tokens: Tensor, length: int | None = None, seed: int | Sequence[int] | None = None) -> Tensor:
        """Packed codes [B, R, T] to audio [B, 1, N], float32; N is `length`, by default T * downsampling_ratio.

        `seed` of the decoder's noise: one for each example, or one for the batch, whose examples then take it and the integers
        after it. The global generator is neither read nor moved.
        """
        samples = checked_length(tokens.shape[-1], self.downsampling_ratio, length)
        seeds = seeds_for(self.seed if seed is None else seed, len(tokens))
        if self.iterate_batch and len(tokens) > 1:
            return torch.cat([self.decode_tokens(t[None], length, s) for t, s in zip(tokens, seeds, strict=True)])
        check_codes(tokens, self.codebook_size)
        codes, decode = self._on_grid(tokens, self.silent_codes()), functools.partial(self._decode_piece, seeds=seeds)
        return run_in_pieces(codes, decode, self.piece_frames, self.margin, after=self.downsampling_ratio)[..., :samples]

    @torch.no_grad()
    def decode_frames(self, codes: Tensor, first_frame: int, seeds: Sequence[int]) -> Tensor:
        """Audio [B, 1, N] of packed codes [B, R, T] that begin at `first_frame` of their files, a multiple of the grid.

        Within `margin` frames of a cut it differs from the whole file's audio.
        """
        check_codes(codes, self.codebook_size)
        audio = self._decode_piece(self._on_grid(codes, self.silent_codes()), first_frame, seeds)
        return audio[..., : codes.shape[-1] * self.downsampling_ratio]

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        check_codes(codes, self.codebook_size)
        return self.space.from_codes(codes)

    def remove_weight_norm(self) -> None:
        """Compute the codec's weights once from their norms and directions, not in every call; results are the same."""
        for module in self.model.modules():
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")

    def half(self) -> "SnacPretransform":
        self.model_half = True
        self.model.encoder.half()
        self.model.decoder.half()
        return self

    def _encode_piece(self, audio: Tensor) -> Tensor:
        z = self._encoder_output(audio)
        with torch.autocast(audio.device.type, enabled=False):
            return self.levels.pack(self.model.quantizer(z)[1])

    def _decode_piece(self, codes: Tensor, first_frame: int, seeds: Sequence[int]) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            z_q = self.model.quantizer.from_codes(self.levels.unpack(codes.long()))
        return self._decoder_output(z_q, first_frame, seeds)

    def _encoder_output(self, audio: Tensor) -> Tensor:
        with self._precision():
            return self.model.encoder(audio.to(self._dtype())).float()

    def _decoder_output(self, z_q: Tensor, first_frame: int, seeds: Sequence[int]) -> Tensor:
        noise = PlacedNoise(seeds, first_frame, z_q.shape[-1] // self.levels.strides[0])
        with self._precision():
            return decode_with_noise(self.model.decoder, z_q.to(self._dtype()), noise).float()

    def _on_grid(self, frames: Tensor, silence: Tensor) -> Tensor:
        """Append frames of silence up to SNAC's grid, as SNAC's own padding of the audio does."""
        lacking = -frames.shape[-1] % self.levels.grid_frames
        tail = silence[..., -1:].expand(len(frames), -1, lacking)
        return torch.cat([frames, tail.to(frames)], dim=-1) if lacking else frames

    @torch.no_grad()
    def silent_codes(self) -> Tensor:
        """Packed codes [1, R, T] of silence."""
        if self._silence is None:
            samples = self.downsampling_ratio * self.levels.grid_frames
            self._silence = self._encode_piece(torch.zeros(1, 1, samples, device=self.space.means.device)).cpu()
        return self._silence.to(self.space.means.device)

    def _dtype(self) -> torch.dtype:
        return next(self.model.encoder.parameters()).dtype

    def _precision(self) -> torch.autocast:
        """The codec's own precision, also under a caller's autocast."""
        return torch.autocast(self.space.means.device.type, torch.float16, enabled=self._dtype() == torch.float16)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SnacPretransform":
        """Move, but keep the precision: another one would change the codes, and SNAC fails in bfloat16."""

        def keep_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        self.model._apply(keep_precision)
        self.space._apply(keep_precision)
        return self
