"""Custom metadata for stable-audio-tools' `audio_dir` datasets: adds what the JSON file beside an audio file says.

In a dataset config: `"custom_metadata_module": "PATH/OF/THIS/FILE"`. The file is loaded outside its package, so it imports only
the standard library.
"""

import json
from pathlib import Path
from typing import Any


def get_custom_metadata(info: dict[str, Any], audio: Any) -> dict[str, Any]:
    """`prompt`, `style`, `key`, `tempo`, ... of the audio file `info["path"]`; nothing if no JSON file lies beside it."""
    path = Path(info.get("path", "")).with_suffix(".json") if info.get("path") else None
    if path is None or not path.is_file():
        return {}
    metadata = json.loads(path.read_text(encoding="utf-8"))
    reserved = {"seconds", "sample_rate"}  # stable-audio-tools' own words for the crop
    return {key: value for key, value in metadata.items() if key not in reserved}
