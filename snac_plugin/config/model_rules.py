"""Check a model config of type `diffusion_snac_dit`: its keys, and what has to fit together, as far as needs no codec."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import Field

from snac_plugin.config.condition_checks import dropped_alone
from snac_plugin.config.conditioner_keys import conditioner_problems
from snac_plugin.config.model_keys import (
    ConditioningSection,
    PretransformSection,
    SnacModelConfig,
    conditions_missing,
    is_context,
)
from snac_plugin.config.network_keys import NOT_OF_BACKBONE, DiffusionSection, NetworkConfig, SamplingConfig
from snac_plugin.config.optimizers import optimizer_problems
from snac_plugin.config.training_keys import TIMESTEP_OPTIONS, DemoSection, TrainingSection, options_by_level
from snac_plugin.config.validation import Problem, not_one_of, show, validated
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, DRAWING, HEADS, LEARNT, MASKED_SAMPLERS, OWN_ADDED_NOISE, SAMPLERS
from snac_plugin.errors import did_you_mean

NETWORK = "model.diffusion.config"
COND_INPUTS = {
    "cross_attention_cond_ids": "cond_token_dim",
    "global_cond_ids": "global_cond_dim",
    "prepend_cond_ids": "prepend_cond_dim",
    "input_concat_ids": "input_concat_dim",
}
"""Which key of the network says how many channels the conditioners of a list have."""

LARGEST, MOST_WEIGHTS = 1_000_000, 1e11
"""A number in a network's config, and weights of a network, beyond which somebody has mistyped."""

LEAST_HEAD = 4
"""Width of an attention head; at 2 x-transformers' rotary positions divide by zero."""

SUMMED = ("global_cond_ids", "input_concat_ids")  # these join on the channel axis, the others on the sequence axis
SPATIAL = ("pretransform", "source_mix")  # conditioners that give channels for each frame [B, C, T]


class TrainablePretransform(PretransformSection):
    """`model.pretransform` of a model of any type: stable-audio-tools' own models may train their pretransform."""

    enable_grad: bool = Field(default=False, description="let gradients through, and train the codec")


def check_model_config(config: Mapping[str, Any], source: str = "model config") -> SnacModelConfig:
    """A model config of type `diffusion_snac_dit`, checked as far as goes without its codec; ConfigError with every problem."""
    return validated(SnacModelConfig, config, source, _problems)


def check_pretransform_config(section: Mapping[str, Any]) -> TrainablePretransform:
    """The `model.pretransform` of a model of any type, if its type is `snac_hierarchical`."""
    return validated(TrainablePretransform, section, "model config", within=("model", "pretransform"))


def _problems(config: SnacModelConfig) -> Iterator[Problem]:
    diffusion, training = config.model.diffusion, config.training
    if too_large := [*_size_problems(diffusion.config)]:  # the rules below count up to such numbers
        yield from too_large
        return
    yield from _network_problems(diffusion.config)
    yield from _sampler_problems(diffusion)
    yield from _unfollowed_problems(diffusion.config.sampling)
    low, high = diffusion.config.sampling.cfg_interval
    if low >= high:
        yield Problem(f"{NETWORK}.sampling.cfg_interval", show([low, high]), "two noise levels, the smaller first")
    yield from _conditioning_problems(diffusion, config.model.conditioning)
    if training is not None:
        yield from optimizer_problems(training.learning_rate, training.optimizer_configs)
        yield from _timestep_problems(training)
        yield from _learnt_timestep_problems(training, diffusion.config.head)
        yield from _noise_problems(training, diffusion.diffusion_objective)
        if training.ema_lengths and training.lora is not None:
            yield Problem("training.ema_lengths", show(list(training.ema_lengths)), "[] with training.lora: its adapters have none")
        yield from _infill_problems(training)
        if training.lora is not None and (backbone := diffusion.config.backbone) != "own":
            yield Problem("training.lora", f"the backbone {backbone}", "the backbone own: only its blocks take adapters")
        yield from _dropout_problems(training, config)
        yield from _curriculum_problems(training, diffusion.config.context_chunks)
        yield from _demo_problems(training.demo, config.model.conditioning, dropped_alone(config))


def _size_problems(network: NetworkConfig) -> Iterator[Problem]:
    """A network that no machine holds would be built until the memory is full."""
    if large := {name: value for name, value in network if isinstance(value, int) and value > LARGEST}:
        yield from (Problem(f"{NETWORK}.{name}", show(value), f"at most {LARGEST:,}") for name, value in large.items())
    elif (weights := network.depth * network.dim**2 * (4 + 3 * network.ff_mult)) > MOST_WEIGHTS:  # attention and feed-forward
        found = f"{network.depth} blocks of width {network.dim}: about {weights:.1e} weights"
        yield Problem(f"{NETWORK}.depth", found, f"at most {MOST_WEIGHTS:.0e} weights")


def _network_problems(network: NetworkConfig) -> Iterator[Problem]:
    dim, heads = network.dim, network.num_heads
    if dim % heads or dim // heads % 2 or dim // heads < LEAST_HEAD:
        fitting = [count for count in range(1, dim // LEAST_HEAD + 1) if dim % count == 0 and dim // count % 2 == 0]
        close = sorted(sorted(fitting, key=lambda count: abs(count - heads))[:3])
        expected = f"heads that split dim {dim} into heads of an even width from {LEAST_HEAD} (rotary positions turn pairs)"
        advice = f"For dim {dim}: {' or '.join(map(str, close))}." if close else f"Make dim even, {LEAST_HEAD} at least."
        yield Problem(f"{NETWORK}.num_heads", show(heads), expected, advice)
    for key in NOT_OF_BACKBONE[network.backbone]:
        if getattr(network, key) != NetworkConfig.model_fields[key].default:
            yield Problem(f"{NETWORK}.{key}", show(getattr(network, key)), f"no such key beside the backbone {network.backbone}")
    if network.read_out == "mixed" and network.backbone == "magnitude-preserving":
        yield Problem(f"{NETWORK}.read_out", show("mixed"), f"code or token beside the backbone {network.backbone}")


def _sampler_problems(diffusion: DiffusionSection) -> Iterator[Problem]:
    where, sampler = f"{NETWORK}.sampling.sampler", diffusion.config.sampling.sampler
    objective, head = diffusion.diffusion_objective, diffusion.config.head
    if head not in HEADS[objective]:
        problem = not_one_of(f"{NETWORK}.head", head, f"a head of objective {objective}", HEADS[objective])
        yield problem._replace(advice=f"Set it to {show(HEADS[objective][0])}, or take another diffusion_objective.")
    named = {where: sampler} if isinstance(sampler, str) else {f"{where}.{level}": name for level, name in sampler.items()}
    for path, name in named.items():
        if name not in SAMPLERS[objective]:
            other = next((key for key, names in SAMPLERS.items() if name in names), None)
            problem = not_one_of(path, name, f"a sampler of objective {objective}", SAMPLERS[objective])
            yield problem._replace(advice=f"{show(name)} is for objective {show(other)}.") if other else problem
        elif name == CODE_SAMPLER and head == "velocity":
            advice = "It draws codes, which logits and posterior predict: take one of these heads, or euler."
            yield Problem(path, show(name), "another sampler for head velocity", advice)


def _unfollowed_problems(sampling: SamplingConfig) -> Iterator[Problem]:
    """What a level's sampler does not follow would do nothing, a temperature where no codes are drawn for one."""
    drawing, noising = f"a sampler that draws codes beside it: {', '.join(DRAWING)}", " or ".join(OWN_ADDED_NOISE)
    for key, followers, idle, expected in (
        ("temperature", DRAWING, 1, drawing),
        ("top_p", DRAWING, 1, drawing),
        ("added_noise", tuple(OWN_ADDED_NOISE), None, f"the sampler {noising} beside it"),
    ):
        value, sampler = getattr(sampling, key), sampling.sampler
        for level, one in (value if isinstance(value, dict) else {"": value}).items():
            samplers: list[str | None] = [sampler] if isinstance(sampler, str) else [*sampler.values()]
            if level and isinstance(sampler, dict):
                samplers = [sampler.get(level, "euler")]
            if one != idle and not {*followers} & {*samplers}:
                yield Problem(f"{NETWORK}.sampling.{key}{f'.{level}' if level else ''}", show(one), expected)
    if not {*MASKED_SAMPLERS} & ({sampler} if isinstance(sampler, str) else {*sampler.values()}):
        for key in ("confidence_noise", "remask"):
            if key in sampling.model_fields_set:
                where, expected = f"{NETWORK}.sampling.{key}", "none: only the masked samplers follow it"
                yield Problem(where, show(getattr(sampling, key)), expected, "Those are for masked codes.")


def _conditioning_problems(diffusion: DiffusionSection, conditioning: ConditioningSection | None) -> Iterator[Problem]:
    configs = conditioning.configs if conditioning else ()
    if wrong := [problem for index, c in enumerate(configs) for problem in conditioner_problems(c.type, c.config, index)]:
        yield from wrong
        return
    kinds = {c.id: c.type for c in configs}
    widths = {c.id: c.config.get("output_dim") or conditioning.cond_dim for c in configs} if conditioning else {}
    if len(kinds) < len(configs):
        yield Problem("model.conditioning.configs", "the same id twice", "an id of its own for each conditioner")
    for key, dim_key in COND_INPUTS.items():
        ids: tuple[str, ...] = getattr(diffusion, key)
        for index, name in enumerate(ids):
            if name not in kinds:
                expected = f"an id of model.conditioning.configs: {', '.join(kinds) or 'there is none'}"
                yield Problem(f"model.diffusion.{key}[{index}]", show(name), expected, did_you_mean(name, kinds))
            elif expected := _misplaced(kinds[name], key):
                yield Problem(f"model.diffusion.{key}[{index}]", f"{show(name)}, a conditioner of type {kinds[name]}", expected)
        if not kinds.keys() >= set(ids):
            continue
        channels = [widths[name] for name in ids if not is_context(kinds[name])]
        if key not in SUMMED and len(set(channels)) > 1:
            yield Problem(f"model.diffusion.{key}", f"conditioners of {show(channels)} channels", "conditioners of equal width")
            continue
        total = sum(channels if key in SUMMED else channels[:1])
        if getattr(diffusion.config, dim_key) != total:
            expected = f"{total}, the channels of model.diffusion.{key}"
            yield Problem(f"{NETWORK}.{dim_key}", show(getattr(diffusion.config, dim_key)), expected)


def _misplaced(kind: str, key: str) -> str:
    """Where a conditioner of this type belongs, if it is not the list `key`."""
    if kind in SPATIAL and key != "input_concat_ids":
        return "it in input_concat_ids: it gives channels for each frame"
    if kind == "chunk_position" and key != "global_cond_ids":
        return "it in global_cond_ids: it differs from chunk to chunk"
    return "it in prepend_cond_ids: it gives the chunks before" if is_context(kind) and key != "prepend_cond_ids" else ""


def _dropout_problems(training: TrainingSection, config: SnacModelConfig) -> Iterator[Problem]:
    read, conditioning = config.model.diffusion.read_ids, config.model.conditioning
    known = [c.id for c in conditioning.configs if not is_context(c.type) and c.id in read] if conditioning else []
    for name in training.condition_dropout if isinstance(training.condition_dropout, dict) else ():
        if name not in known:
            yield not_one_of(f"training.condition_dropout.{name}", name, "one that model.diffusion reads", known)


def _timestep_problems(training: TrainingSection) -> Iterator[Problem]:
    by_level = options_by_level(training.timestep_sampler_options)
    levels = {*training.timestep_sampler} if isinstance(training.timestep_sampler, dict) else set()
    levels |= {*training.timestep_sampler_options} if by_level else set()
    if any(len(level) != 1 for level in levels):
        return  # no codec has a level of such a name: an error as soon as the codec is known
    names = "".join(sorted(levels)) or "*"
    for level, (sampler, options) in zip(names, training.timesteps(names), strict=True):
        where = f"training.timestep_sampler_options{f'.{level}' if by_level else ''}"
        yield from _timestep_option_problems(where, sampler, options)


def _timestep_option_problems(where: str, sampler: str, options: Mapping[str, float]) -> Iterator[Problem]:
    known = TIMESTEP_OPTIONS[sampler]
    for key, value in options.items():
        if key not in known:
            problem = not_one_of(f"{where}.{key}", key, f"an option of {sampler}", known)
            yield problem._replace(found=f"an unknown key {show(key)}")
        elif key in ("shift", "std", "std_logsnr") and value <= 0:
            yield Problem(f"{where}.{key}", show(value), "a number greater than 0")
        elif key == "scale" and not 0 < value <= 100:
            yield Problem(f"{where}.{key}", show(value), "a number above 0, at most 100")
        elif key == "warmup" and value < 0:
            yield Problem(f"{where}.{key}", show(value), "a number of steps of at least 0")
        elif key == "floor" and not 0 <= value < 1:
            yield Problem(f"{where}.{key}", show(value), "a share of at least 0 and below 1")
    left, right = options.get("left_trunc", 0.075), options.get("right_trunc", 1.0)
    if not 0 <= left < right <= 1:
        yield Problem(f"{where}.left_trunc", f"{show(left)} with right_trunc {show(right)}", "0 <= left_trunc < right_trunc <= 1")


def _learnt_timestep_problems(training: TrainingSection, head: str) -> Iterator[Problem]:
    """Cross-entropy is lowest where nothing is left to predict, and the error of velocities rises at both ends."""
    where, samplers = "training.timestep_sampler", training.timestep_sampler
    fitting = "adaptive" if head == "velocity" else "time_warp"
    for sampler in sorted({*LEARNT} & ({*samplers.values()} if isinstance(samplers, dict) else {samplers})):
        if not training.uncertainty:
            yield Problem(where, show(sampler), "training.uncertainty beside it", "It follows what that learns: set it to true.")
        if sampler != fitting:
            yield Problem(where, show(sampler), f"{show(fitting)} for the head {show(head)}", f"Set it to {show(fitting)}.")


def _noise_problems(training: TrainingSection, objective: str) -> Iterator[Problem]:
    """Masked codes have no noise, and codes under noise no masks."""
    perturbation, spans = training.input_perturbation, training.mask_spans
    masks = SAMPLERS[objective] == MASKED_SAMPLERS
    if masks and any(perturbation.values() if isinstance(perturbation, dict) else [perturbation]):
        expected, advice = "0: masked codes have no noise", "training.corruption replaces codes that the network sees."
        yield Problem("training.input_perturbation", show(perturbation), expected, advice)
    if not masks and any(span > 1 for span in (spans.values() if isinstance(spans, dict) else [spans])):
        advice = 'It goes with diffusion_objective "masked"; spans of known frames are training.infill.'
        yield Problem("training.mask_spans", show(spans), f"1: no codes are masked with objective {show(objective)}", advice)


def _infill_problems(training: TrainingSection) -> Iterator[Problem]:
    infill = training.infill
    if infill is not None and not sum(infill.gaps.values()):
        yield Problem("training.infill.gaps", "no kind of gap above 0", "at least one of prefix, suffix, middle, several, whole")
    if infill is not None and infill.length[0] > infill.length[1]:
        yield Problem("training.infill.length", show(list(infill.length)), "two shares of a chunk, the shorter first")


def _curriculum_problems(training: TrainingSection, context_chunks: int) -> Iterator[Problem]:
    phases = training.curriculum or ()
    known = [str(count) for count in range(context_chunks + 1)]
    for index, phase in enumerate(phases):
        where = f"training.curriculum[{index}]"
        if phase.name in [other.name for other in phases[:index]]:
            yield Problem(f"{where}.name", show(phase.name), "a name of its own for each phase")
        if phase.steps is None and index < len(phases) - 1:
            yield Problem(f"{where}.steps", "null", "a number of steps", "Only the last phase may be open-ended.")
        for key in phase.context:
            if key not in known:
                expected = f"a number of chunks up to context_chunks: {', '.join(known)}"
                yield Problem(f"{where}.context.{key}", show(key), expected, f"See {NETWORK}.context_chunks.")
        if phase.infill_share and training.infill is None:
            expected = "training.infill beside it, which says which frames are known"
            yield Problem(f"{where}.infill_share", show(phase.infill_share), expected)
        total = sum(phase.context.values())
        if abs(total - 1) > 1e-6:
            yield Problem(f"{where}.context", f"probabilities that sum to {total:g}", "probabilities that sum to 1")


def _demo_problems(demo: DemoSection, conditioning: ConditioningSection | None, left_out: Collection[str]) -> Iterator[Problem]:
    where = "training.demo.demo_cond"
    if demo.demo_cond and len(demo.demo_cond) != demo.num_demos:
        yield Problem(where, f"{len(demo.demo_cond)} entries", f"one for each of the num_demos {demo.num_demos}")
    if conditioning is None or demo.demo_cond_from_batch:
        return
    needed = [name for name in conditioning.needed if name not in left_out]
    if needed and demo.demo_every and not demo.demo_cond:
        expected = f"{demo.num_demos} objects with the keys {', '.join(needed)}"
        yield Problem(where, "[]", expected, "Or set demo_cond_from_batch.")
    for index, entry in enumerate(demo.demo_cond):
        for name in conditions_missing(entry, needed, conditioning.default_keys):
            yield Problem(
                f"{where}[{index}]", f"no key {show(name)}", "the id of every conditioner that training never drops alone"
            )
