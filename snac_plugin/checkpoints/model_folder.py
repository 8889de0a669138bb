"""A folder that is a model: weights, model config and card, as stable-audio-tools' models lie on the hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.places import CONFIG, WEIGHTS
from snac_plugin.files import write_whole

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

```sh
python generate.py --ckpt {place} --out output --seed 1
```

```python
import snac_plugin

audio = snac_plugin.load_model("{place}").generate(seconds=20, seed=1)

import stable_audio_tools  # with snac_plugin installed

model, config = stable_audio_tools.get_pretrained_model("{place}")
```

To be said by who hands it on: the music it was trained on, its licence, what it is good for and what not.
"""


def write_beside(weights: Path, config: Mapping[str, Any], codec: Mapping[str, str] | None, count: int, steps: int) -> None:
    """Write config and card beside the weights of a model; a card that is there stays.

    Args:
        codec: its "name" and "fingerprint".
        count: of the weights.
        steps: of training, 0 if unknown.
    """
    assert weights.name in WEIGHTS
    folder = weights.parent
    write_whole(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    if (folder / "README.md").exists():
        return
    network, ids = config["model"]["diffusion"]["config"], [each["id"] for each in _conditions(config)]
    chunks = network.get("context_chunks", 2) + 1
    about = {
        "codec": (codec or {}).get("name") or config["model"]["pretransform"]["config"]["codec"],
        "fingerprint": (codec or {}).get("fingerprint", "unknown"),
        "weights": count / 1e6,
        "steps": f", trained for {steps:,} steps" if steps else "",
        "rate": config["sample_rate"],
        "chunk": config["sample_size"] / chunks / config["sample_rate"],
        "context": chunks - 1,
        "conditions": ", ".join(ids) or "none",
    }
    write_whole(folder / "README.md", CARD.format(name=folder.resolve().name, place=folder, **about))


def _conditions(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((config["model"].get("conditioning") or {}).get("configs", []))
