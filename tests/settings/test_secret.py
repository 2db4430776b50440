"""A secret is read from where it is kept, refused where others could read it, and never shown."""

import contextlib
import copy
import io
import json
import logging
import os
import pickle
import pprint
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.settings import Secret, SecretUnavailable, SettingsError, load, show
from engine.settings.secret import resolve

VALUE = "hunter2-0123456789"


class Account(msgspec.Struct, frozen=True):
    client_secret: Secret | None = None


class Settings(msgspec.Struct, frozen=True):
    live: bool = False
    token: Secret | None = None
    accounts: dict[str, Account] = {}


class LoadedSettings(msgspec.Struct, frozen=True):
    tokens: tuple[Secret, ...] = ()
    text: str = ""


def raised(value: Secret) -> str:
    try:
        raise ValueError(f"cannot use {value} {value!r}", value)
    except ValueError:
        return traceback.format_exc()


def logged(value: Secret) -> str:
    stream = io.StringIO()
    logger = logging.getLogger("tests.secret")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.warning("secret %s %r", value, value)
    logger.removeHandler(handler)
    return stream.getvalue()


def printed(value: Secret) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        print(value, [value], {"k": value})  # noqa: T201
    return stream.getvalue()


SHOWN: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "format": lambda value: f"{value} {value!r} {value!s} {value:>40}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031
    "in a list": lambda value: repr([value]),
    "in a struct": lambda value: repr(Account(value)),
    "pprint": lambda value: pprint.pformat({"secret": value}),
    "print": printed,
    "exception": raised,
    "logging": logged,
    "json default": lambda value: json.dumps({"secret": value}, default=str),
    "show": lambda value: repr(show(Settings(token=value))),
    "dir": lambda value: repr(dir(value)),
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_secret_is_not_shown_by(way):
    text = SHOWN[way](Secret(VALUE))
    assert VALUE not in text
    assert "***" in text or way == "dir"


ENCODED: dict[str, Callable[[Secret], Any]] = {
    "json": json.dumps,
    "msgspec json": msgspec.json.encode,
    "msgspec msgpack": msgspec.msgpack.encode,
    "msgspec builtins": msgspec.to_builtins,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("way", ENCODED)
def test_a_secret_is_refused_by(way):
    with pytest.raises(TypeError) as caught:
        ENCODED[way](Secret(VALUE))
    assert VALUE not in str(caught.value)


def test_a_copy_of_a_secret_is_the_secret():
    secret = Secret(VALUE)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"a": secret})["a"] is secret


def test_secrets_are_equal_by_value_and_to_nothing_else():
    assert Secret(VALUE) == Secret(VALUE, "env:X")
    assert hash(Secret(VALUE)) == hash(Secret(VALUE, "env:X"))
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize("value", ["", "  \n", "a\0b", "a\udcffb"])
def test_what_cannot_be_a_secret_is_refused_unseen(value):
    with pytest.raises(
        SecretUnavailable,
        match=r"^expected a secret( of UTF-8 text, got one with NUL or other bytes in it|, got an empty text)$",
    ):
        Secret(value)


def kept(tmp_path: Path, mode: int = 0o600, content: bytes = VALUE.encode() + b"\n") -> Path:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_comes_from_the_environment(tmp_path):
    secret = resolve("env:TOKEN", {"TOKEN": VALUE}, tmp_path)
    assert (secret.reveal(), secret.reference) == (VALUE, "env:TOKEN")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_comes_from_a_private_file_without_its_line_end(tmp_path, mode):
    kept(tmp_path, mode)
    secret = resolve("file:token", {}, tmp_path)
    assert (secret.reveal(), secret.reference) == (VALUE, "file:token")


def test_a_secret_comes_from_a_systemd_credential(tmp_path):
    kept(tmp_path, 0o440)
    secret = resolve("systemd:token", {"CREDENTIALS_DIRECTORY": str(tmp_path)}, Path("/nowhere"))
    assert (secret.reveal(), secret.reference) == (VALUE, "systemd:token")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700])
def test_a_file_that_others_may_read_is_refused_with_the_cure(tmp_path, mode):
    path = kept(tmp_path, mode)
    with pytest.raises(SecretUnavailable, match=f"mode 0600, it has {mode:04o}; mend it with: chmod 600 {path}"):
        resolve("file:token", {}, tmp_path)


def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    kept(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SecretUnavailable, match="belong to user"):
        resolve("file:token", {}, tmp_path)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(SecretUnavailable, match="regular file"):
            resolve(f"file:{name}", {}, tmp_path)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NONE", "environment variable NONE"),
        ("env:EMPTY", "environment variable EMPTY"),
        ("env:", "expected a name after env:"),
        ("file:none", "No such file"),
        ("file:", "expected a name after file:"),
        ("systemd:none", "No such file"),
        ("systemd:../token", "plain name"),
        ("systemd:a/b", "plain name"),
        ("systemd:..", "plain name"),
    ],
)
def test_a_place_that_holds_no_secret_is_named(tmp_path, reference, said):
    with pytest.raises(SecretUnavailable, match=said):
        resolve(reference, {"EMPTY": " ", "CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path)


def test_a_credential_without_systemd_is_refused(tmp_path):
    with pytest.raises(SecretUnavailable, match="CREDENTIALS_DIRECTORY is not set"):
        resolve("systemd:token", {}, tmp_path)


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff\xfe", "UTF-8"), (b"x" * 70_000, "at most 65536 bytes"), (b"\n", "empty")]
)
def test_a_file_without_a_usable_secret_is_refused(tmp_path, content, said):
    kept(tmp_path, content=content)
    with pytest.raises(SecretUnavailable, match=said):
        resolve("file:token", {}, tmp_path)


def load_text(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load(path, Settings, env or {})


def test_a_file_of_a_profile_that_is_not_live_may_hold_a_secret(tmp_path):
    settings = load_text(tmp_path, f"token = '{VALUE}'")
    assert settings.token == Secret(VALUE)
    assert show(settings) == {"live": False, "token": "***", "accounts": {}}


def test_a_live_file_that_holds_a_secret_is_refused_without_showing_it(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, f"live = true\n[accounts.a]\nclient_secret = '{VALUE}'")
    assert VALUE not in str(caught.value)
    assert ":3: accounts.a.client_secret: expected env:NAME, file:PATH or systemd:NAME, got the secret itself" in str(
        caught.value
    )


def test_live_said_by_the_environment_counts_too(tmp_path):
    with pytest.raises(SettingsError, match="got the secret itself"):
        load_text(tmp_path, f"token = '{VALUE}'", {"TRADENODE__LIVE": "true"})


def test_a_live_profile_takes_secrets_by_reference_and_from_the_environment(tmp_path):
    kept(tmp_path)
    env = {"TRADENODE__TOKEN": VALUE}
    settings = load_text(tmp_path, "live = true\n[accounts.a]\nclient_secret = 'file:token'", env)
    assert settings.token == settings.accounts["a"].client_secret == Secret(VALUE)
    assert show(settings)["accounts"] == {"a": {"client_secret": "file:token"}}


@pytest.mark.parametrize(
    "text",
    [
        "token = 123456789",
        "token = [ 'hunter2-0123456789' ]",
        "token = { a = 'hunter2-0123456789' }",
        "tokn = 'hunter2-0123456789'",
        "accounts = [ 'hunter2-0123456789' ]",
        "accounts.a.client_secre = 'hunter2-0123456789'",
    ],
)
def test_no_mistake_around_a_secret_shows_it(tmp_path, text):
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, text)
    assert VALUE not in str(caught.value)
    assert "123456789" not in str(caught.value)


def test_secrets_in_an_array_are_resolved_each(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("tokens = ['env:A', 'env:B']")
    assert load(path, LoadedSettings, {"A": "1", "B": "2"}).tokens == (Secret("1"), Secret("2"))


# ── read again ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_in_a_file_is_read_again_from_where_the_file_was(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("first\n")
    monkeypatch.chdir(tmp_path)
    secret = resolve("file:secret", {}, Path())
    monkeypatch.chdir("/")
    path.write_text("second\n")
    assert (secret.reveal(), secret.again().reveal(), secret.again().again().reveal()) == ("first", "second", "second")
    assert secret.again().reference == secret.reference == "file:secret"


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.chmod(0o644), lambda path: path.write_text("")]
)
def test_a_file_that_is_no_good_any_more_is_refused_and_the_secret_stays(tmp_path, spoil):
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("first")
    secret = resolve("file:secret", {}, tmp_path)
    spoil(path)
    with pytest.raises(SecretUnavailable) as refused:
        secret.again()
    assert secret.reveal() == "first" and "first" not in str(refused.value)


def test_a_secret_of_the_environment_or_of_systemd_is_what_stands_there_now(tmp_path):
    (tmp_path / "name").write_text("handed over")
    env = {"NAME": "set", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve("env:NAME", env, Path()).again() == Secret("set")
    assert resolve("systemd:name", env, Path()).again() == Secret("handed over")


def test_a_secret_without_a_place_stays_itself():
    secret = resolve("plain", {}, Path())
    assert secret.again() is secret
