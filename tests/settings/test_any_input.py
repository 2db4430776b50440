"""Whatever a file or the environment says, the answer is settings or a SettingsError."""

import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.settings import Secret, SettingsError, as_toml, load


class Fast(msgspec.Struct, frozen=True, tag="fast", tag_field="kind"):
    depth: Literal[10, 20] = 20


class Slow(msgspec.Struct, frozen=True, tag="slow", tag_field="kind"):
    every_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Inner(msgspec.Struct, frozen=True, rename="kebab"):
    secret_key: Secret | None = None
    amounts: tuple[Decimal, ...] = ()
    kinds: dict[str, Fast | Slow] = {}
    free: dict[str, Any] = {}


class Schema(msgspec.Struct, frozen=True):
    live: bool = False
    number: int | None = None
    names: list[str] = []
    pair: tuple[int, str] = (1, "a")
    one: Inner = Inner()
    many: dict[str, Inner] = {}
    listed: tuple[Inner, ...] = ()


KEYS = st.sampled_from(
    [
        "live",
        "number",
        "names",
        "pair",
        "one",
        "many",
        "listed",
        "secret-key",
        "amounts",
        "kinds",
        "free",
        "kind",
        "every_s",
        "depth",
    ]
)
SCALARS = st.sampled_from(
    ["", "fast", "slow", "env:X", "file:x", "1.5", "NaN", "1e999", True, 0, -1, 10, 2**70, 0.5, float("inf")]
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    tree=st.dictionaries(KEYS, TREES, max_size=6),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    key=KEYS,
)
def test_any_tree_is_settings_or_refused(tmp_path, tree, text, key):
    file = tmp_path / "any.toml"
    file.write_text(as_toml(tree), encoding="utf-8")
    settle(file, {f"TRADENODE__{key.upper()}": text, f"TRADENODE__MANY__A__{key.upper().replace('-', '_')}": text})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=st.binary(max_size=200))
def test_any_bytes_are_settings_or_refused(tmp_path, content):
    file = tmp_path / "any.toml"
    file.write_bytes(content)
    settle(file, {})


def settle(file: Path, env: dict[str, str]) -> None:
    with contextlib.suppress(SettingsError):
        assert isinstance(load(file, Schema, env), Schema)


def test_a_renamed_key_is_known_by_its_name_in_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[one]\nsecret_key = 'x'\n")
    with pytest.raises(SettingsError, match=r"one\.secret_key: unknown key; did you mean 'secret-key'"):
        load(file, Schema, {})
    file.write_text("[one]\nsecret-key = 'env:X'\n")
    assert load(file, Schema, {"X": "x"}).one.secret_key == Secret("x")
