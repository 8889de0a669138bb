"""`training`: stable-audio-tools' keys, and what a hierarchy of levels adds."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema, field_validator

from snac_plugin.config.optimizers import OptimizerEntry
from snac_plugin.config.section import (
    BY_LEVEL,
    ONCE,
    AtLeastOne,
    Count,
    Either,
    ListOf,
    PerLevel,
    Positive,
    Section,
    Share,
    Weight,
    spread,
)
from snac_plugin.diffusion.sampler_names import MOST_STEPS

TimestepSampler = Literal["uniform", "logit_normal", "trunc_logit_normal", "log_snr", "cosine", "adaptive", "time_warp"]

TIMESTEP_OPTIONS: dict[str, tuple[str, ...]] = {
    "uniform": ("shift",),
    "logit_normal": ("mean", "std", "shift"),
    "trunc_logit_normal": ("left_trunc", "right_trunc", "shift"),
    "log_snr": ("mean_logsnr", "std_logsnr", "shift"),
    "cosine": ("shift",),
    "adaptive": ("scale", "warmup", "floor", "shift"),
    "time_warp": ("warmup", "floor", "shift"),
}
"""Keys of `timestep_sampler_options` by sampler."""


def options_by_level(value: Any) -> bool:
    """Whether `timestep_sampler_options` holds an object for each level."""
    return isinstance(value, dict) and bool(value) and all(isinstance(entry, dict) for entry in value.values())


TimestepOptions = Annotated[
    Annotated[dict[str, float], Tag(ONCE)] | Annotated[dict[str, dict[str, float]], Tag(BY_LEVEL)],
    Discriminator(lambda value: BY_LEVEL if options_by_level(value) else ONCE),
]


LevelLetters = Annotated[
    str, Field(min_length=1), WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}, "minLength": 1})
]


class OptimizerConfigs(Section):
    diffusion: OptimizerEntry = Field(description="optimizer and scheduler of the network")

    def as_dict(self) -> dict[str, Any]:
        """What stable-audio-tools' training wrapper takes, without a scheduler where none was given."""
        return self.model_dump(exclude_unset=True)


class CurriculumPhase(Section):
    name: str = Field(description="shown in the log")
    steps: AtLeastOne | None = Field(default=None, description="training steps; null in the last phase: to the end")
    context: dict[str, Share] = Field(description="probability of each number of context chunks, as {'0': 0.5, '1': 0.5}")
    levels: LevelLetters | None = Field(
        default=None,
        description='levels trained, as "BCD" or a list; null: all; other levels are computed only where a trained level sees them',
    )
    level_weights: dict[str, Weight] | None = Field(
        default=None, description="loss weight of each level, in place of training.level_weights"
    )
    learning_rate_scale: Positive = Field(default=1.0, description="factor on the learning rate")
    infill_share: Share | None = Field(
        default=None, description="share of steps with known frames, in place of training.infill.share: 1 for masked pre-training"
    )

    @field_validator("levels", mode="before")
    @classmethod
    def _join(cls, levels: Any) -> Any:
        is_list = isinstance(levels, list | tuple) and all(isinstance(name, str) for name in levels)
        return "".join(levels) if is_list else levels

    def context_probabilities(self, context_chunks: int) -> tuple[float, ...]:
        """Probability of 0, 1, ... `context_chunks` chunks of context."""
        return tuple(self.context.get(str(count), 0.0) for count in range(context_chunks + 1))


Gap = Literal["prefix", "suffix", "middle", "several", "whole", "spans"]


class InfillSection(Section):
    """Training on chunks of which some frames are known, as repainting, bridging and loops need it."""

    share: Share = Field(
        default=0.5, description="share of steps with known frames, the same in the whole batch; without `infill` none"
    )
    gaps: dict[Gap, Weight] = Field(
        default={"prefix": 1.0, "suffix": 1.0, "middle": 1.0, "several": 1.0, "whole": 1.0},
        description="how often each gap is drawn: beginning, end or middle of a chunk, two or three places, the whole chunk; or "
        "spans at random places (EzAudio's masked pre-training)",
    )
    length: Annotated[tuple[Share, Share], Field(strict=False)] = Field(
        default=(0.1, 0.9),
        description="shortest and longest gap at the beginning, end or middle, as shares of a chunk; of spans their sum",
    )
    span: AtLeastOne = Field(default=10, description="frames of each of the spans")
    after: Share = Field(default=0.5, description="share of gaps with known frames in the chunk after too; with whole always")


LORA_TARGETS = ("to_qkv", "to_out", "to_q", "to_kv", "ff.0.proj", "ff.2")
"""All projections of the blocks: self-attention, cross-attention where there is one, feed-forward."""


class LoraSection(Section):
    """Low-rank adapters of the blocks in place of all weights, for fine-tuning from a checkpoint: see docs/finetuning.md."""

    rank: AtLeastOne = Field(default=16, le=65_536, description="rank of each adapter")
    alpha: Positive = Field(default=16.0, description="adapters are scaled by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="dropout before each adapter in training")
    target_modules: ListOf[str] = Field(
        default=LORA_TARGETS, min_length=1, description="how the names of the layers with adapters end, as in peft"
    )
    blocks: ListOf[Count] | None = Field(default=None, description="numbers of the blocks with adapters; null: all")


class DemoSection(Section):
    demo_every: Count = Field(default=2000, description="training steps between demos, from the first step on; 0: no demos")
    demo_steps: AtLeastOne = Field(default=48, le=MOST_STEPS, description="denoising steps of a demo, all levels together")
    num_demos: AtLeastOne = Field(default=2, description="samples in a demo")
    demo_cond: tuple[dict[str, Any], ...] = Field(default=(), strict=False, description="conditioning of each sample")
    demo_cfg_scales: ListOf[float] = Field(default=(1.0,), description="guidance scales to render")
    demo_cond_from_batch: bool = Field(default=False, description="take the conditioning from the batch in training")


class TrainingSection(Section):
    learning_rate: Positive | None = Field(default=None, description="constant learning rate; or give optimizer_configs")
    optimizer_configs: OptimizerConfigs | None = Field(default=None, description="optimizer and scheduler; over learning_rate")
    use_ema: bool = Field(default=True, description="keep an exponential moving average of the weights")
    ema_lengths: ListOf[Annotated[float, Field(ge=0.001, le=0.28)]] = Field(
        default=(),
        description="keep averages of these lengths too (EDM2: 0.05, 0.1), shares of the steps, and a snapshot of them with every "
        "checkpoint, from which `python -m snac_plugin ema` rebuilds any length",
    )
    pre_encoded: bool = Field(default=False, description="the dataset holds encoded latents, not audio")
    cfg_dropout_prob: Share = Field(default=0.1, description="share of samples that train without conditioning")
    condition_dropout: Either[Share, Share] = Field(
        default=0.0,
        description="share of samples that train without a condition, drawn for each alone, as guidance by condition needs it: "
        "a number, or an object with one for some ids; data and samples may leave out what is dropped so",
    )
    clip_grad_norm: Weight = Field(default=0.0, description="largest norm of the gradient; 0: --gradient-clip-val")
    clip_grad_deviations: Positive | None = Field(
        default=None,
        description="clip the gradient's norm at its running mean plus so many running standard deviations, in place of "
        "--gradient-clip-val; dualdiffusion takes 6; null: no",
    )
    p_one_shot: Share = Field(default=0.0, description="share of noise levels that are 1: the first step counts for more")
    mask_padding: bool = Field(
        default=True, description="leave padding out of the loss; true by default, unlike stable-audio-tools"
    )
    mask_padding_dropout: Share = Field(default=0.0, description="share of steps that train on padding all the same")
    timestep_sampler: PerLevel[TimestepSampler] = Field(
        default="uniform",
        description="distribution of t; of masked codes t is the share: uniform (MDLM) or cosine (MaskGIT); adaptive "
        "(dualdiffusion, for the head velocity) and time_warp (CDCD, for heads that predict codes) follow the learned uncertainty",
    )
    timestep_sampler_options: TimestepOptions = Field(default={}, description="its parameters")
    uncertainty: bool = Field(
        default=False,
        description="weigh the loss L at each level and noise level by a learned uncertainty u, L / exp(u) + u (EDM2); "
        "train/loss stays L",
    )
    validation_timesteps: ListOf[Share] = Field(
        default=(0.1, 0.3, 0.5, 0.7, 0.9), description="noise levels of the validation loss"
    )
    level_weights: dict[str, Weight] | None = Field(default=None, description="loss weight of each level")
    corruption: PerLevel[Share] = Field(default=0.0, description="share of codes replaced in context and finished levels")
    input_perturbation: PerLevel[Weight] = Field(
        default=0.0, description="noise in the network's input alone, as a share of the noise (Ning et al. 2023: 0.1)"
    )
    mask_spans: PerLevel[AtLeastOne] = Field(
        default=1, description="of masked codes: how many neighbours of a level are masked together (MAGNeT: 3)"
    )
    infill: InfillSection | None = Field(default=None, description="known frames within the chunks; null: none")
    lora: LoraSection | None = Field(default=None, description="train low-rank adapters alone; null: all weights")
    curriculum: tuple[CurriculumPhase, ...] | None = Field(
        default=None, strict=False, min_length=1, description="phases by global step"
    )
    demo: DemoSection = Field(default=DemoSection(), description="samples made in training")

    def timesteps(self, names: str) -> tuple[tuple[TimestepSampler, dict[str, float]], ...]:
        """(sampler, its options) of each level, coarsest first; "uniform" for levels left out."""
        default: TimestepSampler = "uniform"
        samplers = spread(self.timestep_sampler, names, default, "training.timestep_sampler")
        options: Any = self.timestep_sampler_options
        by_level = options_by_level(options)
        per_level = spread(options if by_level else None, names, {} if by_level else options, "training.timestep_sampler_options")
        return tuple(zip(samplers, per_level, strict=True))

    def condition_dropouts(self, ids: Sequence[str]) -> dict[str, float]:
        """Share of samples without each condition, by id."""
        shares = self.condition_dropout
        return {name: shares.get(name, 0.0) if isinstance(shares, dict) else shares for name in sorted(ids)}

    def weights(self, names: str) -> tuple[float, ...]:
        return spread(self.level_weights, names, 1.0, "training.level_weights")

    def perturbations(self, names: str) -> tuple[float, ...]:
        return spread(self.input_perturbation, names, 0.0, "training.input_perturbation")

    def spans(self, names: str) -> tuple[int, ...]:
        return spread(self.mask_spans, names, 1, "training.mask_spans")

    def corruptions(self, names: str) -> tuple[float, ...]:
        return spread(self.corruption, names, 0.0, "training.corruption")
