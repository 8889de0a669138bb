"""Custom metadata for stable-audio-tools' `pre_encoded` datasets: when a random crop begins and ends in its track.

stable-audio-tools cuts the codes and leaves the times of the whole track. In a dataset config:
`"custom_metadata_module": "PATH/OF/THIS/FILE"`. The file is loaded outside its package, so it imports only the standard library.
"""

import math
from typing import Any


def get_custom_metadata(info: dict[str, Any], audio: Any) -> dict[str, Any]:
    """`seconds_start` and `timestamps` of the crop, reckoned as stable-audio-tools does for audio; nothing without a crop."""
    encoding, start = info.get("encoding"), info.get("latent_crop_start")
    if encoding is None or start is None:
        return {}
    length = info["latent_crop_length"]
    whole = max(encoding["frames"], length)
    return {
        "seconds_start": math.floor(start / encoding["frames_per_second"]),
        "timestamps": (start / whole, (start + length) / whole),
    }
