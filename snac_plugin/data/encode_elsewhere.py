"""Encode tracks in several processes of this machine, or on the machines of a Dask cluster: the same codes, in the same order.

Each takes whole tracks and sends codes back; only the process that began writes. A worker that dies is replaced and its tracks are
encoded again; a track with which workers die again and again is left out.
"""

import functools
import logging
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

import torch

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.encode_track import Check, Encoded, Encoder, Track
from snac_plugin.errors import UsageError
from snac_plugin.files import printable

log = logging.getLogger(__name__)

DEATHS = 3  # of workers that had a track, before it is left out
DIED = f"the processes that encoded it died, {DEATHS} times in a row"
AHEAD = 4  # tracks that are sent to a worker before the first of them is needed

MakeCodec = Callable[[], SnacPretransform]
"""The codec in a worker, on its device: a function of a module or a `functools.partial` of one, so that it can be sent there."""


_HERE: dict[str, Encoder] = {}  # of the run that this worker works for


def _encode_there(run: str, make_codec: MakeCodec, min_frames: int, check: Check, track: Track) -> Encoded | str:
    """In a worker, which keeps the codec from one track to the next."""
    if run not in _HERE:
        _HERE.clear()
        _HERE[run] = Encoder(make_codec(), min_frames, check)
    return _HERE[run].read(track)


def _job(make_codec: MakeCodec, encoder: Encoder) -> Callable[[Track], Encoded | str]:
    return functools.partial(_encode_there, secrets.token_hex(8), make_codec, encoder.min_frames, encoder.check)


def by_processes(count: int, make_codec: MakeCodec) -> Callable[[Sequence[Track], Encoder], Iterator[Encoded | str]]:
    """Encode in so many processes of this machine, each with a codec of its own and its share of the cores."""

    def encoded(tracks: Sequence[Track], encoder: Encoder) -> Iterator[Encoded | str]:
        waiting, deaths, job = deque(tracks), 0, _job(make_codec, encoder)
        threads = max(1, torch.get_num_threads() // count)
        while waiting:
            pool = ProcessPoolExecutor(1 if deaths else count, get_context("spawn"), _begin, (threads,))
            try:
                # After a death the first track is tried alone: it may be the one that kills.
                for outcome in _in_order(pool.submit, job, list(waiting)[: 1 if deaths else None], count * AHEAD):
                    waiting.popleft()
                    deaths = 0
                    yield outcome
            except BrokenProcessPool:
                deaths += 1
                log.warning("A process died; encoding %s again", printable(waiting[0].file.path))
                if deaths == DEATHS:
                    waiting.popleft()
                    deaths = 0
                    yield DIED
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    return encoded


def by_cluster(address: str, make_codec: MakeCodec) -> Callable[[Sequence[Track], Encoder], Iterator[Encoded | str]]:
    """Encode on the workers of the Dask scheduler at an address; all of them see the audio files by the same paths.

    UsageError: `distributed` is not installed, or nothing answers there.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        advice = 'pip install "snac_plugin[cluster]", here and on all workers.'
        raise UsageError("--cluster", "no package distributed", "Dask's scheduler and workers", advice) from None
    try:
        client = Client(address, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        advice = "Start one with: dask scheduler; and workers, on any machine, with: dask worker ADDRESS --nthreads 1."
        raise UsageError("--cluster", f"{address}, where none answers ({error})", "the address of a scheduler", advice) from None

    def encoded(tracks: Sequence[Track], encoder: Encoder) -> Iterator[Encoded | str]:
        job, workers = _job(make_codec, encoder), sum(client.nthreads().values())
        log.info("Encoding with %d workers of %s", workers, address)
        with client:
            submit = functools.partial(client.submit, pure=False)
            yield from _in_order(submit, job, tracks, max(workers, 1) * AHEAD, (KilledWorker,))

    return encoded


def _in_order(
    submit: Callable[..., Any],
    job: Callable[[Track], Encoded | str],
    tracks: Sequence[Track],
    ahead: int,
    killed: tuple[type[Exception], ...] = (),
) -> Iterator[Encoded | str]:
    """Outcomes of all tracks, of which some are sent ahead; `killed` is what a cluster raises for a track that kills workers."""
    sent = deque[Any]()
    for track in tracks:
        sent.append(submit(job, track))
        if len(sent) >= ahead:
            yield _result(sent.popleft(), killed)
    while sent:
        yield _result(sent.popleft(), killed)


def _result(future: Any, killed: tuple[type[Exception], ...]) -> Encoded | str:
    try:
        outcome: Encoded | str = future.result()
    except killed as error:
        log.warning("%s", error)
        return DIED
    return outcome


def _begin(threads: int) -> None:
    """In a worker: leave Ctrl-C to the process that began, end with it, however it ends, and take a share of the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    torch.set_num_threads(threads)
