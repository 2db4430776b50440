"""A profile or file becomes frozen settings, and every mistake in it is named with its place."""

from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from engine.settings import Secret, SettingsError, load, profile_path, profile_text, profiles


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str = ""
    client_secret: Secret | None = None
    max_position: Decimal = Decimal(0)


class Streaming(msgspec.Struct, frozen=True, tag="streaming", tag_field="mode"):
    depth: Literal[10, 20] = 20


class Polling(msgspec.Struct, frozen=True, tag="polling", tag_field="mode"):
    every_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Only(msgspec.Struct, frozen=True, tag="only", tag_field="kind"):
    depth: int = 0


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    heartbeat_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10
    symbols: Annotated[tuple[str, ...], msgspec.Meta(max_length=3)] = ()
    accounts: dict[str, Account] = {}
    feed: Streaming | Polling = Streaming()


class Range(msgspec.Struct, frozen=True):
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got {self.low} and {self.high}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    live: bool = False
    name: str = "node"
    side: Side = Side.BUY
    data: str = "var"
    limit: int | None = None
    range: Range = Range()
    ranges: tuple[Range, ...] = ()
    only: Only = Only()
    venues: dict[str, Venue] = {}


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def problems(path: Path, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, Settings, env or {})
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_file_gives_the_defaults(write):
    assert load(write(""), Settings, {}) == Settings()


def test_a_file_decodes_into_the_types_of_the_schema(write):
    file = write(
        """
        name = "a"
        side = "sell"
        data = "/srv/node"
        limit = 3
        [venues.deribit]
        url = "wss://x"
        heartbeat_s = 5
        symbols = ["BTC-PERPETUAL"]
        feed = { mode = "polling", every_s = 2 }
        [venues.deribit.accounts.main]
        max_position = "0.10"
        """
    )
    assert load(file, Settings, {}) == Settings(
        name="a",
        side=Side.SELL,
        data="/srv/node",
        limit=3,
        venues={
            "deribit": Venue(
                url="wss://x",
                heartbeat_s=5.0,
                symbols=("BTC-PERPETUAL",),
                accounts={"main": Account(max_position=Decimal("0.10"))},
                feed=Polling(every_s=2.0),
            )
        },
    )


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_name(write):
    file = write('# mine\n\n[venues.deribit]\nurl = "x"\nheartbeats = 4\n')
    assert problems(file) == [f"{file}:5: venues.deribit.heartbeats: unknown key; did you mean 'heartbeat_s'?"]


def test_an_unknown_key_near_to_nothing_gets_no_suggestion(write):
    file = write("zzzzzz = 1\n")
    assert problems(file) == [f"{file}:1: zzzzzz: unknown key"]


def test_an_unknown_key_inside_a_tagged_table_is_refused(write):
    file = write('[venues.d]\nurl = "x"\nfeed = { mode = "polling", ever_s = 2 }\n')
    assert problems(file) == [f"{file}:3: venues.d.feed.ever_s: unknown key; did you mean 'every_s'?"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("limit = 'many'", "limit: expected int | null, got 'many' (str)"),
        ("live = 1", "live: expected bool, got 1 (int)"),
        ("name = 5", "name: expected str, got 5 (int)"),
        ("side = 'bye'", "side: expected one of 'buy', 'sell', got 'bye' (str); did you mean 'buy'?"),
        ("range = 5", "range: expected table, got int"),
        ("ranges = {}", "ranges: expected array, got table"),
        ("ranges = [{}, { low = 'x' }]", "ranges[1].low: expected int, got 'x' (str)"),
        ("range = { low = 2 }", "range: expected low <= high, got 2 and 1"),
        ("only = { kind = 'onyl' }", "only.kind: expected one of 'only', got 'onyl' (str); did you mean 'only'?"),
        ("venues = 1", "venues: expected table, got int"),
        ("venues.d = { }", "venues.d.url: expected str, got nothing: the key is missing"),
        ("venues.d = { url = '', heartbeat_s = 0 }", "venues.d.heartbeat_s: expected float >= 1.0, got 0 (int)"),
        ("venues.d = { url = '', heartbeat_s = nan }", "venues.d.heartbeat_s: expected float >= 1.0, got nan (float)"),
        ("venues.d = { url = '', symbols = ['', '', '', ''] }", "venues.d.symbols: Expected `array` of length <= 3"),
        (
            "venues.d = { url = '', feed = { mode = 'no' } }",
            "feed.mode: expected one of 'streaming', 'polling', got 'no' (str)",
        ),
        ("venues.d = { url = '', feed = { mode = 'pulling' } }", "got 'pulling' (str); did you mean 'polling'?"),
        (
            "venues.d = { url = '', feed = { depth = 10 } }",
            "feed.mode: expected one of 'streaming', 'polling', got nothing",
        ),
        (
            "venues.d = { url = '', feed = { mode = 'polling', every_s = inf } }",
            "every_s: expected a finite number, got inf",
        ),
        (
            "venues.d = { url = '', feed = { mode = 'streaming', depth = 5 } }",
            "depth: expected one of 10, 20, got 5 (int)",
        ),
        (
            "venues.d = { url = '', accounts.a.max_position = 'NaN' }",
            "max_position: expected a finite number, got 'NaN'",
        ),
        ("venues.d = { url = '', accounts.a.max_position = 'x' }", "max_position: expected Decimal, got 'x' (str)"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected_and_what_came(write, line, said):
    file = write(f"\n{line}\n")
    (problem,) = problems(file)
    assert problem.startswith(f"{file}:2: ")
    assert said in problem


def test_all_mistakes_are_named_at_once(write):
    file = write('nmae = 1\nlive = "yes"\n[venues.d]\nheartbeat_s = 900\n')
    assert [problem.split(": ")[1] for problem in problems(file, {"TRADENODE__LIMIT": "x"})] == [
        "nmae",
        "live",
        "venues.d.heartbeat_s",
        "venues.d.url",
        "limit",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = \n", "expected TOML, got: Invalid value (at line 1, column 8)"),
        (b"name = 'a'\nname = 'b'\n", "expected TOML, got: Cannot overwrite a value (at line 2"),
        (b"\nname = '\xff'\n", ":2: expected UTF-8 text, got other bytes"),
        (b"#" * 300_000, "expected at most 262144 bytes of settings, got more"),
        (b"a = " + b"[" * 5000, "expected TOML, got"),  # one limit or the other: Hypothesis moves the interpreter's
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_its_name(tmp_path, content, said):
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    (problem,) = problems(file)
    assert problem.startswith(str(file))
    assert said in problem


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    assert problems(tmp_path / "none.toml") == [
        f"{tmp_path}/none.toml: expected a readable file, got: No such file or directory"
    ]


def test_a_text_with_a_slash_or_toml_ending_is_a_file_and_any_other_a_profile(write, tmp_path):
    write("name = 'a'")
    assert load(f"{tmp_path}/mine.toml", Settings, {}).name == "a"
    with pytest.raises(SettingsError, match=r"expected a profile, one of: .*demo.*; got 'dmeo'; did you mean 'demo'"):
        load("dmeo", Settings, {})


def test_every_shipped_profile_can_be_read_and_says_what_it_is():
    assert "demo" in profiles()
    for name in profiles():
        assert profile_path(name).is_file()
        assert profile_text(name).startswith("# ")


def test_a_tag_may_be_left_out_where_there_is_one_struct(write):
    assert load(write("only = { depth = 3 }"), Settings, {}).only == Only(depth=3)


def test_a_file_that_extends_a_profile_lies_above_it(write, monkeypatch):
    base = write("name = 'base'\nlimit = 1\n", "base.toml")
    monkeypatch.setattr("engine.settings.loading.profile_path", lambda name: {"base": base}[name])
    settings = load(write("extends = 'base'\nlimit = 2\n"), Settings, {})
    assert (settings.name, settings.limit) == ("base", 2)


def test_a_mistake_in_the_profile_is_placed_in_the_profile(write, monkeypatch):
    base = write("nam = 'base'\n", "base.toml")
    monkeypatch.setattr("engine.settings.loading.profile_path", lambda _name: base)
    assert problems(write("\n\nextends = 'base'\n")) == [f"{base}:1: nam: unknown key; did you mean 'name'?"]


def test_a_profile_that_extends_another_is_refused(write, monkeypatch):
    base = write("extends = 'other'\n", "base.toml")
    monkeypatch.setattr("engine.settings.loading.profile_path", lambda _name: base)
    (problem,) = problems(write("extends = 'base'\n"))
    assert "expected a profile that stands by itself" in problem


def test_extending_something_that_is_no_name_is_refused(write):
    (problem,) = problems(write("extends = 5\n"))
    assert "extends: expected the name of a profile, got 5" in problem
