"""How far a model's estimate of the data is from the data: one measure for all heads and objectives; and the loss of its logits.

Letters: S songs, W windows of a song, P noise levels, B batch, R rows, T frames, L levels, N codes, D codebook dimensions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from snac_plugin.diffusion.objectives import log_likelihood
from snac_plugin.evaluation.held_out_losses import chunk_stages, last_chunks
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.training.stage_losses import Draw, in_own_noise


@torch.inference_mode()
def evaluate(model: SnacDiffusion, windows: Tensor, noise_levels: Sequence[float], seed: int, network: bool = True) -> Tensor:
    """Error, hits and loss of the last chunk of windows [S, W, R, 3 T] given the chunks before it: [3, S, P, L].

    Error is the mean square of estimate minus data a dimension (latents have variance 1 over the codebook), hits the share of
    codes that the estimate's nearest code gets right, loss the cross-entropy in nats of logits, NaN of a head without; with
    masked codes of those alone.

    Args:
        model: the model.
        windows: packed codes.
        noise_levels: t of the rectified flow; other objectives see the same ratio of data to noise.
        seed: of the noise.
        network: ask the network; else the estimate is what a noised point alone says of its code, all codes being as likely.
    """
    model.eval()
    chunk, past, noise = last_chunks(model, windows.flatten(0, 1), len(noise_levels), seed)
    found = []
    for index, t in enumerate(noise_levels):
        own_t = float(model.model.objective.from_flow(torch.tensor(t, dtype=torch.float64))[1])
        stages = chunk_stages(model, chunk, past, noise[index], own_t)
        found.append(torch.cat([_scores(model.model, c, d, losses.outputs if network else None) for c, d, losses in stages], dim=1))
    return torch.stack(found, dim=2).unflatten(1, windows.shape[:2]).mean(dim=2).cpu()


def _scores(model: SnacDiffusionModel, codes: Tensor, draw: Draw, outputs: Sequence[Tensor] | None) -> Tensor:
    """Error, hits and loss of each sample and level [3, B, L]."""
    levels, draw = model.levels, in_own_noise(model, draw, [codes.shape[-1]])
    data, scores = levels.unpack_latents(model.space.from_codes(codes)), []
    for level, (z, noise, true) in enumerate(zip(data, levels.unpack_latents(draw.noise), levels.unpack(codes), strict=True)):
        t = draw.t[:, :, level]
        x = model.objective.noised(z, noise, t[..., None])
        estimate, logits = _estimate(model, level, x, t, None if outputs is None else outputs[level].float())
        error, hits = (estimate - z).square().mean(dim=2), (model.space.nearest(level, estimate) == true).float()
        loss = torch.full_like(error, torch.nan) if logits is None else cross_entropy(logits.mT, true, reduction="none")
        scores.append(torch.stack([model.objective.weighed(score, x, t).mean(dim=1) for score in (error, hits, loss)]))
    return torch.stack(scores, dim=-1)


def _estimate(model: SnacDiffusionModel, level: int, x: Tensor, t: Tensor, output: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The data that x [B, N, D] at noise levels t [B, 1] is thought to be, and its logits, from what `stage_losses` gives."""
    if output is not None and model.network.config.head == "velocity":
        return model.path.denoised(x, output, t[..., None]), None
    book = model.space.codebooks[level]
    logits = log_likelihood(model.path, x, book, t) if output is None else output
    return logits.softmax(dim=-1) @ book, logits
