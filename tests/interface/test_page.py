"""The page, started for real and driven as its clients drive it."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
import soundfile
import torch
from gradio import route_utils
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pages import AUDIO, FILES, PICTURE, SEED, SETTINGS, build, client_of, served
from tiny import tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.interface.history import Histories
from snac_plugin.interface.page import create_page
from snac_plugin.plugin import builders

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a page that is being served."""
    with served(create_page(*build(tmp_path_factory.mktemp("page")))) as client:
        yield client


def test_generate_gives_audio_picture_seed_settings_and_files(client: Client) -> None:
    made = client.predict(seed=42, steps=6, api_name="/generate")
    assert made[SEED] == 42
    info = soundfile.info(made[AUDIO])
    assert (info.subtype, info.samplerate, info.frames) == ("FLOAT", 32000, 12288)
    assert Path(made[PICTURE] if isinstance(made[PICTURE], str) else made[PICTURE]["path"]).stat().st_size > 10_000
    assert sum(made[SETTINGS]["steps"].values()) == 6
    assert [Path(file).name for file in made[FILES]] == ["seed_42.wav", "seed_42.png", "seed_42.json"]
    assert json.loads(Path(made[FILES][2]).read_text()) == made[SETTINGS]


def test_the_seed_that_was_drawn_gives_the_same_audio_again(client: Client) -> None:
    first = client.predict(api_name="/generate")
    again = client.predict(seed=first[SEED], api_name="/generate")
    assert Path(first[AUDIO]).read_bytes() == Path(again[AUDIO]).read_bytes()


def test_a_batch_gives_the_files_of_every_sample(client: Client) -> None:
    made = client.predict(seed=5, batch_size=3, seconds=0.2, api_name="/generate")
    assert [Path(file).name for file in made[FILES][::3]] == ["seed_5.wav", "seed_6.wav", "seed_7.wav"]
    assert soundfile.info(made[FILES][3]).frames == 6400


def test_steps_set_by_hand_count_and_otherwise_the_total_does(client: Client) -> None:
    by_hand = {"steps_a": 1, "steps_b": 3, "steps_c": 2, "steps_d": 5}
    assert client.predict(seed=5, steps_by_level=True, **by_hand, api_name="/generate")[SETTINGS]["steps"] == {
        name: by_hand[f"steps_{name.lower()}"] for name in "ABCD"
    }
    assert sum(client.predict(seed=5, steps=9, **by_hand, api_name="/generate")[SETTINGS]["steps"].values()) == 9


def test_a_mistake_reaches_the_user_in_words(client: Client) -> None:
    with pytest.raises(AppError, match="seed: found -5, expected 0 or more"):
        client.predict(seed=-5, api_name="/generate")


def test_every_input_has_a_name_and_a_default_and_there_is_one_endpoint(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/generate"]
    parameters = endpoints["/generate"]["parameters"]
    assert all(parameter["parameter_has_default"] for parameter in parameters)
    names = [parameter["parameter_name"] for parameter in parameters]
    assert {"seconds", "seed", "batch_size", "steps", "steps_d", "sampler", "temperature", "cfg_scale", "cfg_rescale"} <= set(names)
    assert not any(name.startswith("param_") for name in names)


def test_copies_of_files_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio counts the seconds of an age without its days, so that nothing was ever older than a day."""
    page = create_page(*build(tmp_path))
    (tmp_path / "a.wav").write_bytes(os.urandom(99))
    handler = next(one.fn for one in page.fns.values() if "_example" in repr(one.fn))
    copy, now = Path(handler.func.__self__._serve(tmp_path / "a.wav")), datetime.now()
    for hour in range(30):
        later = SimpleNamespace(now=partial(now.__add__, timedelta(hours=hour)), fromtimestamp=datetime.fromtimestamp)
        monkeypatch.setattr(route_utils, "datetime", later)
        route_utils.delete_files_created_by_app(page, page.delete_cache[1])
        assert copy.is_file() == (hour < 21)


def test_generations_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, model = build(tmp_path)
    running, most, lock, real = 0, 0, threading.Lock(), model.stream

    def counted(*arguments: Any, **options: Any) -> Iterator[Any]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        yield from real(*arguments, **options)
        with lock:
            running -= 1

    monkeypatch.setattr(model, "stream", counted)
    with served(create_page(config, model)) as client:
        jobs = [client.submit(seed=seed, api_name="/generate") for seed in range(3)]
        assert [job.result()[SEED] for job in jobs] == [0, 1, 2]
    assert (most, running) == (1, 0)


def test_a_conditioner_has_its_own_input_and_its_value_reaches_the_sample(tmp_path: Path) -> None:
    conditioning = [
        {"id": "tempo", "type": "number", "config": {"min_val": 40, "max_val": 240}},
        {"id": "key no", "type": "int", "config": {"min_val": 0, "max_val": 11}},
    ]
    folder = tmp_path / "kept"
    with served(create_page(*build(tmp_path, conditioning), folder=folder)) as client:
        made = client.predict(tempo=120, key_no=7, seed=1, cfg_scale=2.0, api_name="/generate")
    assert made[SETTINGS]["conditioning"] == {"tempo": 120, "key no": 7}
    assert made[SETTINGS]["cfg_scale"] == 2.0
    assert (folder / "seed_1.wav").is_file()


def test_guidance_is_hidden_where_nothing_can_be_guided(tmp_path: Path) -> None:
    def visible(page: gr.Blocks) -> bool:
        return next(block.visible for block in page.blocks.values() if getattr(block, "label", "") == "Guidance")

    number = {"id": "tempo", "type": "number", "config": {"min_val": 40, "max_val": 240}}
    assert not visible(create_page(*build(tmp_path / "a")))
    assert visible(create_page(*build(tmp_path / "b", [number])))


def test_a_title_is_shown_as_text_not_run_as_markup(tmp_path: Path) -> None:
    page = create_page(*build(tmp_path), gradio_title="<script>alert(1)</script>")
    shown = [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert "&lt;script&gt;alert(1)" in shown[0]
    assert "<script>" not in shown[0]


def test_the_script_serves_the_page_of_a_checkpoint(tmp_path: Path) -> None:
    config, model = build(tmp_path)
    torch.save({"state_dict": model.state_dict(), "model_config": config}, tmp_path / "model.ckpt")
    command = [sys.executable, "-u", "run_gradio.py", "--ckpt-path", tmp_path / "model.ckpt", "--out", tmp_path / "out"]
    command += ["--username", "me", "--password", "secret"]
    process = subprocess.Popen(
        [*map(str, command)], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://[\w.:]+", line)))
        assert httpx.get(f"{url}/config").status_code == 401, "nobody gets in without the password"
        made = client_of(url, auth=("me", "secret")).predict(seed=8, api_name="/generate")
    finally:
        process.terminate()
        process.wait(30)
    assert made[SETTINGS]["checkpoint"] == str(tmp_path / "model.ckpt")
    assert (tmp_path / "out" / "seed_8.wav").read_bytes() == Path(made[AUDIO]).read_bytes()


def test_stable_audio_tools_own_create_ui_opens_this_page(tmp_path: Path) -> None:
    snac_plugin.register()
    from stable_audio_tools.interface.gradio import create_ui

    config, model = build(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.ckpt")
    page = create_ui(str(tmp_path / "config.json"), str(tmp_path / "model.ckpt"), gradio_title="Theirs", model_half=True)
    with served(page) as client:
        assert client.predict(seed=4, api_name="/generate")[SEED] == 4


def test_a_recording_that_is_put_in_is_continued(tmp_path: Path) -> None:
    """What is uploaded comes back with new audio behind it, its own samples as they were."""
    config = tiny_model_config(write_tiny_codec(tmp_path / "codec"), context_chunks=2)
    own = 0.3 * np.sin(np.arange(22050) / 20).astype(np.float32)
    soundfile.write(tmp_path / "mine.wav", own, 22050, subtype="FLOAT")
    with served(create_page(config, builders.model(config).eval())) as client:
        made = client.predict(recording=handle_file(str(tmp_path / "mine.wav")), seconds=0.5, api_name="/generate")
        asked = {"recording": None, "edit_edit": handle_file(str(tmp_path / "mine.wav")), "edit_keep_levels": "A"}
        changed = client.predict(**asked, api_name="/generate")
    assert soundfile.info(changed[AUDIO]).frames == 22050
    sound, rate = soundfile.read(made[AUDIO], dtype="float32")
    assert rate == 22050
    assert len(sound) == 22050 + 11025
    np.testing.assert_allclose(sound[:22050], own, atol=1e-4)


def test_a_browser_s_files_are_its_own(tmp_path: Path) -> None:
    """Its history is found by its cookie alone, and no path leads to its files."""
    with served(create_page(*build(tmp_path), folder=tmp_path / "out")) as client:
        mine = client_of(client.src, headers={"cookie": f"snac_browser={'a' * 32}"})
        made = mine.predict(seed=3, api_name="/generate")
        (kept,) = (tmp_path / "out").glob("*/seed_3.wav")
        assert kept.read_bytes() == Path(made[AUDIO]).read_bytes()
        for path in (kept, kept.with_name("history.json")):
            assert httpx.get(f"{client.src}gradio_api/file={path}").status_code == 403
        other = client_of(client.src, headers={"cookie": f"snac_browser={'b' * 32}"})
        other.predict(seed=3, api_name="/generate")
    assert len(list((tmp_path / "out").glob("*/seed_3.wav"))) == 2
    histories = Histories(tmp_path / "out")
    assert [[entry.name for entry in histories.of(secret * 32).entries()] for secret in "abc"] == [["seed_3"], ["seed_3"], []]
