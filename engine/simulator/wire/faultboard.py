"""Which faults are in force. The servers ask it at each point where something could go wrong; it never acts by itself."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, cast

import msgspec
import trio

from engine.kernel import Clock, Entropy
from engine.simulator.wire.faults import AnyFault, DayCut, Drop, EndListenKeys, Fault, GarbageFrame, SkipSequence

__all__ = ["ActiveFault", "Effects", "FaultBoard", "Site", "TooManyFaults"]

MAX_ACTIVE = 1000

F = TypeVar("F", bound=Fault)


class TooManyFaults(Exception):
    """The board is full; lift some first."""


class Site(msgspec.Struct, frozen=True):
    """A point where a fault may strike: a connection, a request or reply (`method`), or a notification (`channel`).

    `aliases` are more names of the channel, `call` is one more of the method. `socket` is False where HTTP is spoken, or
    nothing yet.
    """

    venue: str
    connection: int | None = None
    method: str = ""
    channel: str = ""
    aliases: tuple[str, ...] = ()
    call: str = ""
    socket: bool = True


class Effects(Protocol):
    """What a venue's server does when a fault comes into force and when it goes."""

    def started(self, fault: AnyFault) -> None: ...

    def ended(self, fault: AnyFault) -> None: ...


class ActiveFault(msgspec.Struct):
    """A fault in force. `until_s` is monotonic, `left` the strikes it still has; None means no end."""

    id: int
    fault: AnyFault
    until_s: float | None
    left: int | None
    struck: int = 0


class FaultBoard:
    """All faults of one simulator, whatever the venue."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._active: dict[int, ActiveFault] = {}
        self._by_kind: dict[type[Fault], list[ActiveFault]] = {}
        self._effects: dict[str, Effects] = {}
        self._last_id = 0
        self._changed = trio.Event()
        self.struck: Counter[str] = Counter()  # strikes by kind, for ever

    def attach(self, venue: str, effects: Effects) -> None:
        """Tell `effects` of each fault that concerns `venue`."""
        self._effects[venue] = effects

    @property
    def calm(self) -> bool:
        """No fault at all is in force: for those who ask often."""
        return not self._active

    def add(self, fault: AnyFault) -> int:
        """Put `fault` in force; its id lifts it. One that acts at once and never again is over when this returns."""
        if len(self._active) >= MAX_ACTIVE:
            raise TooManyFaults(f"at most {MAX_ACTIVE} faults at a time")
        self._last_id += 1
        if _acts_once(fault):
            self._tell(fault, lambda effects: effects.started(fault))
            return self._last_id
        until_s = None if fault.duration_s is None else self._clock.monotonic_s() + fault.duration_s
        active = ActiveFault(self._last_id, fault, until_s, fault.count)
        self._active[active.id] = active
        self._by_kind.setdefault(type(fault), []).append(active)
        self._tell(fault, lambda effects: effects.started(fault))
        self._signal()
        return active.id

    def lift(self, fault_id: int) -> bool:
        """End a fault. False if it is not in force (any more)."""
        active = self._active.pop(fault_id, None)
        if active is None:
            return False
        kind = self._by_kind[type(active.fault)]
        kind.remove(active)
        self._tell(active.fault, lambda effects: effects.ended(active.fault))
        self._signal()
        return True

    def lift_all(self) -> int:
        """End every fault; how many there were."""
        ids = list(self._active)
        for fault_id in ids:
            self.lift(fault_id)
        return len(ids)

    def active(self) -> list[ActiveFault]:
        return list(self._active.values())

    def newest(self, kind: type[F], venue: str) -> F | None:
        """The fault of `kind` that came last and is still in force at `venue`."""
        return next(
            (
                cast(F, active.fault)
                for active in reversed(self._by_kind.get(kind, []))
                if active.fault.venue in ("", venue)
            ),
            None,
        )

    def targets(self, fault: Fault, sites: Iterable[Site]) -> list[Site]:
        """The sites that a fault which acts at once strikes: they match, were rolled, and are no more than its count."""
        struck = [site for site in sites if _matches(fault, site) and self._roll(fault.probability)]
        struck = struck[: fault.count]
        self.struck[_kind(fault)] += len(struck)
        return struck

    def holds(self, kind: type[Fault], site: Site) -> bool:
        """Whether a fault of `kind` is in force at `site`; nothing is rolled or counted."""
        return any(_matches(active.fault, site) for active in self._by_kind.get(kind, ()))

    def ends_in_s(self, kind: type[Fault], site: Site) -> float | None:
        """How long faults of `kind` will still be in force at `site`; None if one has no end."""
        ends = [active.until_s for active in self._by_kind.get(kind, ()) if _matches(active.fault, site)]
        known = [until_s for until_s in ends if until_s is not None]
        return max(known, default=0.0) - self._clock.monotonic_s() if len(known) == len(ends) else None

    def take(self, kind: type[F], site: Site, *, sockets_only: bool = False) -> F | None:
        """The fault of `kind` that strikes at `site` now, if any: its probability is rolled and its count used up.

        With `sockets_only` faults that strike HTTP as well are passed over: they had their turn before.
        """
        for active in self._by_kind.get(kind, ()):
            if sockets_only and not active.fault.sockets_only:
                continue
            if _matches(active.fault, site) and self._roll(active.fault.probability):
                self._strike(active)
                return cast(F, active.fault)
        return None

    async def until_clear(self, site: Site, *kinds: type[Fault]) -> None:
        """Return once no fault of `kinds` is in force at `site`; at once, mostly."""
        while any(self.holds(kind, site) for kind in kinds):
            await self.changed()

    async def changed(self) -> None:
        """Return when a fault has come or gone."""
        await self._changed.wait()

    async def run(self) -> None:
        """Lift faults whose time is over. Runs as long as the simulator does."""
        while True:
            now_s = self._clock.monotonic_s()
            ends = [(active.until_s, active.id) for active in self._active.values() if active.until_s is not None]
            for until_s, fault_id in ends:
                if until_s <= now_s:
                    self.lift(fault_id)
            pending = [until_s - now_s for until_s, _ in ends if until_s > now_s]
            with trio.move_on_after(min(pending, default=float("inf"))):
                await self.changed()

    def _roll(self, probability: float) -> bool:
        return probability >= 1.0 or self._entropy.random() < probability

    def _strike(self, active: ActiveFault) -> None:
        active.struck += 1
        self.struck[_kind(active.fault)] += 1
        if active.left is not None:
            active.left -= 1
            if active.left == 0:
                self.lift(active.id)

    def _tell(self, fault: AnyFault, action: Callable[[Effects], None]) -> None:
        for venue, effects in self._effects.items():
            if fault.venue in ("", venue):
                action(effects)

    def _signal(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _acts_once(fault: Fault) -> bool:
    if isinstance(fault, SkipSequence | DayCut | EndListenKeys):
        return True
    if isinstance(fault, Drop):
        return not fault.method and fault.duration_s is None
    return isinstance(fault, GarbageFrame) and not fault.method and not fault.channel


def _kind(fault: Fault) -> str:
    return str(type(fault).__struct_config__.tag)


def _matches(fault: Fault, site: Site) -> bool:
    if fault.venue not in ("", site.venue):
        return False
    if fault.connection is not None and fault.connection != site.connection:
        return False
    if fault.sockets_only and not site.socket:
        return False
    if not fault.method and not fault.channel:
        return True
    by_method = bool(fault.method) and (site.method.startswith(fault.method) or site.call.startswith(fault.method))
    return by_method or (bool(fault.channel) and _names(site, fault.channel))


def _names(site: Site, prefix: str) -> bool:
    return site.channel.startswith(prefix) or any(alias.startswith(prefix) for alias in site.aliases)
