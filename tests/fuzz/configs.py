"""Configs to change: together they have every key of a training and of a network at least once."""

from typing import Any

CONDITIONS = [
    {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
    {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}},
    {"id": "key", "type": "list", "config": {"options": ["A minor", "C major"]}},
    {"id": "position", "type": "chunk_position", "config": {"most_chunks": 4}},
]
ADAM = {"type": "AdamW", "config": {"lr": 0.001, "betas": [0.9, 0.999], "weight_decay": 0.001}}
RICH_TRAINING: dict[str, Any] = {
    "use_ema": True, "corruption": 0.1, "condition_dropout": 0.1, "clip_grad_norm": 1.0, "cfg_dropout_prob": 0.1, "p_one_shot": 0.1,
    "timestep_sampler": {"A": "time_warp", "B": "trunc_logit_normal", "C": "log_snr"},
    "timestep_sampler_options": {"A": {"warmup": 1, "floor": 0.1}, "B": {"shift": 1.0}}, "mask_padding": True,
    "validation_timesteps": [0.1, 0.5], "level_weights": {"A": 2.0}, "uncertainty": True, "ema_lengths": [0.05, 0.1],
    "clip_grad_deviations": 6.0, "input_perturbation": {"A": 0.1, "C": 0.2},
    "infill": {"share": 0.5, "gaps": {"prefix": 1.0, "spans": 2.0}, "span": 2, "length": [0.2, 0.8], "after": 0.5},
    "optimizer_configs": {"diffusion": {
        "optimizer": ADAM, "scheduler": {"type": "InverseLR", "config": {"inv_gamma": 1000, "power": 0.5, "warmup": 0.9}},
    }},
    "curriculum": [
        {"name": "a", "steps": 1, "levels": "AB", "context": {"0": 1.0}, "level_weights": {"B": 0.5}, "learning_rate_scale": 0.5,
         "infill_share": 0.2},
        {"name": "all", "steps": None, "context": {"0": 0.5, "1": 0.5}},
    ],
    "demo": {"demo_every": 1000, "demo_steps": 4, "num_demos": 1, "demo_cfg_scales": [1.5], "demo_cond": [
        {"style": "house", "tempo": 120, "key": "A minor"},
    ]},
}  # fmt: skip
METADATA = 'def get_custom_metadata(info, audio):\n    return {"style": "house", "tempo": 120, "key": "A minor"}\n'

RICH: dict[str, Any] = {
    "head": "logits", "context_chunks": 1, "patch": {"C": 2, "D": 4}, "read_out": "code", "long_skips": True, "dropout": 0.1,
    "level_adapter_rank": 2, "visibility": {"within": {"C": ["A"]}, "context": {"D": ["D"]}},
    "sampling": {"steps": 4, "sampler": {"A": "pingpong-codes", "B": "euler", "C": "pingpong-codes"}, "temperature": {"A": 0.9},
                 "top_p": 0.9, "added_noise": {"B": 0.2}, "cfg_scale": 1.5, "cfg_rescale": 0.5, "cfg_schedule": "rising"},
}  # fmt: skip
MASKED: tuple[dict[str, Any], dict[str, Any]] = (
    {"mask_spans": {"C": 2, "D": 3}, "timestep_sampler": "cosine", "corruption": {"A": 0.1}, "infill": {"share": 0.5}},
    {"objective": "masked", "head": "logits", "backbone": "magnitude-preserving", "patch": "frame", "read_out": "code",
     "sampling": {"steps": 4, "sampler": "masked-halton", "remask": 0.1, "confidence_noise": {"A": 2.0}}},
)  # fmt: skip
VELOCITY: tuple[dict[str, Any], dict[str, Any]] = (
    {"uncertainty": True, "timestep_sampler": "adaptive", "timestep_sampler_options": {"scale": 1.0, "warmup": 1, "floor": 0.1},
     "mask_padding_dropout": 0.1, "clip_grad_deviations": 3.0},
    {"objective": "v", "head": "velocity", "backbone": "x-transformers", "patch": {"D": 2}, "context_chunks": 1,
     "sampling": {"steps": 4, "sampler": "dpmpp-3m-sde", "shift": {"A": 1.5}}},
)  # fmt: skip
