"""What an account works with."""

from collections.abc import Callable

import msgspec

from actors.account.settings import AccountSettings
from engine.kernel import Ref
from engine.model import Instrument
from engine.store import Store
from engine.venues.base import PrivateAdapter


class AccountDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What an account works with. It outlives incarnations."""

    account: str
    make_private: Callable[[], PrivateAdapter]
    store: Store
    settings: AccountSettings
    session: Ref
    recorder: Ref
    notifier: Ref
    orders: Ref
    triggers: Ref
    instrument: Callable[[str], Instrument | None] = lambda _name: None
