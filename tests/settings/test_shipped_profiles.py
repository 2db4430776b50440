"""The shipped profiles are right for the node that reads them, hold no secret, and touch no production host."""

import re

import pytest

from actors.node import NodeSettings, check_usable
from engine.settings import load, profile_text, profiles, schema_json, show


def named_by(name: str) -> dict[str, str]:
    """An environment with every variable the profile names."""
    return {variable: f"value of {variable}" for variable in re.findall(r'"env:(\w+)"', profile_text(name))}


@pytest.mark.parametrize("name", profiles())
def test_a_profile_decodes_into_the_nodes_settings_and_is_called_by_its_name(name):
    settings = load(name, NodeSettings, named_by(name))
    assert settings.name == name
    assert settings.default_venue in settings.venues
    assert settings.live == (name == "live")


@pytest.mark.parametrize("name", profiles())
def test_what_a_profile_offers_in_comments_works_when_they_are_taken_off(name, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(re.sub(r"^# (?=\[[\w.]+\]|\w+ = )", "", profile_text(name), flags=re.MULTILINE))
    settings = load(path, NodeSettings, named_by(name))
    check_usable(settings)
    assert all(section.accounts for section in settings.venues.values())


@pytest.mark.parametrize("name", profiles())
def test_no_profile_holds_a_secret(name):
    assert "***" not in str(show(load(name, NodeSettings, named_by(name))))


def test_the_demo_needs_no_environment():
    assert load("demo", NodeSettings, {}).simulator is not None


def test_the_schema_of_the_node_can_be_printed():
    assert '"NodeSettings"' in schema_json(NodeSettings)
