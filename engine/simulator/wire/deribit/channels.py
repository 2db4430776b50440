"""What one socket has subscribed to."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from engine.simulator.deribit.rpc import Caller, RpcError
from engine.simulator.deribit.venue import DeribitVenue
from engine.simulator.wire.deribit.subscriptions import Subscriptions

__all__ = ["SocketChannels"]

MAX_SUBSCRIPTIONS = 5_000
PRIVATE_PREFIX = "user."

L = TypeVar("L")


class SocketChannels(Generic[L]):
    """A channel keeps the account and the label it was subscribed with."""

    def __init__(self, listener: L, venue: DeribitVenue, subscriptions: Subscriptions[L]) -> None:
        self._listener = listener
        self._venue = venue
        self._subscriptions = subscriptions
        self._channels: dict[str, tuple[str | None, str]] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def account_of(self, channel: str) -> str | None:
        """The account a private channel tells of; None for a public one."""
        return self._channels[channel][0]

    def label_of(self, channel: str) -> str:
        return self._channels[channel][1]

    def accepted(self, channels: Iterable[str], caller: Caller, *, private: bool) -> list[str]:
        """The channels this caller may have; of the rest nothing is said.

        Raises 13778 for the whole request when it names a raw channel on an anonymous socket.
        """
        accepted = []
        for channel in dict.fromkeys(channels):
            verdict = self._venue.accept_channel(channel, caller)
            if isinstance(verdict, RpcError):
                raise verdict
            if verdict and (private or not channel.startswith(PRIVATE_PREFIX)):
                accepted.append(channel)
        if len(self._channels.keys() | set(accepted)) > MAX_SUBSCRIPTIONS:
            raise RpcError(11050, "bad_request", {"reason": f"at most {MAX_SUBSCRIPTIONS} subscriptions a connection"})
        return accepted

    def join(self, channel: str, caller: Caller, label: str) -> list[Any]:
        """Enter a channel; returns its first messages, none if it was entered before."""
        if channel in self._channels:
            return []
        self._subscriptions.open(channel)
        first = self._venue.snapshot(channel, caller)
        self._subscriptions.add(channel, self._listener)
        account = caller.account if channel.startswith(PRIVATE_PREFIX) else None
        self._channels[channel] = (account, label)
        return first

    def leave(self, channels: Iterable[str]) -> list[str]:
        """Leave channels; returns those that had been entered."""
        left = [channel for channel in dict.fromkeys(channels) if channel in self._channels]
        for channel in left:
            del self._channels[channel]
            self._subscriptions.remove(channel, self._listener)
        return left

    def leave_all(self) -> None:
        self.leave(list(self._channels))
