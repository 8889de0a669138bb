"""The page as gradio serves it, and which requests their clients have given up: gradio does not tell of all of them."""

import tempfile
import time
from typing import Any

import gradio as gr
from fastapi import Depends, Request
from gradio.queueing import Event
from gradio.server_messages import ProcessCompletedMessage

GIVEN_UP = ("/cancel", "/reset")
"""How paths end to which clients post the id of an event that they cancel."""
PATIENCE = 10.0
"""Seconds for which a request may compute though nobody listens, while others wait for it."""


class ServedPage(gr.Blocks):
    """A page that takes fewer values than it has inputs from clients that name none, curl say: those it had before still work."""

    temporary: tempfile.TemporaryDirectory[str] | None = None  # where its samples lie, unless in a folder that was named

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        if block_fn.api_name == "generate":
            inputs.extend(getattr(component, "value", None) for component in block_fn.inputs[len(inputs) :])
        super().validate_inputs(block_fn, inputs)

    def launch(self, *args: Any, app_kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """As gradio launches it; a cancelled request ends, whatever gradio was doing with it."""
        wanted = dict(app_kwargs or {})
        wanted["dependencies"] = [*wanted.get("dependencies", ()), Depends(self._give_up)]
        return super().launch(*args, app_kwargs=wanted, **options)

    async def _give_up(self, request: Request) -> None:
        """gradio ends an event whose handler has begun; not one that waits for it, or whose client says so by /reset alone."""
        if request.method != "POST" or not request.url.path.endswith(GIVEN_UP):
            return
        try:
            body = await request.json()
        except ValueError:  # which gradio answers
            return
        event = self._queue.event_ids_to_events.get(str(body.get("event_id"))) if isinstance(body, dict) else None
        if event is not None and event.alive:
            await self._queue.clean_events(event_id=event._id)
            event.alive = False
            if request.url.path.endswith("/reset"):  # gradio does nothing there, and its client would wait for an end
                self._complete(event)

    def _complete(self, event: Event) -> None:
        if event._id in self._queue.pending_event_ids_session.get(event.session_hash, ()):
            message = ProcessCompletedMessage(output={}, success=True, event_id=event._id)
            self._queue.pending_messages_per_session[event.session_hash].put_nowait(message)

    def listener(self, session: str) -> "Listener":
        return Listener(self, session)


class Listener:
    """Whether anybody fetches what a session is told: a client may go away between asking and listening, and no connection ends."""

    def __init__(self, page: ServedPage, session: str) -> None:
        self._page, self._session = page, session
        self._oldest: Any = None  # of the messages that wait
        self._since = time.monotonic()

    def has_left(self) -> bool:
        """Whether the oldest message has waited for `PATIENCE`. On a busy machine one waits each time that this is asked."""
        messages = self._page._queue.pending_messages_per_session.get(self._session)
        oldest = None
        if messages is not None:
            with messages.mutex:
                oldest = messages.queue[0] if messages.queue else None
        if oldest is None or oldest is not self._oldest:
            self._oldest, self._since = oldest, time.monotonic()
        return time.monotonic() - self._since > PATIENCE
