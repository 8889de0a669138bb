"""A folder that is a model: weights, model config and card, as stable-audio-tools' models lie on the hub."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.notes import codec_note
from snac_plugin.checkpoints.places import CONFIG, WEIGHTS
from snac_plugin.config.condition_values import single
from snac_plugin.files import write_whole
from snac_plugin.wording import counted

CARD = """---
library_name: snac_plugin
pipeline_tag: text-to-audio
tags:
- audio
- music
- snac
- stable-audio-tools
---

# {name}

A diffusion transformer over the codes of the SNAC codec `{codec}` (fingerprint `{fingerprint}`), which is not in this folder:
{weights:.1f} M weights{steps}, {rate:,} Hz, chunks of {chunk:.2f} s with {context} of context, conditions: {conditions}.

In the folder that holds this one:

```sh
python generate.py --ckpt {word} --out output --seed 1{flags}
```

```python
import snac_plugin

audio = snac_plugin.load_model({text}).generate(seconds=20, seed=1{argument})

import stable_audio_tools  # with snac_plugin installed

model, config = stable_audio_tools.get_pretrained_model({text})
```

To be said by who hands it on: the music it was trained on, its licence, what it is good for and what not.
"""


def write_beside(
    weights: Path,
    model: Any,
    config: Mapping[str, Any],
    codec: Mapping[str, str] | None,
    steps: int,
    example: Mapping[str, Any],
) -> None:
    """Write config and card beside the weights of a model; a card that is there stays.

    Args:
        model: the `SnacDiffusion` that they are of.
        config: the model's, as it was read.
        codec: its "name" and "fingerprint".
        steps: of training, 0 if unknown.
        example: a value of each condition that the model needs, for the card's commands.
    """
    assert weights.name in WEIGHTS
    folder = weights.parent
    write_whole(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    if (folder / "README.md").exists():
        return
    conditioning, network = model.config.model.conditioning, model.model.network.config
    noted = codec or codec_note(model)
    name = folder.resolve().name
    about = {
        "name": name,
        "word": shlex.quote(name),
        "text": json.dumps(name, ensure_ascii=False),
        "codec": noted["name"],
        "fingerprint": noted["fingerprint"],
        "weights": sum(weight.numel() for weight in model.model.parameters()) / 1e6,
        "steps": f", trained for {counted(steps, 'step')}" if steps else "",
        "rate": model.sample_rate,
        "chunk": model.chunk_samples / model.sample_rate,
        "context": network.context_chunks,
        "conditions": ", ".join(one.id for one in (conditioning.configs if conditioning else ())) or "none",
        "flags": "".join(f" \\\n    --condition {_as_flag(name, value)}" for name, value in example.items()),
        "argument": f", conditioning={dict(example)!r}" if example else "",
    }
    write_whole(folder / "README.md", CARD.format(**about))


def _as_flag(name: str, value: Any) -> str:
    """A condition as the command line takes it; a mixture is an object."""
    value = single(value)
    text = ",".join(f"{one}:{share}" for one, share in value.items()) if isinstance(value, Mapping) else str(value)
    return shlex.quote(f"{name}={text}")
