"""The keeper of one venue's keys: what they may do, and new ones in place of old ones without a restart.

At the start, after every change and then every hour the venue is asked what each pair may do. Trade off: the account's orders are
refused until it is on. Withdraw on, or read off: people are told. No answer is no verdict; it is asked again and nothing is held up.

A pair is read again from its place when somebody asks for it, and by itself when the venue did not accept the present one: often at first
and then less and less. It is tried before it is used, with questions that change nothing. What cannot be read, is not accepted, or
shows another account leaves the present pair where it is, and people are told. A good one is in use with the next request; the account
opens its private stream anew, which closes the order gate for as long as any reconnect does, and loses nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, TypeVar

import msgspec
import trio

from actors.credentials.pairs import HeldKeys, Kept, KeyPair, shortened
from actors.credentials.rights import findings
from actors.credentials.trial import Trial, try_out
from actors.messages import (
    Checked,
    CheckKeys,
    KeyRefused,
    KeyReplaced,
    Notify,
    ReadKeysAgain,
    Reloaded,
    ReloadKeys,
    ReloadOutcome,
    VenueReachable,
    ask_venue,
    notice_by,
)
from actors.recorder import Enter
from engine.kernel import Actor, ActorDown, Backoff, ChildSpec, MailboxFull, OnExhausted, Ref, Reply, on
from engine.model import Severity
from engine.settings import SecretUnavailable
from engine.store import Commit, Store
from engine.venues.base import KeyPermissions, Venue, VenueError, VenueRest

R = TypeVar("R")
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_AS_WANTED = (ReloadOutcome.REPLACED, ReloadOutcome.UNCHANGED, ReloadOutcome.FIXED)  # no trouble
_FRESH_S = 10.0  # a request signed with the old pair may be refused so long after it was replaced
_TOLD_AGAIN_S = 3600.0


class KeysSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How keys are looked after. A pair the venue did not accept is read again by itself after `reread_min_s` at the soonest, and
    the longer it is not accepted, the less often, down to once in `reread_max_s`."""

    check_every_s: Seconds = 3600.0  # how often the venue is asked what a pair may do
    retry_min_s: Seconds = 2.0  # when it did not say
    retry_max_s: Seconds = 300.0
    timeout_s: Seconds = 15.0
    reread_min_s: Seconds = 5.0
    reread_max_s: Seconds = 300.0


class KeysDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What a keeper works with. `told`: by account, who has to know of a new pair."""

    venue: Venue
    held: Mapping[str, HeldKeys]
    told: Mapping[str, tuple[Ref, ...]]
    settings: KeysSettings
    store: Store
    session: Ref
    recorder: Ref
    notifier: Ref


class _Care:
    """What the keeper remembers of one account beside its pair."""

    def __init__(self) -> None:
        self.turn = trio.Lock()  # one trial at a time
        self.look = trio.Event()  # ask for the permissions now
        self.rereads = 0  # in a row, without a good end
        self.reread_from_s = float("-inf")
        self.fresh_until_s = float("-inf")  # until then a refusal is more likely of the old pair than of the new one
        self.told: dict[str, float] = {}  # trouble, by its words → when people were told


class KeyKeeper(Actor):
    """See the module's page."""

    def __init__(self, desk: KeysDesk) -> None:
        super().__init__()
        self._desk = desk
        settings = self._settings = desk.settings
        self._care = {account: _Care() for account in desk.held}
        self._patience = Backoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s, jitter=0.5)
        self._restraint = Backoff(min_s=settings.reread_min_s, max_s=settings.reread_max_s, jitter=0.5)

    async def on_start(self) -> None:
        for account in self._desk.held:
            self.spawn(self._keep_checked, account, name=f"permissions of {account}")

    # ── what a pair may do ────────────────────────────────────────────────────────────────────────────────────────────

    @on(VenueReachable)
    def venue_reachable(self, _message: VenueReachable) -> None:
        for care in self._care.values():
            care.look.set()

    @on(CheckKeys)
    def check_keys(self, message: CheckKeys) -> None:
        self.spawn(self._check_all, message.accounts, self.defer_reply(), name="check")

    async def _check_all(self, accounts: tuple[str, ...], reply: Reply[tuple[Checked, ...]]) -> None:
        reply.send(await _together(self._check, accounts))

    async def _keep_checked(self, account: str) -> None:
        """For ever; soon again when there was no answer, and at once when somebody says that there may be one now."""
        care, failures = self._care[account], 0
        while True:
            checked = await self._check(account)
            failures = failures + 1 if checked.problem else 0
            pause_s = self._patience.delay_s(failures, self.ctx.entropy) if failures else self._settings.check_every_s
            with trio.move_on_after(pause_s):
                await care.look.wait()
            care.look = trio.Event()

    async def _check(self, account: str) -> Checked:
        """Ask over the session, with the pair in use."""
        held = self._desk.held[account]
        generation = held.generation
        try:
            found = await ask_venue(
                self._desk.session, "permissions", _permissions, account=account, timeout_s=self._settings.timeout_s
            )
        except VenueError as error:
            held.unanswered = f"{type(error).__name__}: {error}"
            self.log.info("{}: what the key pair may do is not known: {}", account, held.unanswered)
            return Checked(account, None, held.unanswered)
        if held.generation == generation:
            self._learn(held, found)
        return Checked(account, found)

    def _learn(self, held: HeldKeys, found: KeyPermissions) -> None:
        before = findings(held.permissions, play_money=held.play_money)
        held.learned(found)
        self._care[held.account].rereads = 0
        now = findings(found, play_money=held.play_money)
        for finding in now:
            if finding not in before:
                self._tell(finding.severity, finding.kind, held, finding.text)
        for finding in before:
            if finding not in now:
                self._tell(Severity.INFO, f"{finding.kind}.over", held, f"no longer so: {finding.text}")

    # ── refused by the venue ──────────────────────────────────────────────────────────────────────────────────────────

    @on(KeyRefused)
    def key_refused(self, message: KeyRefused) -> None:
        held, care, now_s = self._desk.held[message.account], self._care[message.account], self.ctx.clock.monotonic_s()
        if now_s < care.fresh_until_s:
            return  # one of the new pair is said again
        if not held.refusal:
            care.look.set()  # from now on it is asked until it is accepted, and each "no" leads here
        held.refused(message.words)
        self._complain("keys.refused", held, "the venue does not accept the key pair", message.words)
        if held.kept is not Kept.NOWHERE and now_s >= care.reread_from_s and not care.turn.locked():
            care.rereads += 1
            care.reread_from_s = now_s + self._restraint.delay_s(care.rereads, self.ctx.entropy)
            self.spawn(self._reload, held.account, name=f"new pair of {held.account}")

    # ── a new pair ────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(ReadKeysAgain)
    def read_again(self, _message: ReadKeysAgain) -> None:
        for held in self._desk.held.values():
            self.spawn(self._reload, held.account, name=f"new pair of {held.account}")

    @on(ReloadKeys)
    def reload_keys(self, message: ReloadKeys) -> None:
        self.spawn(self._reload_all, message, self.defer_reply(), name="reload")

    async def _reload_all(self, message: ReloadKeys, reply: Reply[tuple[Reloaded, ...]]) -> None:
        reply.send(await _together(partial(self._reload, trust=message.trust), message.accounts))

    async def _reload(self, account: str, *, trust: bool = False) -> Reloaded:
        """Read, try, use. The pair in use stays unless all of it went well."""
        held = self._desk.held[account]
        async with self._care[account].turn:
            if held.read_again is None:
                return self._left(held, ReloadOutcome.FIXED, _FIXED[held.kept])
            try:
                pair = held.read_again()
            except SecretUnavailable as error:
                return self._left(held, ReloadOutcome.UNREADABLE, f"the new one cannot be read: {error}")
            if pair == held.pair:
                fixed = _FIXED.get(held.kept)
                outcome = ReloadOutcome.FIXED if fixed else ReloadOutcome.UNCHANGED
                return self._left(held, outcome, fixed or "its place holds the pair that is in use")
            desk = self._desk
            trial = await try_out(desk.venue, desk.store, held, pair, timeout_s=self._settings.timeout_s, trust=trust)
            if trial.outcome is not None:
                return self._left(held, trial.outcome, f"{shortened(pair.key)}: {trial.text}")
            return self._use(held, pair, trial)

    def _left(self, held: HeldKeys, outcome: ReloadOutcome, text: str) -> Reloaded:
        if outcome not in _AS_WANTED:
            self._complain("keys.kept", held, "the key pair in use stays", text)
        self.log.info("{}: key pair {}: {}", held.account, outcome, text)
        return Reloaded(held.account, outcome, text, shortened(held.key))

    def _use(self, held: HeldKeys, pair: KeyPair, trial: Trial) -> Reloaded:
        old, care = shortened(held.key), self._care[held.account]
        held.replace(pair)
        care.rereads, care.fresh_until_s = 0, self.ctx.clock.monotonic_s() + _FRESH_S
        care.told.clear()
        now = shortened(pair.key)
        text = f"requests are signed with {now}, in place of {old}" if now != old else "the secret is another one now"
        self._tell(Severity.INFO, "keys.replaced", held, text)
        self._announce(held.account)
        if trial.permissions is not None:
            self._learn(held, trial.permissions)
        else:
            care.look.set()
        return Reloaded(held.account, ReloadOutcome.REPLACED, text, now)

    def _announce(self, account: str) -> None:
        """Whoever is not there begins with the new pair when he comes."""
        for ref in self._desk.told[account]:
            try:
                ref.tell(KeyReplaced(account))
            except (ActorDown, MailboxFull) as error:
                self.log.warning("{}: not told of the new key pair: {}", account, error)

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _complain(self, kind: str, held: HeldKeys, what: str, why: str) -> None:
        """Of the same trouble once in a while, whatever figures it comes with."""
        told, now_s = self._care[held.account].told, self.ctx.clock.monotonic_s()
        if now_s - told.get(what, float("-inf")) >= _TOLD_AGAIN_S:
            told[what] = now_s
            self._tell(Severity.ERROR, kind, held, f"{what}: {why}")

    def _tell(self, severity: Severity, kind: str, held: HeldKeys, text: str) -> None:
        """In the journal, and to people. Never anything of a secret."""
        words = f"{held.account}: {text}"
        self._desk.recorder.tell(Enter((Commit(kind, (), note=words[:1000], actor=self.ctx.path),)))
        self._desk.notifier.tell(Notify(notice_by(self.ctx, severity, kind, words)))


async def _permissions(rest: VenueRest) -> KeyPermissions:
    return await rest.permissions()


async def _together(do: Callable[[str], Awaitable[R]], accounts: Sequence[str]) -> tuple[R, ...]:
    """For each account at once; the results in their order."""
    done: dict[str, R] = {}

    async def one(account: str) -> None:
        done[account] = await do(account)

    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(one, account)
    return tuple(done[account] for account in accounts)


#: What people must know who have just replaced it there.
_FIXED = {
    Kept.AT_START: (
        "nothing changed: a running process has the environment and the systemd credentials it was started with;"
        " keep the pair in files (file:PATH) to replace it while the node runs, or start the node anew"
    ),
    Kept.NOWHERE: (
        "nothing changed: the pair is in no place of its own that could be read again;"
        " keep it in files (file:PATH) to replace it while the node runs"
    ),
}


def keeper_spec(desk: KeysDesk) -> ChildSpec:
    """The keeper's place in the tree, beside the accounts of its venue."""
    return ChildSpec("keys", lambda: KeyKeeper(desk), on_exhausted=OnExhausted.PARK)
