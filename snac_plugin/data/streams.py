"""Streams of WebDataset shards, as stable-audio-tools reads them: what it would ask for again and again, for ever, is told."""

import logging
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from stable_audio_tools.data import dataset as theirs

from snac_plugin.errors import ConfigError, LostData

log = logging.getLogger(__name__)

FAULTS = 100
"""Shards or samples in a row that cannot be read, in one worker, before a training ends."""
ENDED = "cannot be read any more"
AWS = "the program aws, with access: aws s3 ls lists what is there"


class _Faults:
    """In place of stable-audio-tools' `log_and_continue`: goes on, but not for ever."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def __call__(self, error: Exception) -> bool:
        self.in_a_row += 1
        if self.in_a_row == 1:
            log.warning("Left out: %s", error)
        if self.in_a_row == FAULTS:
            raise RuntimeError(f"{ENDED}: {error}")
        return True

    def none(self, sample: Any) -> Any:
        self.in_a_row = 0
        return sample


class Stream:
    """stable-audio-tools' data loader of shards; LostData when none of them can be read any more."""

    def __init__(self, config: Mapping[str, Any], **common: Any) -> None:
        self.where = ", ".join(entry.get("s3_path") or entry["path"] for entry in config["datasets"])
        faults, usual = _Faults(), theirs.log_and_continue
        theirs.log_and_continue = faults
        try:
            self.loader = theirs.create_dataloader_from_config(config, **common)
        except FileNotFoundError:
            raise ConfigError("datasets", "no program aws", AWS) from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip() or f"status {error.returncode}"
            raise ConfigError("datasets", f"{self.where} ({said})", AWS) from None
        except ValueError as error:
            if "no shards" not in str(error):
                raise
            raise ConfigError("datasets", f"{self.where}, where no .tar file lies", "WebDataset shards") from None
        finally:
            theirs.log_and_continue = usual
        stages = self.loader.pipeline[0].dataset.pipeline
        stages.insert(3, theirs.wds.map(faults.none))  # behind shards, samples and what decodes them

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.loader
        except RuntimeError as error:
            if ENDED not in str(error):
                raise
            last = str(error).strip().splitlines()[-1]
            raise LostData(self.where, f"shards that {last[last.index(ENDED) :]}", "shards to train on") from None
