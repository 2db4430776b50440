"""Which method handles which message class: declared by `@on`, found by exact class first, then by its bases."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from engine.kernel.errors import SpecError, UnhandledMessage
from engine.kernel.message import Message

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_tradenode_handles"


def on(*message_types: type[Message]) -> Callable[[F], F]:
    """Make a method `def` or `async def name(self, message)` the handler of these classes.

    What it returns is the reply if the message was called, and ignored if it was told. A plain `def` is faster: it can
    run on the caller's turn. A subclass that overrides the method keeps it a handler.
    """
    for cls in message_types:
        _check(cls)

    def mark(method: F) -> F:
        setattr(method, _MARK, message_types)
        return method

    return mark


def _check(cls: object) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Message)):
        raise SpecError(f"@on: expected subclasses of Message, got {cls!r}")


def collect(cls: type) -> dict[type[Message], str]:
    """Message class → method name, for a class and its bases; the most derived declaration wins."""
    table: dict[type[Message], str] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            for message_type in getattr(member, _MARK, ()):
                table[message_type] = name
    return table


class Dispatch:
    """One actor object's bound handlers. `plain` holds those that may run without a task of their own."""

    __slots__ = ("_actor", "_table", "known", "plain")

    def __init__(self, actor: object, table: dict[type[Message], str]) -> None:
        self._actor = actor
        self._table = table
        self.known: dict[type, tuple[Callable[[Any], Any], bool]] = {}
        self.plain: dict[type, Callable[[Any], Any]] = {}
        for message_type in table:
            self._bind(message_type, message_type)

    def find(self, cls: type[Message]) -> tuple[Callable[[Any], Any], bool]:
        """The handler of a message class and whether it is a coroutine function. Raises UnhandledMessage."""
        found = self.known.get(cls)
        if found is not None:
            return found
        for base in cls.__mro__:
            if base in self._table:
                return self._bind(cls, base)
        expected = ", ".join(sorted(known.__name__ for known in self._table)) or "none"
        raise UnhandledMessage(f"{type(self._actor).__name__} got a {cls.__name__}; it handles: {expected}")

    def _bind(self, cls: type, base: type[Message]) -> tuple[Callable[[Any], Any], bool]:
        handler = getattr(self._actor, self._table[base])
        is_async = inspect.iscoroutinefunction(handler)
        self.known[cls] = (handler, is_async)
        if not is_async:
            self.plain[cls] = handler
        return handler, is_async
