"""A stand-in for Slack's incoming webhooks: it keeps what it is told, and sends nothing anywhere.

It can refuse, as Slack does where it is overloaded or a webhook was revoked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        at: when it came.
        text: title and text.
    """

    at: datetime
    text: str


@dataclass
class Slack:
    """Where it listens, and what it was told.

    Attributes:
        address: of the webhook.
        messages: in the order in which they came.
        refusals: the status of each request that it does not take, before it takes the next.
    """

    address: str
    messages: list[Message] = field(default_factory=list)
    refusals: Iterator[int] = field(default_factory=lambda: iter(()))
    _news: threading.Condition = field(default_factory=threading.Condition)

    def tell(self, text: str) -> None:
        """Keep a message."""
        with self._news:
            self.messages.append(Message(datetime.now(timezone.utc), text))
            self._news.notify_all()

    def find(self, words: str) -> Message | None:
        """The first message with these words."""
        return next((message for message in self.messages if words in message.text), None)

    def await_message(self, words: str, seconds: float) -> Message | None:
        """Wait for a message with these words; None if there is none in time."""
        with self._news:
            self._news.wait_for(lambda: self.find(words), seconds)
            return self.find(words)


@contextmanager
def running_slack(refusals: Iterable[int] = ()) -> Iterator[Slack]:
    """Listen on a free port of 127.0.0.1 while the block runs.

    Args:
        refusals: the status of each request that it does not take at first.
    """
    server = ThreadingHTTPServer((HOST, 0), _Webhook)
    slack = Slack(f"http://{HOST}:{server.server_port}/webhook", refusals=iter(refusals))
    server.slack = slack  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, name="slack", daemon=True)
    thread.start()
    try:
        yield slack
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        slack: Slack = self.server.slack  # type: ignore[attr-defined]
        refusal = next(slack.refusals, None)
        if refusal is None:
            slack.tell(_text(content))
        self.send_response(refusal or 200)
        self.end_headers()
        self.wfile.write(b"no_service" if refusal else b"ok")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Be quiet."""


def _text(content: dict[str, Any]) -> str:
    """What people would read: Airflow sends ``text``, Alertmanager attachments with a title each."""
    attached = (part.get(key) for part in content.get("attachments", ()) for key in ("title", "text"))
    return "\n".join(text.strip() for text in (content.get("text"), *attached) if text)
