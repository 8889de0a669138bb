"""Eight clients use a page's server at once, three of which cancel or leave at random.

    python benchmarks/page_clients.py --minutes 10

Each wav that is delivered has to be that of its single run; no client may fetch files of another; and a request that is
given up has to free the line: measured is the time until the next one writes its file. Prints one JSON object.
"""

import argparse
import hashlib
import json
import os
import queue
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client

from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.generation.request import Request
from snac_plugin.output.make_samples import make_samples

ROOT = Path(__file__).resolve().parents[1]
CLIENTS, FICKLE = 8, 3
SEEDS, SECONDS, STEPS = range(3), (1.536, 7.68), 4


class Use:
    """What the clients of one server see, and what is noted of it."""

    def __init__(self, url: str, out: Path, seconds: float) -> None:
        self.url, self.out, self.end = url, out, time.perf_counter() + seconds
        self.delivered: list[tuple[tuple[int, float], str]] = []  # request, digest of its wav
        self.freed: list[float] = []  # seconds
        self.given_up_waiting = self.left = self.refused = 0
        self.wrong: list[str] = []
        self.secrets = [hashlib.md5(str(number).encode()).hexdigest() for number in range(CLIENTS)]
        self.giving_up = threading.Lock()  # one at a time: what is measured is the time of this one

    def folder(self, number: int) -> Path:
        return self.out / hashlib.sha256(self.secrets[number].encode()).hexdigest()[:16]

    def headers(self, number: int) -> dict[str, str]:
        return {"cookie": f"snac_browser={self.secrets[number]}"}

    def work(self, number: int) -> None:
        """One client, until the time is over."""
        draw = random.Random(number)
        try:
            client = Client(self.url, verbose=False, headers=self.headers(number), httpx_kwargs={"timeout": 120})
            while time.perf_counter() < self.end:
                asked = draw.choice(SEEDS), draw.choice(SECONDS)
                if number < CLIENTS - FICKLE:
                    self._take(client, number, asked)
                else:
                    self._give_up(client, number, draw)
        except Exception as error:  # a client that fails is a finding, not the end of the others
            self.wrong.append(f"client {number}: {type(error).__name__}: {error}"[:300])

    def _take(self, client: Client, number: int, asked: tuple[int, float]) -> None:
        job = client.submit(seed=asked[0], seconds=asked[1], steps=STEPS, edit_mode="From nothing", api_name="/generate")
        wav = Path(job.result(timeout=300)[0])
        self.delivered.append((asked, hashlib.sha256(wav.read_bytes()).hexdigest()))
        for other in range(CLIENTS):
            for file in [*self.folder(other).glob("*")][:3]:
                answer = httpx.get(f"{self.url}/gradio_api/file={file}", headers=self.headers(number), timeout=60)
                self.refused += answer.status_code in (403, 404)
                if answer.status_code == 200:
                    self.wrong.append(f"client {number} fetched {file}")

    def _give_up(self, client: Client, number: int, draw: random.Random) -> None:
        """Ask for minutes of work; cancel it, or lose the connection, a while after it began or while it waits."""
        long: dict[str, Any] = {"seed": 1000 + number, "seconds": 122.88, "steps": 48, "edit_mode": "From nothing"}
        leaves, patience = draw.random() < 0.5, draw.uniform(0.5, 6)
        stop, gone, job = threading.Event(), queue.SimpleQueue[float](), None
        if leaves:
            threading.Thread(target=self._listen, args=(client, number, long, stop, gone), daemon=True).start()
        else:
            job = client.submit(**long, api_name="/generate")
            self._wait(lambda: job.communicator is not None and job.communicator.event_id, 60)  # or its client cancels nothing
        begun = self._wait(lambda: any(self.folder(number).glob("*.part")), draw.choice((2.0, 60.0)))
        time.sleep(patience if begun else 0)
        with self.giving_up:
            computing = any(self.folder(number).glob("*.part"))
            stop.set()
            if job is not None:
                job.cancel()
            started = time.perf_counter() if job is not None else gone.get(timeout=60)
            self.left += leaves
            if not computing:
                self.given_up_waiting += 1
            elif self._wait(lambda: self._others_write(number), 60):
                self.freed.append(time.perf_counter() - started)
            else:
                self.wrong.append(f"client {number}: not freed within a minute")
        self._wait(lambda: not any(self.folder(number).glob("*.part")), 60)
        time.sleep(draw.uniform(1, 4))

    def _listen(self, client: Client, number: int, asked: dict[str, Any], stop: threading.Event, gone: Any) -> None:
        """As a browser does that is closed: the connection ends, and nothing is said."""
        api: Any = client.view_api(return_format="dict", print_info=False)
        parameters = api["named_endpoints"]["/generate"]["parameters"]
        data = [asked.get(one["parameter_name"], one["parameter_default"]) for one in parameters]
        options: Any = {"headers": self.headers(number), "timeout": 120}
        call = f"{self.url}/gradio_api/call/generate"
        event = httpx.post(call, json={"data": data}, **options).json()["event_id"]
        with httpx.stream("GET", f"{call}/{event}", **options) as stream:
            for _ in stream.iter_lines():
                if stop.is_set():
                    break
        gone.put(time.perf_counter())

    def _others_write(self, number: int) -> bool:
        return any(any(self.folder(other).glob("*.part")) for other in range(CLIENTS) if other != number)

    def _wait(self, condition: Any, seconds: float) -> bool:
        until = time.perf_counter() + seconds
        while not condition():
            if time.perf_counter() > until:
                return False
            time.sleep(0.01)
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out", Path(folder) / "server.log"
        environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
        with log.open("w") as file:
            command = [sys.executable, "-u", str(ROOT / "run_gradio.py"), "--out", str(out)]
            server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
        try:
            while not (found := re.search(r"http://[\w.:]+", log.read_text())):
                time.sleep(0.1)
            use = Use(found[0], out, 60 * args.minutes)
            clients = [threading.Thread(target=use.work, args=(number,)) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
        finally:
            server.terminate()
            server.wait(60)
        print(json.dumps(report(use, Path(folder) / "alone"), indent=2))


def report(use: Use, folder: Path) -> dict[str, Any]:
    """What was delivered, compared with single runs in this process."""
    import snac_plugin

    model, alone = snac_plugin.load_model(DEFAULT), {}
    for asked in {asked for asked, _ in use.delivered}:
        request = Request(seconds=asked[1], steps=STEPS)
        (sample,) = make_samples(model, request, folder, seed=asked[0], progress=False)
        alone[asked] = hashlib.sha256(sample.files.wav.read_bytes()).hexdigest()
    return {
        "delivered": len(use.delivered),
        "of_these_not_as_alone": sum(alone[asked] != digest for asked, digest in use.delivered),
        "different_requests": len(alone),
        "fetches_of_others_files_refused": use.refused,
        "given_up_while_computing": len(use.freed),
        "given_up_while_waiting": use.given_up_waiting,
        "of_both_by_leaving": use.left,
        "freed_after_seconds": {
            "median": round(statistics.median(use.freed), 2) if use.freed else None,
            "most": round(max(use.freed), 2) if use.freed else None,
        },
        "wrong": use.wrong,
    }


if __name__ == "__main__":
    main()
