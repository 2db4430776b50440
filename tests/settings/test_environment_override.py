"""`TRADENODE__SECTION__KEY` lies above every file, and is read by the type of its key."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from engine.settings import Secret, SettingsError, load


class Account(msgspec.Struct, frozen=True):
    client_id: str = ""
    client_secret: Secret | None = None


class Section(msgspec.Struct, frozen=True):
    text: str = ""
    maybe: str | None = None
    number: int = 0
    ratio: float = 0.0
    amount: Decimal = Decimal(0)
    flag: bool = False
    level: Literal["low", "high"] = "low"
    names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    accounts: dict[str, Account] = {}


class Settings(msgspec.Struct, frozen=True):
    section: Section = Section()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text("[section]\ntext = 'file'\nnumber = 1\n[section.accounts.my-main]\nclient_id = 'a'\n")
    return path


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("TEXT", "env", "env"),
        ("TEXT", "5", "5"),
        ("TEXT", "true", "true"),
        ("TEXT", "", ""),
        ("MAYBE", "5", "5"),
        ("NUMBER", "-7", -7),
        ("NUMBER", "1_000", 1000),
        ("RATIO", "2", 2.0),
        ("RATIO", "2.5", 2.5),
        ("AMOUNT", "0.10", Decimal("0.10")),
        ("FLAG", "true", True),
        ("LEVEL", "high", "high"),
        ("NAMES", "a, b", ("a", "b")),
        ("NAMES", '["a,b"]', ("a,b",)),
        ("NAMES", "[]", ()),
        ("NAMES", "a", ("a",)),
        ("NUMBERS", "1,2", (1, 2)),
    ],
)
def test_a_value_is_read_by_the_type_of_its_key(file, key, text, value):
    section = load(file, Settings, {f"TRADENODE__SECTION__{key}": text}).section
    assert getattr(section, key.lower()) == value


def test_the_environment_lies_above_the_file_and_leaves_the_rest_of_it(file):
    section = load(file, Settings, {"TRADENODE__SECTION__TEXT": "env"}).section
    assert (section.text, section.number) == ("env", 1)


def test_an_underscore_reaches_a_named_table_with_a_hyphen(file):
    section = load(file, Settings, {"TRADENODE__SECTION__ACCOUNTS__MY_MAIN__CLIENT_ID": "b"}).section
    assert section.accounts == {"my-main": Account(client_id="b")}


def test_a_named_table_the_file_lacks_is_made(file):
    section = load(file, Settings, {"TRADENODE__SECTION__ACCOUNTS__OTHER__CLIENT_ID": "b"}).section
    assert section.accounts["other"] == Account(client_id="b")


def test_a_secret_may_be_said_in_the_environment_itself(file):
    section = load(file, Settings, {"TRADENODE__SECTION__ACCOUNTS__X__CLIENT_SECRET": "hunter2"}).section
    secret = section.accounts["x"].client_secret
    assert secret is not None
    assert secret.reveal() == "hunter2"


@pytest.mark.parametrize("name", ["TRADENODE_TEST_DATA", "TRADENODE", "PATH", "XTRADENODE__SECTION__TEXT"])
def test_other_variables_are_left_alone(file, name):
    assert load(file, Settings, {name: "x"}) == load(file, Settings, {})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TRADENODE__SECTION__TXET", "unknown key 'TXET' in section; did you mean 'TEXT'?"),
        ("TRADENODE__SECTOIN__TEXT", "unknown key 'SECTOIN' in the settings; did you mean 'SECTION'?"),
        ("TRADENODE__", "expected a name like TRADENODE__SECTION__KEY, got an empty part"),
        ("TRADENODE__SECTION____TEXT", "expected a name like TRADENODE__SECTION__KEY, got an empty part"),
        (
            "TRADENODE__SECTION__TEXT__MORE",
            "expected section.text to be a table, it is one value: nothing lies inside it",
        ),
        (
            "TRADENODE__SECTION__NAMES__0",
            "expected section.names to be a table, it is one value: nothing lies inside it",
        ),
    ],
)
def test_a_variable_that_leads_nowhere_is_refused_by_name(file, name, said):
    with pytest.raises(SettingsError) as caught:
        load(file, Settings, {name: "x"})
    assert str(caught.value) == f"environment variable {name}: {said}"


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("NUMBER", "many", "section.number: expected int, got 'many' (str)"),
        ("NUMBER", "1.5", "section.number: expected int, got 1.5 (float)"),
        ("RATIO", "inf", "section.ratio: expected a finite number, got inf (float)"),
        ("FLAG", "yes", "section.flag: expected bool, got 'yes' (str)"),
        ("NUMBERS", "1,x", "section.numbers[1]: expected int, got 'x' (str)"),
        ("NUMBER", "1\nother = 2", r"section.number: expected int, got '1\nother = 2' (str)"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_variable(file, key, text, said):
    with pytest.raises(SettingsError) as caught:
        load(file, Settings, {f"TRADENODE__SECTION__{key}": text})
    assert str(caught.value) == f"environment variable TRADENODE__SECTION__{key}: {said}"
