"""The model config of a SNAC codec in training: `model_type` autoencoder with `snac` and `snac_rvq` parts."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from snac_plugin.config.optimizers import OptimizerEntry
from snac_plugin.config.section import AtLeastOne, Count, ListOf, Positive, Section, Share, Weight

Rates = Annotated[tuple[AtLeastOne, ...], Field(strict=False, min_length=1)]


class EncoderConfig(Section):
    encoder_dim: AtLeastOne | None = Field(default=None, description="channels of the first layer; each rate doubles them")
    encoder_rates: Rates | None = Field(default=None, description="strides; their product is the samples of a finest code")
    attn_window_size: AtLeastOne | None = Field(default=32, description="finest codes in a window of attention; null: no attention")
    depthwise: bool = Field(default=True, description="convolve each channel on its own")
    pad_to: AtLeastOne | None = Field(default=None, description="pad audio to a multiple; null: what the codec needs")


class DecoderConfig(Section):
    decoder_dim: AtLeastOne | None = Field(default=None, description="channels of the first layer; each rate halves them")
    decoder_rates: Rates | None = Field(default=None, description="strides; the same product as encoder_rates")
    attn_window_size: AtLeastOne | None = Field(default=32, description="as the encoder's")
    noise: bool = Field(default=True, description="with SNAC's noise blocks")
    depthwise: bool = Field(default=True, description="as the encoder's")
    latent_dim: AtLeastOne | None = Field(default=None, description="as model.latent_dim; null: taken from there")


class BottleneckConfig(Section):
    codebook_size: AtLeastOne = Field(default=4096, description="codes of each level")
    codebook_dim: AtLeastOne = Field(default=8, description="dimensions of a code vector")
    vq_strides: Rates | None = Field(default=None, description="finest codes per code of each level, coarsest first")
    latent_dim: AtLeastOne | None = Field(default=None, description="as model.latent_dim; null: taken from there")
    codebook_starts: ListOf[Count] | None = Field(
        default=None, description="steps at which codebooks start from data; null: at 0, or never with model.pretrained"
    )
    start_vectors: Annotated[AtLeastOne, Field(le=1_000_000)] | None = Field(
        default=None, description="vectors of the coarsest level that such a start uses; null: 16 for each code, 8192 at most"
    )
    warmup_noise: Weight = Field(default=0.35, description="noise in place of the codebooks before their first start")
    level_dropout: Share | ListOf[Share] = Field(
        default=0.0, description="share of examples decoded from their first 1, 2, ... levels only; or [share of 1, of 2, ...]"
    )
    visits: Positive = Field(default=4.0, description="how many of the vectors that chose it a code averages over")
    keep_lengths: bool | None = Field(
        default=None, description="code vectors keep their lengths; null: true with model.pretrained, else false"
    )


class CodecPart(Section):
    requires_grad: bool = Field(default=True, description="train it; false: its weights stay as they are")


class EncoderSection(CodecPart):
    type: Literal["snac"] = Field(description="the encoder's type")
    config: EncoderConfig = Field(default=EncoderConfig(), description="its geometry")


class DecoderSection(CodecPart):
    type: Literal["snac"] = Field(description="the decoder's type")
    config: DecoderConfig = Field(default=DecoderConfig(), description="its geometry")


class BottleneckSection(CodecPart):
    type: Literal["snac_rvq"] = Field(description="the bottleneck's type")
    config: BottleneckConfig = Field(default=BottleneckConfig(), description="its geometry, and how it trains")


class CodecSection(Section):
    pretrained: str | None = Field(
        default=None, min_length=1, description="start from a codec: hub id, folder with config.json and weights, or a shipped one"
    )
    encoder: EncoderSection = Field(description="audio to latents")
    bottleneck: BottleneckSection = Field(description="latents to codes")
    decoder: DecoderSection = Field(description="latents to audio")
    latent_dim: AtLeastOne | None = Field(default=None, description="encoder_dim * 2 ** rates; null: computed")
    downsampling_ratio: AtLeastOne | None = Field(default=None, description="product of encoder_rates; null: computed")
    io_channels: Literal[1] = Field(default=1, description="1: SNAC is mono")

    parts: ClassVar = ("encoder", "bottleneck", "decoder")

    @property
    def codebook_starts(self) -> tuple[int, ...]:
        """Steps at which codebooks start from data."""
        starts = self.bottleneck.config.codebook_starts
        return starts if starts is not None else (0,) if self.pretrained is None else ()


class CodecOptimizers(Section):
    autoencoder: OptimizerEntry = Field(description="optimizer and scheduler of the codec")
    discriminator: OptimizerEntry | None = Field(default=None, description="of the discriminator")


class AdversarialWeights(Section):
    adversarial: Weight = Field(description="weight of the adversarial loss")
    feature_matching: Weight = Field(description="weight of the distance of the discriminator's features")


class DiscriminatorLoss(Section):
    type: Literal["encodec", "oobleck", "dac", "big_vgan"] = Field(description="stable-audio-tools' name of the discriminator")
    config: dict[str, Any] = Field(description="arguments of its constructor")
    weights: AdversarialWeights = Field(description="weights of its losses")


class SpectralWeights(Section):
    mrstft: Weight = Field(description="weight of the loss")


class SpectralLoss(Section):
    type: Literal["mrstft"] = Field(default="mrstft", description="multi-resolution spectrograms")
    config: dict[str, Any] = Field(description="fft_sizes, hop_sizes, win_lengths, perceptual_weighting, ...")
    weights: SpectralWeights = Field(description="weight of the loss")
    decay: Positive = Field(default=1.0, description="factor on the weight, each step")


class MelLoss(Section):
    config: dict[str, Any] = Field(description="n_mels, window_lengths, pow, log_weight, mag_weight")
    weights: dict[Literal["mrmel"], Weight] = Field(description="mrmel")


class TimeLoss(Section):
    type: Literal["l1", "l2"] = Field(default="l1", description="distance of samples")
    config: dict[str, Any] = Field(default={}, description="nothing")
    weights: dict[Literal["l1", "l2"], Weight] = Field(default={}, description="l1, l2")
    decay: Positive = Field(default=1.0, description="factor on the weight, each step")


class QuantiserLoss(Section):
    weights: dict[Literal["commitment", "centring"], Weight] = Field(description="commitment (1), centring (0.1)")


class LinesLoss(Section):
    weights: dict[Literal["lines"], Weight] = Field(description="lines: spectral lines at multiples of the finest codes' rate")


class LossConfigs(Section):
    spectral: SpectralLoss = Field(description="spectral loss")
    time: TimeLoss = Field(default=TimeLoss(), description="loss of the waveform")
    mrmel: MelLoss | None = Field(default=None, description="spectral loss on mel bands")
    discriminator: DiscriminatorLoss | None = Field(default=None, description="adversarial loss; null: none")
    bottleneck: QuantiserLoss | None = Field(default=None, description="weights of the quantiser's losses")
    lines: LinesLoss | None = Field(default=None, description="loss of the hum that a decoder leaves at its code rate; null: none")


class CodecDemo(Section):
    demo_every: Count = Field(default=2000, description="training steps between demos, from the first step on; 0: no demos")
    num_demos: AtLeastOne = Field(default=4, description="recordings in a demo")


class RateScales(Section):
    encoder: Weight = Field(default=1.0, description="factor on the encoder's learning rate, so that codebooks can follow it")
    projections: Weight = Field(default=1.0, description="factor on that of the projections to and from code vectors")
    decoder: Weight = Field(default=1.0, description="factor on the decoder's learning rate")


class CodecTraining(Section):
    learning_rate: Positive | None = Field(default=None, description="constant learning rate; or give optimizer_configs")
    optimizer_configs: CodecOptimizers | None = Field(default=None, description="optimizers and schedulers; over learning_rate")
    learning_rate_scales: RateScales = Field(default=RateScales(), description="parts of the codec at other rates")
    loss_configs: LossConfigs = Field(description="what is minimised")
    eval_loss_configs: dict[Literal["pesq", "stft", "sisdr", "mel"], dict[str, Any]] = Field(
        default={}, description="stable-audio-tools' measures in validation, each with its arguments"
    )
    use_ema: bool = Field(default=False, description="keep an exponential moving average of the weights")
    warmup_steps: Count = Field(default=0, description="steps before the codec learns from the discriminator")
    warmup_mode: Literal["adv", "full"] = Field(default="adv", description="full: the discriminator does not learn either")
    encoder_freeze_on_warmup: bool = Field(default=False, description="after warmup_steps the decoder alone learns")
    clip_grad_norm: Weight = Field(default=0.0, description="largest norm of the gradient; 0: --gradient-clip-val")
    start_from_data: bool = Field(default=True, description="scale new weights by data before the first step")
    compiled: bool = Field(default=False, description="fuse encoder and decoder with torch.compile; needs a C++ compiler on a CPU")
    demo: CodecDemo = Field(default=CodecDemo(), description="round trips made in training")


class CodecModelConfig(Section):
    model_type: Literal["autoencoder"] = Field(description="the model's type")
    sample_size: AtLeastOne = Field(description="audio samples of a training example")
    sample_rate: AtLeastOne = Field(description="audio samples per second")
    audio_channels: Literal[1] = Field(default=1, description="1: SNAC is mono")
    model: CodecSection = Field(description="what is built")
    training: CodecTraining | None = Field(default=None, description="how it is trained; null: not at all")
