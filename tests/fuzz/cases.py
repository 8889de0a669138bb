"""What is tried: each function does what a user's command does with one changed file. Silent: it succeeded, and should not have."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from codec_runs import codec_config
from codec_runs import prepare as prepare_codec
from configs import CONDITIONS, MASKED, METADATA, RICH, RICH_TRAINING, VELOCITY
from mutations import mutated, mutated_bytes
from small_runs import prepare, run

from snac_plugin import load_model
from snac_plugin.checkpoints.adapters import read_adapter
from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.codec.load import load_codec
from snac_plugin.codec_training.demo import CodecDemoCallback
from snac_plugin.config import load_json
from snac_plugin.data.audio import read_audio, read_part
from snac_plugin.data.audio_file import UnreadableAudio, audio_header
from snac_plugin.data.audio_folders import scan_audio
from snac_plugin.data.file_measures import measure
from snac_plugin.data.training_files import AudioFiles

RATE = 32000
Case = Callable[[np.random.Generator], str]


class Silent(Exception):
    """Something wrong was taken without a word."""


class Fuzz:
    """Files to change, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        logging.disable(logging.CRITICAL)
        self.plain, self.rich, self.codec = folder / "plain", folder / "rich", folder / "codec"
        for place in (self.plain, self.rich, self.codec):
            place.mkdir()
        self.flags = {"plain": prepare(self.plain, head="logits"), "rich": self._rich()}
        for kind, (training, options) in {"masked": MASKED, "velocity": VELOCITY}.items():
            place = folder / kind
            place.mkdir()
            self.flags[kind] = prepare(place, training, **options)
        self.flags["lora"] = ["--model-config", str(self.plain / "lora.json"), *self.flags["plain"][2:]]
        self.flags["codec"] = prepare_codec(self.codec, codec_config())
        for kind in ("rich", "masked", "velocity", "codec"):  # what is not changed trains
            run(self.flags[kind], folder / f"{kind}_run", "--max-steps", 2)
        self.newest = run(self.flags["plain"], self.plain / "run", "--max-steps", 2)
        lora = json.loads((self.plain / "model.json").read_text())
        lora["training"] |= {"lora": {"rank": 2, "alpha": 4.0, "dropout": 0.1}, "learning_rate": 0.01}
        (self.plain / "lora.json").write_text(json.dumps(lora))
        self.flags["lora"] += ["--pretrained-ckpt-path", str(self.newest)]
        run(self.flags["lora"], self.plain / "tuned", "--max-steps", 1)
        self._checkpoints()
        self._recordings()

    def _rich(self) -> list[str]:
        changes = {key: value for key, value in RICH_TRAINING.items() if key != "demo"}
        flags = prepare(self.rich, changes, **RICH)
        for name in ("model", "dataset"):
            path = self.rich / f"{name}.json"
            config = json.loads(path.read_text())
            if name == "model":
                config["model"]["conditioning"] = {"configs": CONDITIONS, "cond_dim": 16}
                config["model"]["diffusion"]["global_cond_ids"] = [each["id"] for each in CONDITIONS]
                config["model"]["diffusion"]["config"]["global_cond_dim"] = 64
                config["training"]["demo"] = RICH_TRAINING["demo"]
            else:
                config["datasets"][0]["custom_metadata_module"] = str(self.rich / "about.py")
            path.write_text(json.dumps(config))
        (self.rich / "about.py").write_text(METADATA)
        return flags

    def _checkpoints(self) -> None:
        from snac_plugin.checkpoints.writing import save_unwrapped

        read = read_checkpoint(self.newest)
        self.checkpoints = {"last.ckpt": self.newest.read_bytes()}
        model = load_model(self.newest)
        for name in ("a.safetensors", "b.ckpt"):
            save_unwrapped(model, self.folder / name, read.model_config, read.codec)
            self.checkpoints[name] = (self.folder / name).read_bytes()
        self.weights = read.state
        self.adapter = next((self.plain / "tuned" / "lora").rglob("*.safetensors"))
        self.checkpoints["adapter.safetensors"] = self.adapter.read_bytes()
        self.adapter_weights = read_adapter(self.adapter).weights

    def _recordings(self) -> None:
        random = np.random.default_rng(0)
        kinds = {
            "a.wav": ("WAV", "PCM_16"), "b.wav": ("WAV", "FLOAT"), "c.wav": ("WAVEX", "PCM_24"), "d.flac": ("FLAC", "PCM_16"),
            "e.mp3": ("MP3", None), "f.ogg": ("OGG", "VORBIS"), "g.opus": ("OGG", "OPUS"), "h.aif": ("AIFF", "PCM_16"),
        }  # fmt: skip
        self.recordings: dict[str, bytes] = {}
        for name, (form, subtype) in kinds.items():
            rate = 48000 if name.endswith("opus") else RATE
            soundfile.write(self.folder / name, random.uniform(-0.5, 0.5, (rate // 2, 2)), rate, subtype, format=form)
            self.recordings[name] = (self.folder / name).read_bytes()

    # Each of the following is one case: what was changed; the error that it ends in passes.

    def model_config(self, random: np.random.Generator) -> str:
        """Train a step or two with a changed model config, then make a sample."""
        kind = str(random.choice(["plain", "rich", "rich", "rich", "masked", "velocity", "lora", "codec"]))
        flags = list(self.flags[kind])
        self.note = ""
        config, self.note = mutated(json.loads(Path(flags[1]).read_text()), random)
        flags[1] = str(self._written("model.json", config))
        with patch.object(CodecDemoCallback, "on_train_batch_end", lambda *_: None):  # they take longer than all the rest
            newest = run(
                flags, self._fresh("run"), "--max-steps", 1 if kind in ("plain", "lora", "codec") else 2, "--logger", "none"
            )
        if kind != "codec":
            told = {"style": "house", "tempo": 120, "key": "A minor"} if kind == "rich" else {}
            ids = {each.get("id") for each in (config["model"].get("conditioning") or {}).get("configs", [])}
            conditioning = {key: value for key, value in told.items() if key in ids} or None
            load_model(newest).generate(seed=1, conditioning=conditioning, progress=False)
        return self.note

    def dataset_config(self, random: np.random.Generator) -> str:
        """Train a step with a changed dataset config."""
        kind = str(random.choice(["plain", "rich"]))
        flags, config = list(self.flags[kind]), json.loads(Path(self.flags[kind][3]).read_text())
        config |= {"drop_last": True}
        config, self.note = mutated(config, random)
        flags[3] = str(self._written("dataset.json", config))
        run(flags, self._fresh("run"), "--max-steps", 1, "--logger", "none")
        return self.note

    def audio_file(self, random: np.random.Generator) -> str:
        """Read a changed audio file by every reader."""
        name = str(random.choice(list(self.recordings)))
        folder = self._fresh("audio")
        path = folder / name
        path.write_bytes(mutated_bytes(self.recordings[name], random))
        self.note = name
        files, rejected = scan_audio([folder], RATE)
        if len(files) + len(rejected) != 1:
            raise Silent("the scan counts neither a file nor a rejected one")
        outcomes = [_outcome(lambda reader=reader: reader(path)) for reader in (_whole, _parts, measure, audio_header)]  # type: ignore[misc]
        # mpg123 rounds otherwise where a damaged file, which may have samples in the thousands, is read in other portions.
        slack = 1e-5 if name.endswith("mp3") else 0.0
        if not any(isinstance(each, Exception) for each in outcomes[:2]) and not _alike(outcomes[0], outcomes[1], slack):
            raise Silent("two readers read other samples")
        if files:
            self._trained_on(folder, path, outcomes[0])
        errors = [*outcomes, *(UnreadableAudio(*each) for each in rejected)]
        error = next((each for each in errors if isinstance(each, Exception)), None)
        if error is not None:
            raise error
        return name

    def _trained_on(self, folder: Path, path: Path, audio: Any) -> None:
        """An item of the dataset must be of this file, or the file must have been left out."""
        soundfile.write(folder / "good.wav", np.full(RATE, 0.5), RATE)
        config = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": str(folder)}]}
        dataset = AudioFiles(config, scan_audio([folder], RATE, sort=False).files, RATE, 8000, 1)
        index = dataset.filenames.index(str(path))
        item, info = dataset[index]
        if not item.isfinite().all():
            raise Silent("an item that is not finite")
        heard = not isinstance(audio, Exception) and float(audio.abs().max()) > 0.01
        if info["path"] != str(path) and not dataset.left_out[index] and heard and audio.shape[-1] < 8000:
            raise Silent("another file in its place")

    def checkpoint(self, random: np.random.Generator) -> str:
        """Open a changed checkpoint, adapter or codec by every command's reader."""
        name = str(random.choice([*self.checkpoints, "structure", "codec"]))
        self.note = name
        if name == "structure":
            return self._structure(random)
        if name == "codec":
            return self._codec(random)
        path = self._fresh("ckpt") / name
        path.write_bytes(mutated_bytes(self.checkpoints[name], random))
        found = read_adapter(path).weights if name.startswith("adapter") else read_checkpoint(path).state
        whole = self.adapter_weights if name.startswith("adapter") else self.weights
        if found.keys() != whole.keys() or not all(torch.equal(found[key], value) for key, value in whole.items()):
            raise Silent("other weights than were written")
        if name == "last.ckpt" and random.random() < 0.3:
            self._resumed(path)
        return name

    def _structure(self, random: np.random.Generator) -> str:
        content, self.note = mutated(torch.load(self.newest, weights_only=True), random)
        path = self._fresh("ckpt") / "last.ckpt"
        torch.save(content, path)
        load_model(path).generate(seed=1, progress=False)
        self._resumed(path)
        return self.note

    def _resumed(self, path: Path) -> None:
        folder = self._fresh("run")
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "step=00000002.ckpt").write_bytes(path.read_bytes())
        run(self.flags["plain"], folder, "--max-steps", 3, "--logger", "none", "--recover")

    def _codec(self, random: np.random.Generator) -> str:
        folder, source = self._fresh("codec_files"), self.plain / "codec"
        content = {each.name: each.read_bytes() for each in source.iterdir()}
        name = str(random.choice(list(content)))
        self.note = f"codec {name}"
        if name == "config.json" and random.random() < 0.7:
            config, what = mutated(json.loads(content[name]), random)
            content[name], self.note = json.dumps(config).encode("utf-8", "replace"), f"codec {what}"
        else:
            content[name] = mutated_bytes(content[name], random)
        for each, data in content.items():
            (folder / each).write_bytes(data)
        load_codec(str(folder))
        return self.note

    def _written(self, name: str, config: Any) -> Path:
        path = self.folder / f"case_{name}"
        path.write_bytes(json.dumps(config, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        load_json(path)
        return path

    def _fresh(self, name: str) -> Path:
        """An empty folder."""
        self.number = getattr(self, "number", 0) + 1
        path = self.folder / f"case_{self.number}_{name}"
        if name != "run":
            path.mkdir()
        return path


def _alike(one: torch.Tensor, other: torch.Tensor, slack: float) -> bool:
    return one.shape == other.shape and float((one - other).abs().max()) <= slack * max(1.0, float(one.abs().max()))


def _whole(path: Path) -> torch.Tensor:
    return read_audio(path, RATE)[1]


def _parts(path: Path) -> torch.Tensor:
    """As `--continue` reads it: by parts, as far as the header says."""
    samples = audio_header(path, RATE).samples
    return torch.cat([read_part(path, 0, samples // 3), read_part(path, samples // 3, samples)], dim=-1)


def _outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnreadableAudio as error:
        return error
