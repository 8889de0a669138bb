"""Where a codec lies: in this package, in a folder, or on the hub. Imports nothing heavy."""

import json
import os
import re
from pathlib import Path
from typing import Any

from snac_plugin.errors import CodecError, did_you_mean

SHIPPED = Path(__file__).parent / "shipped"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def shipped_codecs() -> list[str]:
    """Names of the codecs in this package."""
    return sorted(config.parent.name for config in SHIPPED.glob("*/config.json"))


def check_name(name: str) -> Path | None:
    """The folder of a codec, or None for one of the hub, by the name and with the errors of `load_codec`; asks no hub."""
    folder = SHIPPED / name if name in shipped_codecs() else Path(os.path.expanduser(name))
    if os.path.isdir(folder):  # unlike pathlib's, false of a name that is too long
        _in_folder(folder)
        return folder
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name):
        return None
    expected = f"a shipped codec ({', '.join(shipped_codecs())}), a folder that exists, or a hub id such as owner/name"
    raise CodecError("codec", repr(name), expected, did_you_mean(name, shipped_codecs()))


def locate(name: str) -> tuple[Path, Path]:
    """The config file and the weights file of a codec, by the name and with the errors of `load_codec`."""
    folder = check_name(name)
    return _from_hub(name) if folder is None else _in_folder(folder)


def read_contents(path: Path) -> dict[str, Any]:
    """What a codec's config.json says, unchecked; a CodecError if it is no JSON object."""
    try:
        contents = json.loads(path.read_text())
    except OSError as error:
        raise CodecError(str(path), f"a file that cannot be read ({error.strerror})", "a SNAC config.json") from error
    except ValueError as error:
        raise CodecError(str(path), f"broken JSON ({error})", "a SNAC config.json", "Fetch the file again.") from error
    if not isinstance(contents, dict):
        raise CodecError(str(path), f"a {type(contents).__name__}", "a JSON object with SNAC's constructor arguments")
    return contents


def _in_folder(folder: Path) -> tuple[Path, Path]:
    config = folder / "config.json"
    weights = [folder / file for file in WEIGHT_FILES if (folder / file).is_file()]
    if not config.is_file() or not weights:
        lacking = "config.json" if not config.is_file() else "pytorch_model.bin or model.safetensors"
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise CodecError(str(folder), found, f"a codec's folder with {lacking}", "Copy the file there from where the codec came.")
    return config, weights[0]


def _from_hub(name: str) -> tuple[Path, Path]:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    files = ("config.json", "pytorch_model.bin")
    try:
        config, weights = (Path(hf_hub_download(repo_id=name, filename=file)) for file in files)
    except RepositoryNotFoundError as error:
        shipped = ", ".join(shipped_codecs())
        raise CodecError("codec", f"{name!r}, which the hub does not have", f"a hub id, a folder, or one of {shipped}") from error
    except (OSError, ValueError, HfHubHTTPError) as error:
        cache, reason = Path(constants.HF_HUB_CACHE).expanduser(), str(error).partition("\n")[0] or type(error).__name__
        found = f"{name!r}, whose {' and '.join(files)} are neither on the hub ({reason}) nor in its cache ({cache})"
        advice = f'Without a network: download both files of {name} into a folder and give the folder as "codec", or use the '
        advice += 'codec that ships with this package, "snac_tiny_32khz".'
        raise CodecError("codec", found, "a codec within reach", advice) from error
    return config, weights
