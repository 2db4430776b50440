"""What a test says of a drill that did not hold: how to bring it back, and everything that was not as it should be."""

from typing import Any, NoReturn

import msgspec
import pytest


def check_held(name: str, result: dict[str, Any], *, count: int, seed: int) -> None:
    """Fails unless the drill, run with `count` and `seed`, says that it held."""
    if not result["ok"]:
        replay = result.get("replay") or [f"--count {count} --seed {seed}"]
        fail(result, *(f"scripts/drill {name} {arguments}" for arguments in replay))


def fail(result: dict[str, Any], *commands: str) -> NoReturn:
    """Fails with the commands that replay it, each on its line, and all of the result on another."""
    again = [f"again: {command}" for command in commands]
    pytest.fail("\n".join(["the drill did not hold", *again, told(result)]), pytrace=False)


def told(result: dict[str, Any]) -> str:
    """As one line of JSON, without the counts that are zero."""
    said = {key: value for key, value in _without_zeros(result).items() if key != "replay"}
    return msgspec.json.encode(said, enc_hook=str).decode()


def _without_zeros(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _without_zeros(each) for key, each in value.items()}
    return {key: each for key, each in inner.items() if each is False or each not in (0, "", None, [], {})}
