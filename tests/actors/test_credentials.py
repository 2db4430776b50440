"""Keys of accounts are looked after, replaced only by good ones, and never shown."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
import trio

from actors.credentials import (
    HeldKeys,
    Kept,
    KeyPair,
    KeysSettings,
    Sight,
    findings,
    row_of,
    shortened,
    unlike,
)
from actors.messages import KeyRefused, KeyReplaced, ReadKeysAgain, ReloadOutcome
from actors.recorder import Enter
from engine.kernel import SystemClock
from engine.model import OrderState, Position, Severity
from engine.settings import SecretUnavailable
from engine.store import Commit, Put
from engine.venues.base import KeyPermissions, NotAuthorised, Unavailable
from tests.support.keys import ACCOUNT, GOOD, keys_rig, money, pair
from tests.support.stores import order

D = Decimal
NEW = ("new key", "new secret")
SECRETS = ("old secret", "new secret")


@pytest.fixture
def rig(tmp_path):
    return lambda **options: keys_rig(tmp_path, **options)


# ── what a pair may do ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_pair_may_do_is_asked_at_the_start_and_every_hour(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        assert keys.held.permissions == GOOD
        assert (len(keys.venue.asked), keys.kinds) == (1, [])
        await trio.sleep(2 * 3600)
        assert len(keys.venue.asked) == 3


@pytest.mark.parametrize(
    ("permissions", "kind", "severity"),
    [
        (KeyPermissions(True, False, False, ""), "keys.no_trade", Severity.ERROR),
        (KeyPermissions(False, True, False, ""), "keys.no_read", Severity.ERROR),
        (KeyPermissions(True, True, True, ""), "keys.withdraw", Severity.WARNING),
    ],
)
async def test_a_wrong_right_is_told_once_and_its_end_too(rig, autojump_clock, permissions, kind, severity):
    async with rig(permissions=permissions) as keys:
        await trio.sleep(3 * 3600)
        assert [(notice.kind, notice.severity) for notice in keys.notices] == [(kind, severity)]
        keys.venue.known["old key", "old secret"] = GOOD
        await keys.check()
        assert keys.kinds == [kind, f"{kind}.over"]
        await trio.sleep(1)
        journalled = [commit.kind for message in keys.heard if isinstance(message, Enter) for commit in message.commits]
        assert journalled == keys.kinds


async def test_orders_are_refused_by_name_only_while_the_venue_says_that_the_pair_may_not_trade(rig, autojump_clock):
    async with rig(permissions=KeyPermissions(True, False, False, "")) as keys:
        await trio.sleep(1)
        refusal = keys.held.deny("limit")
        assert refusal is not None and refusal.code == "KEY_CANNOT_TRADE"
        keys.venue.known["old key", "old secret"] = GOOD
        await keys.check()
        assert keys.held.deny("limit") is None


@pytest.mark.parametrize("silent", [True, False])
async def test_no_answer_is_no_verdict_and_is_asked_for_again(rig, autojump_clock, silent):
    async with rig(permissions=Unavailable("maintenance")) as keys:
        keys.venue.silent = silent
        await trio.sleep(3600)
        assert keys.held.deny("limit") is None
        assert keys.kinds == []
        assert 10 < len(keys.venue.asked) < 30
        keys.venue.silent, keys.venue.known["old key", "old secret"] = False, GOOD
        await trio.sleep(600)
        assert keys.held.permissions == GOOD


async def test_a_right_the_venue_does_not_speak_of_is_no_finding():
    assert findings(KeyPermissions(True, None, None, "")) == findings(None) == ()


async def test_a_pair_of_the_simulated_venue_may_withdraw_play_money():
    assert findings(KeyPermissions(True, True, True, ""), play_money=True) == ()


# ── a new pair ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_pair_is_in_use_when_the_venue_accepts_it_and_whoever_has_to_know_is_told(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        done = await keys.reload()
        assert (done.outcome, done.account) == (ReloadOutcome.REPLACED, ACCOUNT)
        assert (keys.held.key, keys.held.reveal_secret(), keys.held.generation) == (*NEW, 1)
        await trio.sleep(1)
        assert (keys.replaced, keys.kinds) == (1, ["keys.replaced"])
        assert (keys.held.permissions, keys.venue.open_clients) == (GOOD, 0)


async def test_a_new_secret_of_the_same_key_is_a_new_pair(rig, autojump_clock):
    async with rig() as keys:
        keys.place[0], keys.venue.known["old key", "new secret"] = pair("old key", "new secret"), GOOD
        assert (await keys.reload()).outcome is ReloadOutcome.REPLACED
        assert keys.held.reveal_secret() == "new secret"


@pytest.mark.parametrize(
    ("place", "answer", "outcome"),
    [
        (SecretUnavailable("expected a readable file"), None, ReloadOutcome.UNREADABLE),
        (pair(*NEW), None, ReloadOutcome.REFUSED),
        (pair(*NEW), KeyPermissions(True, False, False, ""), ReloadOutcome.UNFIT),
    ],
)
async def test_what_is_no_good_leaves_the_pair_in_use_where_it_is(rig, autojump_clock, place, answer, outcome):
    async with rig() as keys:
        await trio.sleep(1)
        keys.place[0] = place
        if answer is not None:
            keys.venue.known[NEW] = answer
        done = await keys.reload()
        assert (done.outcome, keys.held.key, keys.held.generation) == (outcome, "old key", 0)
        await trio.sleep(1)
        assert (keys.replaced, keys.kinds, keys.venue.open_clients) == (0, ["keys.kept"], 0)


async def test_a_venue_that_does_not_answer_replaces_nothing_and_holds_nobody_up(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        keys.place[0], keys.venue.silent = pair(*NEW), True
        with trio.fail_after(20):
            assert (await keys.reload()).outcome is ReloadOutcome.UNANSWERED
        assert keys.held.key == "old key"


async def test_a_pair_that_may_not_trade_is_better_than_one_that_is_not_accepted(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        del keys.venue.known["old key", "old secret"]
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), KeyPermissions(True, False, False, "")
        assert (await keys.check()).permissions is None
        await trio.sleep(1)
        assert keys.held.key == "new key"
        assert keys.held.deny("limit") is not None


async def test_the_same_pair_again_is_not_tried_and_nobody_is_told(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        asked = len(keys.venue.asked)
        assert (await keys.reload()).outcome is ReloadOutcome.UNCHANGED
        assert (len(keys.venue.asked), keys.kinds, keys.replaced) == (asked, [], 0)


@pytest.mark.parametrize("references", [("env:ID", "env:SECRET"), ("systemd:id", "systemd:secret")])
async def test_whoever_replaced_what_a_process_cannot_see_is_told_so(rig, autojump_clock, references):
    async with rig(references=references) as keys:
        done = await keys.reload()
        assert done.outcome is ReloadOutcome.FIXED
        assert "nothing changed" in done.text and "file:" in done.text


async def test_two_reloads_at_once_try_the_new_pair_once(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        outcomes = []
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(lambda: _note(outcomes, keys.reload))
        assert sorted(outcomes) == ["replaced", "unchanged", "unchanged"]


async def _note(outcomes, reload):
    outcomes.append(str((await reload()).outcome))


async def test_a_signal_reads_all_again(rig, autojump_clock):
    async with rig() as keys:
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        keys.keeper.tell(ReadKeysAgain())
        await trio.sleep(1)
        assert keys.held.key == "new key"


# ── refused by the venue ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_pair_is_replaced_by_itself_as_soon_as_its_place_holds_a_good_one(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        del keys.venue.known["old key", "old secret"]
        keys.keeper.tell(KeyRefused(ACCOUNT, "13004: invalid_credentials"))
        await trio.sleep(60)
        assert (keys.held.key, keys.kinds) == ("old key", ["keys.refused"])
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        await trio.sleep(600)  # the permissions are asked for all the while, and that is refused each time
        assert (keys.held.key, keys.replaced, keys.held.refusal) == ("new key", 1, "")


async def test_a_pair_that_is_refused_all_the_time_is_read_again_more_and_more_rarely(rig, autojump_clock):
    reads = []
    async with rig(settings=KeysSettings(retry_min_s=0.5, retry_max_s=0.5)) as keys:
        await trio.sleep(1)
        del keys.venue.known["old key", "old secret"]
        read = keys.held.read_again
        keys.held.read_again = lambda: (reads.append(trio.current_time()), read())[1]
        await keys.check()
        await trio.sleep(3600)
        gaps = [after - before for before, after in pairwise(reads)]
        assert 12 < len(reads) < 25
        assert 5 <= gaps[0] <= 9 and 300 <= gaps[-1] <= 451
        assert len(set(gaps)) == len(gaps)  # jittered
        assert keys.kinds == ["keys.refused"]  # once an hour


async def test_a_bad_pair_in_its_place_is_told_once_while_it_is_tried_again_and_again(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        del keys.venue.known["old key", "old secret"]
        keys.place[0] = pair(*NEW)
        await keys.check()
        await trio.sleep(3000)
        assert keys.kinds == ["keys.refused", "keys.kept"]


async def test_a_request_signed_with_the_old_pair_says_nothing_against_the_new_one(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        await keys.reload()
        keys.keeper.tell(KeyRefused(ACCOUNT, "of the old one"))
        await trio.sleep(5)
        assert (keys.kinds, keys.held.refusal) == (["keys.replaced"], "")


async def test_a_pair_that_is_accepted_again_is_in_order_again(rig, autojump_clock):
    async with rig() as keys:
        keys.keeper.tell(KeyRefused(ACCOUNT, "an address that was not on its list"))
        await trio.sleep(1)
        assert (keys.kinds, row_of(keys.held).problem) == (["keys.refused"], "")
        assert row_of(keys.held).refused_at_ms is not None


# ── whose pair it is ───────────────────────────────────────────────────────────────────────────────────────────────────


def sight(orders=(), positions=(), **cash):
    return Sight(frozenset(orders), frozenset(positions), {name: D(amount) for name, amount in cash.items()})


@pytest.mark.parametrize(
    ("known", "shown", "same"),
    [
        (sight(["a", "b"]), sight(["b", "c"]), True),
        (sight(["a"]), sight(["c"]), False),
        (sight(["a"], [("p", D(1))]), sight([], [("p", D(1))]), True),
        (sight([], [("p", D(1))]), sight([], [("p", D(2))]), False),
        (sight([], [("p", D(1))]), sight(), False),
        (sight(BTC="1"), sight([], [("p", D(2))], BTC="1"), False),
        (sight(BTC="1", ETH="2"), sight(BTC="1", ETH="3"), True),
        (sight(BTC="1"), sight(BTC="2"), False),
        (sight(BTC="1", ETH="0"), sight(BTC="2", ETH="0"), False),
        (sight(), sight(BTC="2"), True),  # nothing is known yet
        (sight(), sight(), True),
    ],
)
def test_an_account_is_known_again_by_what_it_has(known, shown, same):
    assert (unlike(known, shown) == "") is same


async def hold(keys, instrument, amount):
    held = Position(account=ACCOUNT, instrument=instrument, amount=D(amount), updated_at_ms=1)
    keys.store.commit([Commit("account.sync", (Put("positions", held.key, held),))])
    return held


async def test_a_pair_of_another_account_is_not_used_unless_somebody_answers_for_it(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        held = await hold(keys, "sim:X", "5")
        keys.venue.held = (msgspec.structs.replace(held, amount=D(7)),)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        done = await keys.reload()
        assert (done.outcome, keys.held.key) == (ReloadOutcome.UNFIT, "old key")
        assert "does not look like" in done.text
        assert (await keys.reload(trust=True)).outcome is ReloadOutcome.REPLACED


async def test_what_trades_while_it_is_looked_at_is_still_the_same_account(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        held = await hold(keys, "sim:X", "5")
        keys.venue.held = (msgspec.structs.replace(held, amount=D(7)),)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_after, 0.5, hold, keys, "sim:X", "7")
            assert (await keys.reload()).outcome is ReloadOutcome.REPLACED


async def _after(pause_s, do, *args):
    await trio.sleep(pause_s)
    await do(*args)


async def test_live_orders_tell_an_account_from_another(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        live = order(1, account=ACCOUNT, state=OrderState.OPEN)
        keys.store.commit([Commit("order.accepted", (Put("orders", live.order_id, live),))])
        keys.venue.cash = (money("BTC", "1"),)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        done = await keys.reload()
        assert (done.outcome, "1 live orders" in done.text) == (ReloadOutcome.UNFIT, True)


# ── never shown ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "shown"),
    [("", "…"), ("abc", "…"), ("abcdefgh", "ab…"), ("abcdefghijklmnop", "abcd…mnop"), ("x" * 64, "xxxx…xxxx")],
)
def test_a_key_is_shown_by_its_ends_and_a_short_one_hardly_at_all(key, shown):
    assert shortened(key) == shown


async def test_nothing_that_is_told_or_answered_holds_a_secret_or_a_whole_key(rig, autojump_clock):
    whole = ("a long key of sixteen or more", "new secret")
    async with rig() as keys:
        await trio.sleep(1)
        told = [await keys.check(), row_of(keys.held), keys.held.pair]
        keys.place[0] = pair(*whole)
        told.append(await keys.reload())
        keys.venue.known[whole] = GOOD
        told += [await keys.reload(), row_of(keys.held), keys.held.pair, KeyReplaced(ACCOUNT)]
        keys.keeper.tell(KeyRefused(ACCOUNT, str(NotAuthorised("no"))))
        await trio.sleep(30)
        text = repr(told) + repr(keys.heard) + msgspec.json.encode(row_of(keys.held)).decode()
        assert keys.held.generation == 1
        assert not any(secret in text for secret in (*SECRETS, whole[0]))


def test_where_a_pair_is_kept_says_whether_it_can_change():
    def held(*references):
        return HeldKeys("a", pair("k", "s"), SystemClock(), references=references, read_again=lambda: pair("k", "s"))

    assert held("file:a", "file:b").kept is held("env:A", "file:b").kept is Kept.CHANGES
    assert held("env:A", "env:B").kept is held("env:A", "systemd:b").kept is Kept.AT_START
    assert held("***", "***").kept is Kept.NOWHERE
    assert HeldKeys("a", KeyPair("k", pair("", "s").secret), SystemClock()).kept is Kept.NOWHERE


async def test_a_new_pair_that_is_refused_right_after_its_trial_is_asked_about_and_not_hammered(rig, autojump_clock):
    async with rig() as keys:
        await trio.sleep(1)
        keys.place[0], keys.venue.known[NEW] = pair(*NEW), GOOD
        await keys.reload()
        del keys.venue.known[NEW]
        asked = len(keys.venue.asked)
        await keys.check()
        await trio.sleep(9)
        assert len(keys.venue.asked) - asked < 5
        await trio.sleep(10)
        await keys.check()
        await trio.sleep(1)
        assert "keys.refused" in keys.kinds
