"""Clients that cancel, leave or press Stop: their work ends within a step and harms nobody else's."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import soundfile
from gradio_client import Client
from pages import AUDIO, SEED, build, client_of, served

from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.interface import runs, served_page
from snac_plugin.interface.page import create_page
from snac_plugin.output.make_samples import make_samples

pytestmark = pytest.mark.slow

LONG = {"seed": 1, "seconds": 7.68, "steps": 200}
SOON = 2.0
"""Seconds within which a cancelled request gives way."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], SnacDiffusion]:
    return build(tmp_path_factory.mktemp("model"))


@pytest.fixture
def url(model: tuple[dict[str, Any], SnacDiffusion], tmp_path: Path) -> Iterator[str]:
    with served(create_page(*model, folder=tmp_path / "out")) as client:
        yield client.src


def begun(folder: Path) -> bool:
    """Whether a wav is being written there."""
    return any(folder.glob("*.part"))


def wait_for(condition: Any, seconds: float = 30) -> float:
    """Seconds until a condition holds."""
    started = time.perf_counter()
    while not condition():
        assert time.perf_counter() - started < seconds, "it never came to that"
        time.sleep(0.02)
    return time.perf_counter() - started


def test_one_client_cancels_and_another_with_the_same_seed_gets_its_own_wav(
    url: str, model: tuple[dict[str, Any], SnacDiffusion], tmp_path: Path
) -> None:
    """Both would write one part file, and the first would compute on."""
    first, second = client_of(url), client_of(url)
    job = first.submit(**LONG, api_name="/generate")
    wait_for(lambda: begun(tmp_path / "out"))
    waiting = second.submit(seed=1, steps=8, api_name="/generate")
    job.cancel()
    started = time.perf_counter()
    made = waiting.result()
    taken = time.perf_counter() - started
    (alone,) = make_samples(model[1], Request(seconds=0.384, steps=8), tmp_path / "alone", seed=1, progress=False)
    assert Path(made[AUDIO]).read_bytes() == alone.files.wav.read_bytes()
    wait_for(lambda: not begun(tmp_path / "out"), SOON)
    assert taken < SOON + 8, "the second waited for the first, which takes half a minute"


def test_a_client_that_goes_away_stops_its_work(url: str, tmp_path: Path) -> None:
    call = httpx.post(f"{url}gradio_api/call/generate", json={"data": _arguments(url)})
    with httpx.stream("GET", f"{url}gradio_api/call/generate/{call.json()['event_id']}", timeout=60):
        wait_for(lambda: begun(tmp_path / "out"))
    wait_for(lambda: not begun(tmp_path / "out"), SOON + 3)  # its last beat, its step and its picture


def test_a_client_that_cancels_before_it_knows_its_event_stops_its_work(url: str, tmp_path: Path) -> None:
    """gradio's client told the server then by /reset alone, which does nothing in gradio: its work went on for minutes."""
    client = client_of(url)
    job = client.submit(**LONG, api_name="/generate")
    job.cancel()
    wait_for(lambda: client.pending_event_ids or begun(tmp_path / "out"))
    wait_for(lambda: not client.pending_event_ids and not begun(tmp_path / "out"), SOON + 3)
    again = client.predict(seed=2, steps=8, api_name="/generate")
    assert again[SEED] == 2, "its connection works on"


def test_what_is_cancelled_in_gradio_s_own_queue_never_begins(
    model: tuple[dict[str, Any], SnacDiffusion], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """gradio told its client that it was over, and computed it later for nobody."""
    page = create_page(*model, folder=tmp_path / "out")
    with served(page) as client, caplog.at_level("INFO", runs.__name__):
        page._queue.sleep_when_free = 1.0  # how long an event may wait there
        data = {"fn_index": _endpoint(client), "session_hash": "here", "data": _arguments(client.src)}
        time.sleep(1.1)
        event = httpx.post(f"{client.src}gradio_api/queue/join", json=data).json()["event_id"]
        assert event in {one._id for queue in page._queue.event_queue_per_concurrency_id.values() for one in queue.queue}
        cancel = {"fn_index": data["fn_index"], "session_hash": "here", "event_id": event}
        assert httpx.post(f"{client.src}gradio_api/cancel", json=cancel).json() == {"success": True}
        told = httpx.get(f"{client.src}gradio_api/queue/data", params={"session_hash": "here"}, timeout=30).text
        assert "process_completed" in told
        client.predict(seed=2, steps=8, api_name="/generate")
    assert "of here" not in caplog.text
    assert "request 1 of" in caplog.text


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"event_id": 3}'])
def test_a_cancel_that_names_no_event_is_answered_by_gradio(url: str, content: str) -> None:
    for path in ("cancel", "reset"):
        assert (
            httpx.post(f"{url}gradio_api/{path}", content=content, headers={"Content-Type": "application/json"}).status_code < 500
        )


def test_a_request_to_which_nobody_listens_gives_way_to_others(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tab that was closed before it listened held the page for minutes."""
    monkeypatch.setattr(served_page, "PATIENCE", SOON)  # a fast machine would be done before ten seconds are over
    call = httpx.post(f"{url}gradio_api/call/generate", json={"data": _arguments(url)}).json()["event_id"]
    with caplog.at_level("INFO", runs.__name__):
        made = client_of(url).predict(seed=2, steps=8, api_name="/generate")
    assert made[SEED] == 2
    assert f"of {call[:8]}: stopped" in caplog.text
    told = httpx.get(f"{url}gradio_api/call/generate/{call}", timeout=30).text
    assert "event: error" in told


def test_a_client_that_is_slow_to_fetch_has_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a message waited each time that it was looked, and after ten seconds a client that listened was refused."""
    messages, now = Queue[object](), [0.0]
    page: Any = SimpleNamespace(_queue=SimpleNamespace(pending_messages_per_session={"tab": messages}))
    monkeypatch.setattr(served_page, "time", SimpleNamespace(monotonic=lambda: now[0]))
    listener = served_page.Listener(page, "tab")
    for second in range(30):  # each message is fetched once the next one is there
        now[0] += 1
        messages.put(second)
        assert not listener.has_left()
        if second:
            messages.get()
    for waited in range(13):
        now[0] += 1
        assert listener.has_left() == (waited > 10), "nobody fetches now"
    messages.get()
    assert not listener.has_left()


def _endpoint(client: Client) -> int:
    return next(i for i, one in client.endpoints.items() if one.api_name == "/generate")


def _arguments(url: str) -> list[Any]:
    """The values of `LONG` in the order of the endpoint's parameters, defaults for the others."""
    parameters = client_of(url).view_api(return_format="dict")["named_endpoints"]["/generate"]["parameters"]
    return [LONG.get(p["parameter_name"], p["parameter_default"]) for p in json.loads(json.dumps(parameters))]


def test_a_callback_that_stops_keeps_finished_chunks(model: tuple[dict[str, Any], SnacDiffusion], tmp_path: Path) -> None:
    from snac_plugin.generation.stages import Stopped

    def stop_in_the_second(chunk: int, level: int, step: int) -> None:
        if chunk == 1 and level == 2:
            raise Stopped

    one = next(make_samples(model[1], Request(chunks=1, steps=8), tmp_path / "one", seed=1, progress=False))
    asked: Any = {"seed": 1, "progress": False, "callback": stop_in_the_second}
    made = make_samples(model[1], Request(chunks=3, steps=8), tmp_path, **asked)
    kept = next(made)
    with pytest.raises(Stopped):
        next(made)
    assert (soundfile.read(kept.files.wav)[0] == soundfile.read(one.files.wav)[0]).all()
    assert not begun(tmp_path)
