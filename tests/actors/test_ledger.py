"""The ledger: what waits for a commit runs when it is durable, in order, however much of it there is."""

from pathlib import Path

from actors._ledger import Ledger
from actors.recorder import InlineHost, Recorder
from engine.kernel import Actor, ChildSpec, Entropy, Ref, SupervisorSpec, TrioClock, open_system
from engine.store import Commit, Store

MANY = 5000  # more than calls can be nested


class Writer(Actor):
    """Writes one commit and hangs a lot on it."""

    def __init__(self, recorder: Ref, order: list[int]) -> None:
        super().__init__()
        self._ledger = Ledger(recorder)
        self._order = order

    async def on_start(self) -> None:
        self._ledger.write(Commit("test", ()), lambda _seq: self._order.append(0))
        for number in range(1, MANY):
            self._ledger.after(lambda number=number: self._order.append(number))
        self.spawn(self._ledger.run)


async def test_any_number_of_things_may_wait_for_one_commit(tmp_path: Path, autojump_clock: object) -> None:
    clock, order = TrioClock(1_700_000_000_000), []
    with Store.open(tmp_path / "store", clock=clock, entropy=Entropy(1)) as store:
        async with open_system(clock, Entropy(1)) as system:
            recorder = system.address("root/recorder")
            children = (
                ChildSpec("recorder", lambda: Recorder(store, host=InlineHost)),
                ChildSpec("writer", lambda: Writer(recorder, order)),
            )
            await system.start(SupervisorSpec("root", children=children))
            await clock.sleep(1.0)
    assert order == list(range(MANY))
