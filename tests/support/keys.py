"""A keeper of keys with a scripted venue behind it: pairs it knows, what each may do, and what its account shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import trio

from actors.credentials import HeldKeys, KeyPair, KeysDesk, KeysSettings, keeper_spec
from actors.messages import Answered, CheckKeys, KeyRefused, KeyReplaced, Notify, ReloadKeys, VenueCall
from actors.recorder import Enter
from engine.kernel import Actor, ChildSpec, Entropy, Message, Ref, SupervisorSpec, TrioClock, on, open_system
from engine.model import Balance, Notice, OrderReport, Position
from engine.settings import Secret
from engine.store import Store
from engine.venues.base import Credentials, KeyPermissions, NotAuthorised, VenueError
from tests.support.kernel import EPOCH_MS
from tests.support.stores import MAP_SIZE

ACCOUNT = "sim:main"
GOOD = KeyPermissions(True, True, False, "read and trade")


def pair(key: str, secret: str) -> KeyPair:
    return KeyPair(key, Secret(secret))


class ScriptedVenue:
    """`known`: what the pairs it accepts may do; an error in a right's place is the answer."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], KeyPermissions | VenueError] = {}
        self.silent = False
        self.live: tuple[OrderReport, ...] = ()
        self.held: tuple[Position, ...] = ()
        self.cash: tuple[Balance, ...] = ()
        self.asked: list[str] = []  # with which key
        self.open_clients = 0
        self.in_use: HeldKeys | None = None

    def rest(self, account: str, credentials: Credentials | None = None) -> "ScriptedRest":
        signer = credentials or self.in_use
        assert signer is not None, "nobody signs"
        self.open_clients += 1
        return ScriptedRest(self, signer)


class ScriptedRest:
    def __init__(self, venue: ScriptedVenue, signer: Credentials) -> None:
        self._venue = venue
        self._signer = signer

    async def _let_in(self) -> KeyPermissions | VenueError:
        key = (self._signer.key, self._signer.reveal_secret())
        self._venue.asked.append(key[0])
        if self._venue.silent:
            await trio.sleep_forever()
        if key not in self._venue.known:
            raise NotAuthorised("13004: invalid_credentials")
        return self._venue.known[key]

    async def permissions(self) -> KeyPermissions:
        found = await self._let_in()
        if isinstance(found, VenueError):
            raise found
        return found

    async def open_orders(self) -> tuple[OrderReport, ...]:
        await self._let_in()
        return self._venue.live

    async def positions(self) -> tuple[Position, ...]:
        await self._let_in()
        return self._venue.held

    async def balances(self) -> tuple[Balance, ...]:
        await self._let_in()
        return self._venue.cash

    async def close(self) -> None:
        self._venue.open_clients -= 1


class ScriptedSession(Actor):
    """Carries calls out with the pair in use, and tells the keeper of refusals, as the real one does."""

    def __init__(self, venue: ScriptedVenue, keeper: Ref) -> None:
        super().__init__()
        self._venue = venue
        self._keeper = keeper

    @on(VenueCall)
    def answer(self, call: VenueCall) -> None:
        self.spawn(self._answer, call, self.defer_reply())

    async def _answer(self, call: VenueCall, reply: Any) -> None:
        rest = self._venue.rest(call.account)
        try:
            with trio.move_on_after(call.deadline_s):
                reply.send(Answered(value=await call.do(rest)))
        except VenueError as error:
            if isinstance(error, NotAuthorised):
                self._keeper.tell(KeyRefused(call.account, str(error)))
            reply.send(Answered(error=error))
        finally:
            await rest.close()
            reply.send(Answered(error=VenueError("no answer")))


class Listener(Actor):
    def __init__(self, heard: list[Message]) -> None:
        super().__init__()
        self._heard = heard

    @on(Notify, Enter, KeyReplaced)
    def hear(self, message: Message) -> None:
        self._heard.append(message)


class KeysRig:
    """What a test holds: the place the pair is kept at is a list with one pair in it, or the error that reading it raises."""

    def __init__(self, venue: ScriptedVenue, store: Store, place: list[Any]) -> None:
        self.venue = venue
        self.store = store
        self.place = place
        self.heard: list[Message] = []
        self.held: HeldKeys
        self.keeper: Ref

    @property
    def notices(self) -> list[Notice]:
        return [message.notice for message in self.heard if isinstance(message, Notify)]

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    @property
    def replaced(self) -> int:
        """How many were told that the pair is another."""
        return sum(isinstance(message, KeyReplaced) for message in self.heard)

    async def reload(self, *, trust: bool = False) -> Any:
        (done,) = await self.keeper.call(ReloadKeys((ACCOUNT,), trust), timeout_s=60)
        return done

    async def check(self) -> Any:
        (done,) = await self.keeper.call(CheckKeys((ACCOUNT,)), timeout_s=60)
        return done


@asynccontextmanager
async def keys_rig(
    path: Path,
    *,
    references: tuple[str, ...] = ("file:id", "file:secret"),
    settings: KeysSettings | None = None,
    permissions: KeyPermissions | VenueError = GOOD,
) -> AsyncIterator[KeysRig]:
    """A keeper whose pair is ("old key", "old secret") and accepted."""
    venue, place = ScriptedVenue(), [pair("old key", "old secret")]
    venue.known["old key", "old secret"] = permissions

    def read_again() -> KeyPair:
        if isinstance(place[0], Exception):
            raise place[0]
        return place[0]

    clock, entropy = TrioClock(EPOCH_MS), Entropy(1)
    with Store.open(path, clock=clock, entropy=entropy, map_size=MAP_SIZE) as store:
        async with open_system(clock, entropy) as system:
            rig = KeysRig(venue, store, place)
            rig.held = venue.in_use = HeldKeys(ACCOUNT, place[0], clock, references=references, read_again=read_again)
            rig.keeper = system.address("root/keys")
            listener = system.address("root/listener")
            desk = KeysDesk(
                venue=venue,  # type: ignore[arg-type]
                held={ACCOUNT: rig.held},
                told={ACCOUNT: (listener,)},
                settings=settings or KeysSettings(),
                store=store,
                session=system.address("root/session"),
                recorder=listener,
                notifier=listener,
            )
            children = (
                ChildSpec("listener", lambda: Listener(rig.heard)),
                ChildSpec("session", lambda: ScriptedSession(venue, rig.keeper)),
                keeper_spec(desk),
            )
            await system.start(SupervisorSpec("root", children=children))
            yield rig


def money(currency: str, amount: str) -> Balance:
    value = Decimal(amount)
    return Balance(account=ACCOUNT, currency=currency, balance=value, equity=value, available=value, updated_at_ms=1)
