"""Eight clients use a page's server at once, three of which cancel or leave at random.

    python benchmarks/page_clients.py --minutes 10

Each wav that is delivered has to be that of its single run; no client may fetch files of another; and a request that is
given up has to free the line: measured are, by the server's own log of requests, the seconds until it gives way, and until the
next one has done its first step. A request is given up at any time: while it computes, while it waits, and before its client
knows its id. Prints one JSON object.
"""

import argparse
import hashlib
import json
import logging
import math
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
from snac_plugin.cli import run_gradio
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
        self.given_up: dict[str, float] = {}  # session of a request that was given up, time
        self.left = self.refused = 0
        self.wrong: list[str] = []
        self.secrets = [hashlib.md5(str(number).encode()).hexdigest() for number in range(CLIENTS)]

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
                    self._give_up(number, draw)
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

    def _give_up(self, number: int, draw: random.Random) -> None:
        """Ask for minutes of work; cancel it, or lose the connection, at once, or a while after it began or while it waits."""
        long: dict[str, Any] = {"seed": 1000 + number, "seconds": 122.88, "steps": 48, "edit_mode": "From nothing"}
        client = Client(self.url, verbose=False, headers=self.headers(number), httpx_kwargs={"timeout": 120})
        leaves, patience = draw.random() < 0.5, draw.choice((0.0, draw.uniform(0.5, 6), draw.uniform(0.5, 6)))
        stop, gone = threading.Event(), queue.SimpleQueue[str]()
        job = None if leaves else client.submit(**long, api_name="/generate")
        if leaves:
            threading.Thread(target=self._listen, args=(client, number, long, stop, gone), daemon=True).start()
        begun = patience > 0 and self._wait(lambda: any(self.folder(number).glob("*.part")), draw.choice((2.0, 60.0, 60.0)))
        time.sleep(patience if begun else 0)
        stop.set()
        if job is not None:
            job.cancel()
        session = client.session_hash if job is not None else gone.get(timeout=120)
        self.given_up[session[:8]] = time.time()
        self.left += leaves
        self._wait(lambda: not any(self.folder(number).glob("*.part")), 60)
        client.close()
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
        gone.put(event)

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
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out", Path(folder) / "server.log"
        environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
        with log.open("w") as file:
            command = [sys.executable, "-u", __file__, "--serve", str(out)]
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
        print(json.dumps(report(use, log.read_text(), Path(folder) / "alone"), indent=2))


def serve(folder: str) -> None:
    """The page, with its log of requests."""
    logging.basicConfig(level=logging.WARNING, format="%(created)f %(message)s")
    logging.getLogger("snac_plugin.interface.runs").setLevel(logging.INFO)
    run_gradio.main(["--out", folder])


def freed(given_up: dict[str, float], log: str) -> dict[str, list[float]]:
    """Seconds from giving a request up until it gives way, and until the next one's first step; of those that computed."""
    lines = [
        (float(time), session, what) for time, session, what in re.findall(r"^([\d.]+) request \d+ of (\w+): ([\w ]+)$", log, re.M)
    ]
    found: dict[str, list[float]] = {"gave_way": [], "next_first_step": [], "waiting": [], "never_begun": [], "not_freed": []}
    for session, when in given_up.items():
        own = {what: moment for moment, name, what in lines if name == session}
        over = min((own[what] for what in ("gives way", "ends") if what in own), default=None)
        if "asked" not in own:
            found["never_begun"].append(0.0)
        elif "first step" not in own:
            found["waiting"].append(0.0)
        elif over is None:
            found["not_freed"].append(0.0)
        else:
            waited = {name for moment, name, what in lines if what == "asked" and moment < when} - {session}
            steps = [
                moment for moment, name, what in lines if what == "first step" and moment > own["first step"] and name in waited
            ]
            found["gave_way"].append(over - when)
            found["next_first_step"] += [min(steps) - when] if steps else []
    return found


def report(use: Use, log: str, folder: Path) -> dict[str, Any]:
    """What was delivered, compared with single runs in this process."""
    import snac_plugin

    model, alone = snac_plugin.load_model(DEFAULT), {}
    for asked in {asked for asked, _ in use.delivered}:
        request = Request(seconds=asked[1], steps=STEPS)
        (sample,) = make_samples(model, request, folder, seed=asked[0], progress=False)
        alone[asked] = hashlib.sha256(sample.files.wav.read_bytes()).hexdigest()
    times = freed(use.given_up, log)
    return {
        "delivered": len(use.delivered),
        "of_these_not_as_alone": sum(alone[asked] != digest for asked, digest in use.delivered),
        "different_requests": len(alone),
        "fetches_of_others_files_refused": use.refused,
        "given_up_while_computing": len(times["gave_way"]),
        "given_up_while_waiting": len(times["waiting"]),
        "given_up_before_it_was_asked_of_the_model": len(times["never_begun"]),
        "of_all_by_leaving": use.left,
        "not_freed": len(times["not_freed"]),
        **{f"seconds_until_{name}": _spread(times[name]) for name in ("gave_way", "next_first_step")},
        "wrong": use.wrong,
    }


def _spread(seconds: list[float]) -> dict[str, float | int]:
    found = sorted(seconds) or [math.nan]
    return {"count": len(seconds), "median": round(statistics.median(found), 2), "most": round(found[-1], 2)}


if __name__ == "__main__":
    main()
