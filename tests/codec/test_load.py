"""Codecs by folder, by the shipped name, by hub id; and what is said when there is none."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from small_codecs import write_hub_folder
from tiny import CODEC_24KHZ, CODEC_32KHZ

from snac_plugin.checkpoints.weights import fingerprint
from snac_plugin.codec import places
from snac_plugin.codec.load import codes_fingerprint, load_codec
from snac_plugin.codec.places import shipped_codecs
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec_training.export import save_codec
from snac_plugin.config.shipped_codecs import SHIPPED_CODECS
from snac_plugin.errors import CodecError

# As published with hubertsiuzdak/snac_24khz, snac_32khz and snac_44khz.
FULL_24KHZ: dict[str, Any] = {
    "sampling_rate": 24000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}
FULL_32KHZ = FULL_24KHZ | {
    "sampling_rate": 32000,
    "encoder_dim": 64,
    "encoder_rates": [2, 3, 8, 8],
    "decoder_dim": 1536,
    "decoder_rates": [8, 8, 3, 2],
    "attn_window_size": 32,
    "vq_strides": [8, 4, 2, 1],
}
FULL_44KHZ = FULL_32KHZ | {"sampling_rate": 44100}


@pytest.mark.parametrize("config", [FULL_24KHZ, FULL_32KHZ, FULL_44KHZ], ids=["24 kHz", "32 kHz", "44 kHz"])
def test_full_size_codecs_in_the_hubs_format_encode_and_decode(config: dict[str, Any], tmp_path: Path) -> None:
    expected = write_hub_folder(tmp_path, config)
    codec = load_codec(str(tmp_path))
    pretransform = SnacPretransform(codec)
    samples = pretransform.downsampling_ratio + 100
    audio = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
    codes = pretransform.tokenize(audio)
    assert codes.shape == (1, codec.levels.rows, 2)
    with torch.no_grad():
        own = codec.levels.pack(expected.encode(audio))
    assert torch.equal(codes, own[..., :2])
    assert pretransform.decode(pretransform.encode(audio), length=samples).shape == audio.shape
    assert codec.levels.sample_rate == config["sampling_rate"]


def test_the_shipped_codec_loads_by_name_and_has_the_grid_of_snac_32khz() -> None:
    assert "snac_tiny_32khz" in shipped_codecs()
    codec = load_codec("snac_tiny_32khz")
    assert (codec.levels.strides, codec.levels.hop, codec.levels.attn_window) == ((8, 4, 2, 1), 384, 32)
    assert not codec.model.training
    assert not any(p.requires_grad for p in codec.model.parameters())
    assert sum(file.stat().st_size for file in (places.SHIPPED / codec.name).iterdir()) < 16 * 2**20


def test_the_fingerprint_follows_what_codes_mean_and_nothing_else(tmp_path: Path) -> None:
    """Encoder and quantisers in half precision gave other codes, and a model trained on the first was refused."""
    model = write_hub_folder(tmp_path / "a", CODEC_24KHZ)
    save_codec(tmp_path / "full", model, CODEC_24KHZ, "card", torch.float32)
    save_codec(tmp_path / "half", model, CODEC_24KHZ, "card", torch.float16)
    prints = [load_codec(str(tmp_path / name)).fingerprint for name in ("full", "half")]
    assert prints[0] == prints[1]
    state = model.state_dict()
    assert codes_fingerprint(dict(reversed(state.items()))) == prints[0]
    state["decoder.model.0.bias"][0] += 1e-3
    assert codes_fingerprint(state) == prints[0]
    state["encoder.block.0.bias"][0] += 1e-3
    assert codes_fingerprint(state) != prints[0]


def test_a_codec_written_over_another_leaves_that_or_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or Ctrl-C: weights of one codec beside none, or beside the config of another, would be neither."""
    model = write_hub_folder(tmp_path / "hub", CODEC_24KHZ)
    folder = save_codec(tmp_path / "out", model, CODEC_24KHZ, "card", torch.float32)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(_: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space left"):
            save_codec(folder, model, CODEC_24KHZ | {"noise": False}, "other", torch.float32)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    save_codec(folder, model, CODEC_24KHZ, "other", torch.float32)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "pytorch_model.bin"]


def test_former_fingerprints_of_shipped_codecs_are_known() -> None:
    """Checkpoints and encoded folders from when the decoder counted too stay of use."""
    assert sorted(SHIPPED_CODECS) == shipped_codecs()
    for name, known in SHIPPED_CODECS.items():
        codec = load_codec(name)
        assert codec.known_as == (known[0], fingerprint(codec.model.state_dict()), *known[1:])


def test_weight_names_from_before_torch_2_load(tmp_path: Path) -> None:
    model = write_hub_folder(tmp_path, CODEC_24KHZ)
    names = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
    state = model.state_dict()
    for new, old in names.items():
        state = {name.replace(new, old): tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert load_codec(str(tmp_path)).fingerprint == codes_fingerprint(model.state_dict())


def test_an_unknown_name_lists_what_ships() -> None:
    with pytest.raises(CodecError, match=r"'no such codec'.*snac_tiny_32khz.*folder.*hub id"):
        load_codec("no such codec")


@pytest.mark.parametrize("file", ["config.json", "pytorch_model.bin"])
def test_a_missing_file_is_named(file: str, tmp_path: Path) -> None:
    write_hub_folder(tmp_path, CODEC_24KHZ)
    (tmp_path / file).unlink()
    with pytest.raises(CodecError, match=rf"{tmp_path}.*{file}"):
        load_codec(str(tmp_path))


def test_weights_of_another_config_are_named(tmp_path: Path) -> None:
    write_hub_folder(tmp_path, CODEC_24KHZ)
    (tmp_path / "config.json").write_text(json.dumps(CODEC_24KHZ | {"decoder_dim": 128}))
    with pytest.raises(CodecError, match=r"of another shape, first decoder\.model\..* \(\[.*\] in place of \[.*\]\)"):
        load_codec(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(CODEC_24KHZ | {"vq_strides": [8, 4, 2, 1]}))
    with pytest.raises(CodecError, match=r"weights missing, first quantizer\.quantizers\.3\."):
        load_codec(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(CODEC_24KHZ | {"vq_strides": [2, 1]}))
    with pytest.raises(CodecError, match=r"weights not in the model, first quantizer\.quantizers\.2\."):
        load_codec(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{broken", "broken JSON"),
        ("[1]", "a list"),
        (json.dumps(CODEC_32KHZ | {"bottleneck": 3}), "unknown keys bottleneck"),
        (json.dumps(CODEC_32KHZ | {"vq_strides": "8421"}), "vq_strides"),
        (json.dumps(CODEC_32KHZ | {"sampling_rate": -1}), "sampling_rate"),
        (json.dumps(CODEC_32KHZ | {"decoder_rates": [8, 8, 3, 3]}), "the same product"),
    ],
)
def test_a_bad_config_is_named(text: str, message: str, tmp_path: Path) -> None:
    write_hub_folder(tmp_path, CODEC_24KHZ)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CodecError, match=message) as caught:
        load_codec(str(tmp_path))
    assert str(tmp_path / "config.json") in str(caught.value)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    write_hub_folder(tmp_path, CODEC_24KHZ)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not weights")
    with pytest.raises(CodecError, match=r"pytorch_model\.bin: found a file that cannot be read"):
        load_codec(str(tmp_path))
    save_file({"a": torch.full((1,), torch.nan)}, tmp_path / "model.safetensors")
    with pytest.raises(CodecError, match=r"model\.safetensors: found NaN or infinite numbers in a"):
        load_codec(str(tmp_path))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(
        CodecError, match=r"model\.safetensors.*missing.*not in the model, first a,.*Take both files from the same codec"
    ):
        load_codec(str(tmp_path))


def test_a_hub_id_is_fetched_with_its_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_hub_folder(tmp_path, CODEC_24KHZ)
    asked: list[tuple[str, str]] = []

    def download(repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        return str(tmp_path / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert load_codec("somebody/some_codec").fingerprint == codes_fingerprint(model.state_dict())
    assert asked == [("somebody/some_codec", "config.json"), ("somebody/some_codec", "pytorch_model.bin")]


def test_without_the_hub_it_says_where_it_looked_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own offline switch: no request leaves the machine, the cache is empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CodecError) as caught:
        load_codec("hubertsiuzdak/snac_32khz")
    message = str(caught.value)
    for part in ("hubertsiuzdak/snac_32khz", "config.json and pytorch_model.bin", str(tmp_path), "snac_tiny_32khz", "folder"):
        assert part in message
