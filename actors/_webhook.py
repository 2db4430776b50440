"""The webhook channel: a notice as an HTTP POST with a JSON body after a template.

The URL is a secret: it appears in no log, no error and no listing. A robot that answers 200 with `errcode` other than 0
has refused the message, and its limit on length counts bytes, not characters.
"""

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

import msgspec

from actors._digest import Outgoing, cut_bytes
from engine.model import Severity
from engine.net import FunctionTransport, HttpClient, HttpError, HttpLimits, HttpReply
from engine.settings import Secret

FIELDS = ("severity", "kind", "text", "node", "actor", "order_id", "at", "count")
DEFAULT_BODY = {"text": "[{severity}] {node}: {text}"}
_FIELD = re.compile(r"\{([a-z_]+)\}")
_LIMITS = HttpLimits(max_body_bytes=64 * 1024, max_connections=2)


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to post and what. Strings in `body` may name {severity}, {kind}, {text}, {node}, {actor}, {order_id}, {at} and {count}."""

    url: Secret
    body: dict[str, Any] = msgspec.field(default_factory=lambda: dict(DEFAULT_BODY))
    headers: dict[str, Secret] = {}
    min_severity: Severity = Severity.WARNING
    per_minute: Annotated[int, msgspec.Meta(ge=1, le=600)] = 20
    max_text_bytes: Annotated[int, msgspec.Meta(ge=64, le=65536)] = 2000
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0

    def __post_init__(self) -> None:
        for name in _names(self.body):
            if name not in FIELDS:
                near = difflib.get_close_matches(name, FIELDS, n=1)
                hint = f"; did you mean {{{near[0]}}}?" if near else ""
                raise ValueError(f"body: expected fields among {', '.join(FIELDS)}, got {{{name}}}{hint}")


class DeliveryFailed(Exception):
    """The channel did not take the message. The text shows no secret."""


class Channel(Protocol):
    """A way to people. `send` returns when the channel took the message, and raises DeliveryFailed otherwise."""

    name: str
    min_severity: Severity
    per_minute: int

    async def send(self, message: Outgoing) -> None: ...
    async def close(self) -> None: ...


class Webhook:
    """One webhook. `transport` is the network; None is the real one."""

    def __init__(
        self, name: str, settings: WebhookSettings, node: str, transport: FunctionTransport | None = None
    ) -> None:
        url = urlsplit(settings.url.reveal())
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"webhooks.{name}.url: expected http://… or https://…, got something else")
        self.name = name
        self.min_severity = settings.min_severity
        self.per_minute = settings.per_minute
        self._settings = settings
        self._node = node
        self._target = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
        self._http = HttpClient(f"{url.scheme}://{url.netloc}", limits=_LIMITS, transport=transport)

    async def send(self, message: Outgoing) -> None:
        body = msgspec.json.encode(filled(self._settings.body, self._values(message)))
        headers = {name: secret.reveal() for name, secret in self._settings.headers.items()}
        headers.setdefault("content-type", "application/json")
        try:
            reply = await self._http.request(
                "POST", self._target, body=body, headers=headers, timeout_s=self._settings.timeout_s
            )
        except HttpError as error:
            why = type(error.__cause__ or error).__name__  # the error's own text names the path, which is a secret here
            raise DeliveryFailed(f"{self.name}: {type(error).__name__} ({why})") from None
        check_reply(self.name, reply)

    async def close(self) -> None:
        await self._http.close()

    def _values(self, message: Outgoing) -> dict[str, str]:
        last = message.notices[-1]
        return {
            "severity": message.severity,
            "kind": message.kind,
            "text": cut_bytes(message.text, self._settings.max_text_bytes),
            "node": self._node,
            "actor": last.actor,
            "order_id": last.order_id,
            "at": datetime.fromtimestamp(message.at_ms / 1000, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "count": str(len(message.notices)),
        }


def check_reply(name: str, reply: HttpReply) -> None:
    """Raise DeliveryFailed unless both HTTP and the robot behind it say that the message was taken."""
    if not 200 <= reply.status < 300:
        raise DeliveryFailed(f"{name}: expected status 2xx, got {reply.status}")
    try:
        said = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError):
        return  # not a robot that answers in JSON: the status is all there is
    if isinstance(said, dict) and said.get("errcode", 0) != 0:
        raise DeliveryFailed(
            f"{name}: expected errcode 0, got {str(said['errcode'])[:20]}: {str(said.get('errmsg', ''))[:200]}"
        )


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """The template with the fields of every string in it replaced."""
    if isinstance(template, str):
        return _FIELD.sub(lambda match: values.get(match[1], match[0]), template)
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    return template


def _names(template: Any) -> list[str]:
    if isinstance(template, str):
        return _FIELD.findall(template)
    if isinstance(template, dict):
        return [name for value in template.values() for name in _names(value)]
    if isinstance(template, list):
        return [name for value in template for name in _names(value)]
    return []
