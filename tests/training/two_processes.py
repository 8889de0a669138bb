"""Train tiny models in two processes: two by hand, of which each process says what it ends with, and one by each command given.

One start for all of them: two processes take longer to import than to train. The commands are a JSON list of flags of `train`.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytorch_lightning as pl
import torch
from codec_runs import codec_config
from stable_audio_tools.models import create_model_from_config
from stable_audio_tools.training.factory import create_training_wrapper_from_config
from tiny import tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.cli import main
from snac_plugin.cli.lightning_trainer import strategy

STEPS = {"autoencoder": 6, "diffusion_snac_dit": 4}
CURRICULUM = [{"name": "coarse", "steps": 2, "levels": "AB", "context": {"0": 1.0}}, {"name": "all", "context": {"1": 1.0}}]


def by_hand(kind: str, folder: Path) -> None:
    pl.seed_everything(1)
    if kind == "autoencoder":
        config = codec_config()
    else:
        codec = folder / f"codec_{os.environ.get('LOCAL_RANK', '0')}"
        config = tiny_model_config(write_tiny_codec(codec), context_chunks=1)
        config["training"]["curriculum"] = CURRICULUM
        adam = {"type": "AdamW", "config": {"lr": 0.01, "weight_decay": 0.5}}
        config["training"]["optimizer_configs"] = {"diffusion": {"optimizer": adam}}
    wrapper = create_training_wrapper_from_config(config, create_model_from_config(config))
    generator = torch.Generator().manual_seed(0)
    audio = [(torch.rand(1, config["sample_size"], generator=generator) - 0.5, {}) for _ in range(32)]
    mine = audio[int(os.environ.get("LOCAL_RANK", "0")) :: 2]
    loader = torch.utils.data.DataLoader(
        mine, batch_size=2, collate_fn=lambda items: (torch.stack([a for a, _ in items]), [{}, {}])
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy("auto", getattr(wrapper, "finds_unused_weights", False), 2),
        max_steps=STEPS[kind],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(wrapper, loader)
    weights = {name: weight.detach().clone() for name, weight in wrapper.state_dict().items()}
    torch.save({"steps": trainer.global_step, "weights": weights}, folder / f"{kind}_{trainer.global_rank}.pt")


if __name__ == "__main__":
    snac_plugin.register()
    torch.set_num_threads(1)
    where = Path(sys.argv[1])
    for flags in json.loads((where / "commands.json").read_text()):  # first: a command must start its second process itself
        if status := main(["train", *flags]):
            sys.exit(status)
    os.environ.pop("PL_GLOBAL_SEED", None)
    for kind in STEPS:
        by_hand(kind, where)
