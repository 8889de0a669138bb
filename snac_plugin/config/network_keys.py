"""`model.diffusion`: the network, which levels a level sees, and how each is sampled."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from snac_plugin.config.section import (
    AtLeastOne,
    Count,
    Either,
    ListOf,
    PerLevel,
    Positive,
    PositiveShare,
    Section,
    Share,
    Weight,
    check_level,
    spread,
)
from snac_plugin.diffusion.sampler_names import (
    CODE_SAMPLER,
    CONFIDENCE_NOISE,
    DEFAULT_OBJECTIVE,
    MOST_STEPS,
    REMASK,
    SAMPLERS,
    SCHEDULES,
    default_sampler,
)
from snac_plugin.errors import ConfigError

Sampler = Annotated[str, WithJsonSchema({"type": "string", "enum": [name for names in SAMPLERS.values() for name in names]})]


class SamplingConfig(Section):
    """How each level is solved, unless a call says otherwise."""

    steps: PerLevel[Annotated[int, Field(ge=1, le=MOST_STEPS)]] = Field(
        default=48,
        description="denoising steps of a chunk: one number, split over the levels by step_weights, or an object with a number for "
        "each level",
    )
    step_weights: ListOf[Positive] | None = Field(
        default=None, description="share of the steps that each level takes, coarsest first"
    )
    sampler: PerLevel[Sampler] = Field(
        default=CODE_SAMPLER,
        description="stable-audio-tools' name of the sampler, or pingpong-codes, which draws codes; "
        "by default euler with the head velocity, dpmpp-3m-sde with the objective v; levels left out of an object take euler; with "
        "masked codes masked, which keeps the likeliest draws of each step, masked-random or masked-halton",
    )
    shift: PerLevel[Positive] = Field(default=1.0, description="above 1 moves sampling steps towards noise")
    temperature: PerLevel[Positive] = Field(default=1.0, description="below 1 samplers that draw codes draw likely ones more often")
    confidence_noise: PerLevel[Weight] = Field(
        default=CONFIDENCE_NOISE, description="of the sampler masked: how far chance counts beside likelihood, at the first step"
    )
    remask: PerLevel[Share] = Field(
        default=REMASK, description="of the masked samplers: largest share of the codes drawn so far that a step masks again"
    )
    top_p: PerLevel[PositiveShare] = Field(
        default=1.0, description="below 1 samplers that draw codes draw of the likeliest ones that together reach this probability"
    )
    added_noise: PerLevel[Share] | None = Field(
        default=None,
        description="of euler and pingpong-codes: share of each step's noise that is drawn anew: 0 keeps its own, as euler does by "
        "default, 1 draws all of it, as pingpong-codes does; levels left out of an object keep their sampler's default",
    )
    cfg_scale: float = Field(default=1.0, ge=0, description="scale of classifier-free guidance; 1 is none")
    cfg_rescale: Share = Field(default=0.0, description="share of the rescaling that keeps guidance from raising the variance")
    cfg_interval: Annotated[tuple[Share, Share], Field(strict=False)] = Field(
        default=(0.0, 1.0), description="noise levels t between which guidance acts"
    )
    cfg_schedule: Literal[SCHEDULES] = Field(  # type: ignore[valid-type]
        default="constant",
        description="guidance along the steps of a level: constant, rising (weak at first, times 1 - t) or falling (weak at last, "
        "times t)",
    )

    def weights(self, names: str) -> tuple[float, ...]:
        """Share of the steps of each level, coarsest first; sums to 1. The default grows by half from coarsest to finest."""
        last = max(len(names) - 1, 1)
        raw = self.step_weights or tuple(1.5 ** (level / last) for level in range(len(names)))
        return tuple(weight / sum(raw) for weight in raw)

    def steps_per_level(self, names: str, total: int | None = None) -> tuple[int, ...]:
        """Denoising steps of each level, at least one, coarsest first; `total` steps in all in place of the config's."""
        steps = self.steps if total is None else total
        if not isinstance(steps, dict):
            return split_steps(steps, self.weights(names))
        return spread(steps, names, 1, "model.diffusion.config.sampling.steps")

    def samplers(self, names: str) -> tuple[str, ...]:
        return spread(self.sampler, names, "euler", "model.diffusion.config.sampling.sampler")

    def shifts(self, names: str) -> tuple[float, ...]:
        return spread(self.shift, names, 1.0, "model.diffusion.config.sampling.shift")

    def temperatures(self, names: str) -> tuple[float, ...]:
        return spread(self.temperature, names, 1.0, "model.diffusion.config.sampling.temperature")

    def top_ps(self, names: str) -> tuple[float, ...]:
        return spread(self.top_p, names, 1.0, "model.diffusion.config.sampling.top_p")

    def masked_options(self, names: str) -> dict[str, tuple[float, ...]]:
        """By level, what the masked samplers alone have."""
        path = "model.diffusion.config.sampling"
        noise = spread(self.confidence_noise, names, CONFIDENCE_NOISE, f"{path}.confidence_noise")
        return {"confidence_noise": noise, "remask": spread(self.remask, names, REMASK, f"{path}.remask")}


def split_steps(total: int, weights: tuple[float, ...]) -> tuple[int, ...]:
    """Split steps by weights that sum to 1: at least one each, `total` in all when there are so many (largest remainders)."""
    spare = max(total - len(weights), 0)
    exact = [weight * spare for weight in weights]
    steps = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda level: steps[level] - exact[level])
    for level in by_remainder[: spare - sum(steps)]:
        steps[level] += 1
    return tuple(1 + count for count in steps)


VISIBILITY = "model.diffusion.config.visibility"
Within = Either[Literal["coarser", "none"], ListOf[str]]
Context = Either[Literal["all", "same", "none"], ListOf[str]]


class VisibilityConfig(Section):
    """What the tokens of each level see besides themselves; levels that a table leaves out keep the default ("coarser", "all").

    Noised tokens of a level see the clean tokens named here; its clean tokens see the same, and themselves.
    """

    within: Within = Field(default="coarser", description="finished levels of the same chunk that each level sees")
    context: Context = Field(default="all", description="levels of earlier chunks and of known frames that each level sees")

    def resolved(self, names: str) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """For each level, coarsest first: indices of (levels of its own chunk, levels of earlier chunks) that it sees.

        ConfigError: a name that is no level of the codec, or `within` names one that is not coarser and so does not exist yet.
        """
        self._check(names)
        return tuple(
            (_seen(self.within, names, level, "coarser"), _seen(self.context, names, level, "all")) for level in range(len(names))
        )

    def _check(self, names: str) -> None:
        for part, table in (("within", self.within), ("context", self.context)):
            for level, seen in table.items() if isinstance(table, dict) else ():
                where = f"{VISIBILITY}.{part}.{level}"
                for path, name in [(where, level), *((f"{where}[{i}]", name) for i, name in enumerate(seen))]:
                    check_level(path, name, names)
                coarser = names[: names.index(level)]
                for name in seen:
                    if part == "within" and name not in coarser:
                        expected = f"levels coarser than {level}: {', '.join(coarser) or 'none'}"
                        advice = "Levels are generated from coarse to fine, so a level can only see those before it."
                        raise ConfigError(where, f"level {name}", expected, advice)


def _seen(table: str | dict[str, tuple[str, ...]], names: str, level: int, default: str) -> tuple[int, ...]:
    seen = table if isinstance(table, str) else table.get(names[level], default)
    if isinstance(seen, str):
        return {"all": tuple(range(len(names))), "coarser": tuple(range(level)), "same": (level,), "none": ()}[seen]
    return tuple(sorted({names.index(name) for name in seen}))


BACKBONES = ("own", "magnitude-preserving", "x-transformers", "stable-audio-tools")
OF_OWN_BLOCKS = ("modulation", "long_skips", "level_adapter_rank")
"""Keys that no other backbone follows."""
NOT_OF_BACKBONE: dict[str, tuple[str, ...]] = {
    "own": (),
    "magnitude-preserving": (*OF_OWN_BLOCKS, "qk_norm", "dropout"),
    "x-transformers": (*OF_OWN_BLOCKS, "cond_token_dim", "gradient_checkpointing"),
    "stable-audio-tools": (*OF_OWN_BLOCKS, "cond_token_dim", "dropout"),
}


class NetworkConfig(Section):
    """The transformer over SNAC's levels."""

    dim: AtLeastOne = Field(default=256, description="width of the trunk")
    depth: AtLeastOne = Field(default=6, description="blocks")
    num_heads: AtLeastOne = Field(default=4, description="attention heads; divides dim")
    backbone: Literal[BACKBONES] = Field(  # type: ignore[valid-type]
        default="own",
        description="the transformer's blocks: own; magnitude-preserving, EDM2's mathematics; or, to compare with, x-transformers' "
        "Encoder or stable-audio-tools' ContinuousTransformer with a dense mask, which compute all tokens anew in each step",
    )
    ff_mult: Positive = Field(default=4.0, description="width of the feed-forward layer over dim")
    head: Literal["velocity", "logits", "posterior"] = Field(
        default="logits",
        description="what is predicted: velocity: the velocity; logits: the code; posterior: the code from all other tokens, "
        "to which Bayes' rule adds the token's own noised vector",
    )
    patch: Either[Literal["frame"] | AtLeastOne, AtLeastOne] = Field(
        default=1, description="codes of a level within a frame that share a token, or frame for all of them"
    )
    read_out: Literal["token", "code", "mixed"] = Field(
        default="token",
        description="what the head reads of a code: token: its token; code: that and the code's own noised vector; mixed: these "
        "and the token's other codes",
    )
    modulation: Literal["adaln_sola", "adaln_zero"] = Field(default="adaln_sola", description="how t and level reach the blocks")
    modulation_rank: AtLeastOne = Field(default=32, description="rank of a block's own part of adaln_sola")
    long_skips: bool = Field(default=False, description="connect block i to block depth - 1 - i")
    qk_norm: bool = Field(default=True, description="normalise queries and keys")
    level_adapter_rank: Count = Field(default=0, description="rank of each level's own adapters; 0 shares every weight")
    rotary_base: Positive = Field(default=10000.0, description="base of the rotary frequencies")
    chunk_frames: AtLeastOne = Field(default=64, description="frames that are generated at once")
    context_chunks: Count = Field(default=2, description="clean chunks that are seen before the chunk")
    visibility: VisibilityConfig = Field(default=VisibilityConfig(), description="which levels a level sees")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout in training")
    gradient_checkpointing: bool = Field(default=False, description="recompute blocks in the backward pass to save memory")
    cond_token_dim: Count = Field(default=0, description="channels of cross_attention_cond_ids")
    global_cond_dim: Count = Field(default=0, description="channels of global_cond_ids, summed")
    guided_global_cond: bool = Field(
        default=True,
        description="cfg_dropout_prob and guidance drop global_cond_ids too, unlike stable-audio-tools",
    )
    prepend_cond_dim: Count = Field(default=0, description="channels of prepend_cond_ids")
    input_concat_dim: Count = Field(default=0, description="channels of input_concat_ids, summed")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="how each level is solved")

    def patches(self, names: str, per_frame: Sequence[int]) -> tuple[int, ...]:
        """Codes that share a token, of each level with so many codes a frame; a ConfigError where they do not divide these."""
        path = "model.diffusion.config.patch"
        sizes = tuple(per_frame) if self.patch == "frame" else spread(self.patch, names, 1, path)
        for name, size, count in zip(names, sizes, per_frame, strict=True):
            if count % size:
                where = f"{path}.{name}" if isinstance(self.patch, dict) else path
                fitting = ", ".join(str(n) for n in range(1, count + 1) if count % n == 0)
                raise ConfigError(where, f"{size} for level {name}", f"a divisor of its {count} codes a frame: {fitting}")
        return sizes


class DiffusionSection(Section):
    type: Literal["snac_dit"] = Field(default="snac_dit", description="the network's type")
    diffusion_objective: Literal[tuple(SAMPLERS)] = Field(  # type: ignore[valid-type]
        default=DEFAULT_OBJECTIVE, description="what is learnt: data under noise (rectified_flow, v), or codes that are masked"
    )
    cross_attention_cond_ids: ListOf[str] = Field(default=(), description="conditioners read through cross-attention")
    global_cond_ids: ListOf[str] = Field(default=(), description="conditioners that join the modulation")
    input_concat_ids: ListOf[str] = Field(default=(), description="conditioners joined to the input's channels")
    prepend_cond_ids: ListOf[str] = Field(default=(), description="conditioners put before the tokens")
    config: NetworkConfig = Field(description="the network")

    @property
    def read_ids(self) -> tuple[str, ...]:
        """Ids of all conditioners that the network reads."""
        return (*self.cross_attention_cond_ids, *self.global_cond_ids, *self.prepend_cond_ids, *self.input_concat_ids)

    @model_validator(mode="before")
    @classmethod
    def _default_sampler(cls, data: Any) -> Any:
        """Name the sampler that a config leaves out: not every objective and head knows the default."""
        network = data.get("config") if isinstance(data, dict) else None
        if not isinstance(network, dict) or not isinstance(network.get("sampling", {}), dict):
            return data
        sampler = default_sampler(str(data.get("diffusion_objective", DEFAULT_OBJECTIVE)), network.get("head") != "velocity")
        return data | {"config": network | {"sampling": {"sampler": sampler} | network.get("sampling", {})}}
