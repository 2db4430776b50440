"""What a type checker knows about the public names."""

from pathlib import Path

import pytest

mypy_api = pytest.importorskip("mypy.api")
ROOT = Path(__file__).parents[2]

PROGRAM = """
from typing import assert_type
from engine.kernel import Actor, ChildSpec, Message, Ref, Reply, Request, System, on

class Price(Request[float], frozen=True):
    symbol: str

class Tick(Message, frozen=True):
    price: float

class Feed(Actor):
    @on(Tick)
    def tick(self, message: Tick) -> None: ...

    @on(Price)
    async def price(self, message: Price) -> float:
        return 1.0

async def main(system: System, ref: Ref) -> None:
    assert_type(await ref.call(Price("BTC"), timeout_s=1), float)
    assert_type(system.address("root/feed"), Ref)
    assert_type(await system.start_child("root", ChildSpec("feed", Feed)), Ref)
    ref.tell(Tick(1.0))
"""
WRONG = {
    "await ref.call(Tick(1.0), timeout_s=1)": "has incompatible type",
    'await ref.call(Price("BTC"))': "Missing positional argument",
    "ref.tell({})": "has incompatible type",
    'ChildSpec("feed", int)': "has incompatible type",
}


@pytest.mark.slow
def test_the_reply_type_follows_from_the_request_and_wrong_uses_are_told(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + "".join(f"    {line}\n" for line in WRONG))
    first = PROGRAM.count("\n") + 1
    out, err, _ = mypy_api.run(
        ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "--no-error-summary", str(program)]
    )
    assert err == ""
    errors = [line for line in out.splitlines() if ": error:" in line and "program.py" in line]
    assert len(errors) == len(WRONG), out
    for number, (line, told) in zip(
        range(first, first + len(WRONG)), zip(errors, WRONG.values(), strict=True), strict=True
    ):
        assert f"program.py:{number}: error:" in line
        assert told in line
