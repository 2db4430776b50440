"""Settings can be shown: as TOML that reads back, and as a schema."""

import json
import tomllib
from typing import Annotated

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.settings import Secret, as_toml, schema_json, show

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=10
)


@given(st.dictionaries(texts, values, max_size=4))
def test_toml_reads_back_as_what_was_written(tree):
    assert tomllib.loads(as_toml(tree)) == tree


def test_a_key_without_a_value_is_left_out():
    assert as_toml({"a": None, "b": {"c": None, "d": 1}}) == "[b]\nd = 1\n"


class Section(msgspec.Struct, frozen=True):
    """What a section is for."""

    token: Secret | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="Where it listens.")] = 80


class Settings(msgspec.Struct, frozen=True):
    section: Section = Section()


def test_what_is_shown_is_plain_and_hides_secrets():
    shown = show(Settings(Section(token=Secret("hunter2", "env:TOKEN"))))
    assert shown == {"section": {"token": "env:TOKEN", "port": 80}}


def test_the_schema_gives_types_bounds_defaults_and_descriptions():
    section = json.loads(schema_json(Settings))["$defs"]["Section"]
    assert section["description"] == "What a section is for."
    assert section["properties"]["port"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "default": 80,
        "description": "Where it listens.",
    }
    assert "env:NAME" in json.dumps(section["properties"]["token"])
