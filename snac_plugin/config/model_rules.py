"""What has to fit together inside a model config, as far as that can be told without the codec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snac_plugin.config.error_messages import Problem, did_you_mean, show
from snac_plugin.config.model_keys import ConditioningSection, SnacModelConfig
from snac_plugin.config.network_keys import DiffusionSection, NetworkConfig, SamplingConfig
from snac_plugin.config.training_keys import TIMESTEP_OPTIONS, DemoSection, OptimizerEntry, TrainingSection
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, SAMPLERS

# fmt: off
OPTIMIZERS = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "FusedAdam", "LBFGS", "NAdam", "RAdam", "RMSprop",
    "Rprop", "SGD", "SparseAdam",
)
SCHEDULERS = (
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "InverseLR",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR",
    "StepLR",
)
# fmt: on
"""Names that stable-audio-tools finds: torch's own, FusedAdam (DeepSpeed) and its InverseLR."""

NETWORK = "model.diffusion.config"
COND_INPUTS = {
    "cross_attention_cond_ids": "cond_token_dim",
    "global_cond_ids": "global_cond_dim",
    "prepend_cond_ids": "prepend_cond_dim",
    "input_concat_ids": "input_concat_dim",
}
"""Which key of the network says how many channels the conditioners of a list have."""

SUMMED = ("global_cond_ids", "input_concat_ids")  # these join on the channel axis, the others on the sequence axis
OWN_WIDTH = ("snac_context",)  # conditioners whose output goes through the network's own input projections


def model_problems(config: SnacModelConfig) -> Iterator[Problem]:
    """Everything in a well-formed model config that does not fit together."""
    yield from _network_problems(config.model.diffusion.config)
    diffusion = config.model.diffusion
    yield from _sampling_problems(diffusion.config.sampling, diffusion.diffusion_objective, diffusion.config.head)
    yield from _conditioning_problems(config.model.diffusion, config.model.conditioning)
    if config.training is not None:
        yield from _optimizer_problems(config.training)
        yield from _timestep_problems(config.training)
        yield from _curriculum_problems(config.training, config.model.diffusion.config.context_chunks)
        yield from _demo_problems(config.training.demo, config.model.conditioning)


def _network_problems(network: NetworkConfig) -> Iterator[Problem]:
    dim, heads = network.dim, network.num_heads
    if dim % heads or dim // heads % 2:
        fitting = [count for count in range(1, dim + 1) if dim % count == 0 and dim // count % 2 == 0]
        close = sorted(sorted(fitting, key=lambda count: abs(count - heads))[:3])
        expected = f"heads that split dim {dim} into heads of an even width (rotary positions turn pairs)"
        advice = f"For dim {dim}: {' or '.join(map(str, close))}." if close else "Make dim even."
        yield Problem(f"{NETWORK}.num_heads", show(heads), expected, advice)


def _sampling_problems(sampling: SamplingConfig, objective: str, head: str) -> Iterator[Problem]:
    allowed, where = SAMPLERS[objective], f"{NETWORK}.sampling.sampler"
    sampler = sampling.sampler
    named = [(where, sampler)] if isinstance(sampler, str) else [(f"{where}.{level}", name) for level, name in sampler.items()]
    for path, name in named:
        if name not in allowed:
            other = next((key for key, names in SAMPLERS.items() if name in names), None)
            advice = f"{show(name)} is for objective {show(other)}." if other else did_you_mean(name, allowed)
            yield Problem(path, show(name), f"a sampler of objective {objective}: {', '.join(allowed)}", advice)
        elif name == CODE_SAMPLER and head == "velocity":
            yield Problem(
                path,
                show(name),
                "another sampler for head velocity",
                "It draws codes, which logits and posterior predict: take one of these heads, or euler.",
            )
    yield from _temperature_problems(sampling)
    low, high = sampling.cfg_interval
    if low >= high:
        yield Problem(f"{NETWORK}.sampling.cfg_interval", show([low, high]), "two noise levels, the smaller first")


def _temperature_problems(sampling: SamplingConfig) -> Iterator[Problem]:
    """A temperature where no codes are drawn would do nothing."""
    where, expected = f"{NETWORK}.sampling.temperature", f"a sampler that draws codes beside it: {CODE_SAMPLER}"
    temperature, sampler = sampling.temperature, sampling.sampler
    if not isinstance(temperature, Mapping):
        if temperature != 1 and CODE_SAMPLER not in ([sampler] if isinstance(sampler, str) else sampler.values()):
            yield Problem(where, show(temperature), expected)
        return
    for level, value in temperature.items():
        if value != 1 and (sampler if isinstance(sampler, str) else sampler.get(level)) != CODE_SAMPLER:
            yield Problem(f"{where}.{level}", show(value), expected)


def _conditioning_problems(diffusion: DiffusionSection, conditioning: ConditioningSection | None) -> Iterator[Problem]:
    widths = {c.id: c.config.get("output_dim", conditioning.cond_dim) for c in conditioning.configs} if conditioning else {}
    kinds = {c.id: c.type for c in conditioning.configs} if conditioning else {}
    if conditioning and len(kinds) < len(conditioning.configs):
        yield Problem("model.conditioning.configs", "the same id twice", "an id of its own for each conditioner")
    for key, dim_key in COND_INPUTS.items():
        ids: tuple[str, ...] = getattr(diffusion, key)
        unknown = [(index, name) for index, name in enumerate(ids) if name not in kinds]
        for index, name in unknown:
            expected = f"an id of model.conditioning.configs: {', '.join(kinds) or 'there is none'}"
            yield Problem(f"model.diffusion.{key}[{index}]", show(name), expected, did_you_mean(name, kinds))
        if not unknown:
            channels = [widths[name] for name in ids if kinds[name] not in OWN_WIDTH]
            yield from _width_problem(key, dim_key, channels, getattr(diffusion.config, dim_key))


def _width_problem(key: str, dim_key: str, channels: list[int], found: int) -> Iterator[Problem]:
    if key in SUMMED:
        expected = sum(channels)
    elif len(set(channels)) > 1:
        yield Problem(f"model.diffusion.{key}", f"conditioners of {show(channels)} channels", "conditioners of equal width")
        return
    else:
        expected = channels[0] if channels else 0
    if found != expected:
        yield Problem(f"{NETWORK}.{dim_key}", show(found), f"{expected}, the channels of model.diffusion.{key}")


def _optimizer_problems(training: TrainingSection) -> Iterator[Problem]:
    if training.optimizer_configs is None:
        if training.learning_rate is None:
            yield Problem("training", "neither learning_rate nor optimizer_configs", "one of them")
        return
    if training.learning_rate is not None:
        yield Problem(
            "training.learning_rate", show(training.learning_rate), "no such key beside optimizer_configs", "Set lr there."
        )
    yield from optimizer_problems("training.optimizer_configs.diffusion", training.optimizer_configs.diffusion)


def optimizer_problems(where: str, entry: OptimizerEntry) -> Iterator[Problem]:
    """Names of an optimizer and its scheduler that stable-audio-tools would not find."""
    if entry.optimizer.type not in OPTIMIZERS:
        name = entry.optimizer.type
        yield Problem(f"{where}.optimizer.type", show(name), "an optimizer of torch.optim", did_you_mean(name, OPTIMIZERS))
    if entry.scheduler is not None and entry.scheduler.type not in SCHEDULERS:
        name = entry.scheduler.type
        expected = "InverseLR or a scheduler of torch.optim.lr_scheduler"
        yield Problem(f"{where}.scheduler.type", show(name), expected, did_you_mean(name, SCHEDULERS))


def _timestep_problems(training: TrainingSection) -> Iterator[Problem]:
    levels = [*training.timestep_sampler] if isinstance(training.timestep_sampler, dict) else []
    levels += [key for key, value in training.timestep_sampler_options.items() if isinstance(value, dict) and key not in levels]
    letters = "".join(level for level in levels if len(level) == 1)
    if len(letters) < len(levels):
        return  # a level name that no codec has: told when the codec is known
    for level, (sampler, options) in zip(letters or "*", training.timesteps(letters or "*"), strict=True):
        nested = any(isinstance(value, dict) for value in training.timestep_sampler_options.values())
        where = f"training.timestep_sampler_options{f'.{level}' if nested else ''}"
        yield from _option_problems(where, sampler, options)


def _option_problems(where: str, sampler: str, options: Mapping[str, float]) -> Iterator[Problem]:
    known = TIMESTEP_OPTIONS[sampler]
    for key, value in options.items():
        if key not in known:
            expected = f"an option of {sampler}: {', '.join(known)}"
            yield Problem(f"{where}.{key}", f"an unknown key {show(key)}", expected, did_you_mean(key, known))
        elif key in ("shift", "std", "std_logsnr") and value <= 0:
            yield Problem(f"{where}.{key}", show(value), "a number greater than 0")
    left, right = options.get("left_trunc", 0.075), options.get("right_trunc", 1.0)
    if not 0 <= left < right <= 1:
        yield Problem(f"{where}.left_trunc", f"{show(left)} with right_trunc {show(right)}", "0 <= left_trunc < right_trunc <= 1")


def _curriculum_problems(training: TrainingSection, context_chunks: int) -> Iterator[Problem]:
    phases = training.curriculum or ()
    if training.curriculum is not None and not phases:
        yield Problem("training.curriculum", "[]", "at least one phase, or null")
    for index, phase in enumerate(phases):
        where = f"training.curriculum[{index}]"
        if phase.name in [other.name for other in phases[:index]]:
            yield Problem(f"{where}.name", show(phase.name), "a name of its own for each phase")
        if phase.steps is None and index < len(phases) - 1:
            yield Problem(f"{where}.steps", "null", "a number of steps", "Only the last phase may be open-ended.")
        known = [str(count) for count in range(context_chunks + 1)]
        for key in phase.context:
            if key not in known:
                expected = (
                    f"a number of context chunks: {', '.join(known)} (model.diffusion.config.context_chunks is {context_chunks})"
                )
                yield Problem(f"{where}.context.{key}", show(key), expected)
        total = sum(phase.context.values())
        if abs(total - 1) > 1e-6:
            yield Problem(f"{where}.context", f"probabilities that sum to {total:g}", "probabilities that sum to 1")
        if phase.levels == "":
            yield Problem(f"{where}.levels", '""', "at least one level, or null for all")


def _demo_problems(demo: DemoSection, conditioning: ConditioningSection | None) -> Iterator[Problem]:
    if demo.demo_cond and len(demo.demo_cond) != demo.num_demos:
        yield Problem(
            "training.demo.demo_cond", f"{len(demo.demo_cond)} entries", f"one for each of the num_demos {demo.num_demos}"
        )
    if conditioning is None or not conditioning.configs or demo.demo_cond_from_batch:
        return
    ids = [c.id for c in conditioning.configs if c.type not in OWN_WIDTH]
    if ids and not demo.demo_cond:
        advice = "Or set demo_cond_from_batch."
        yield Problem("training.demo.demo_cond", "[]", f"{demo.num_demos} objects with the keys {', '.join(ids)}", advice)
    for index, entry in enumerate(demo.demo_cond):
        for name in ids:
            if name not in entry and conditioning.default_keys.get(name) not in entry:
                yield Problem(f"training.demo.demo_cond[{index}]", f"no key {show(name)}", "the id of every conditioner")
