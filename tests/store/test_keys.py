import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store import CommitRefused, KeyCodec

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
integers = st.integers(0, 2**64 - 1)
TRIPLE = KeyCodec(str, int, str)
triples = st.tuples(texts, integers, texts)


def in_bytes(key: tuple[str, int, str]) -> tuple[bytes, int, bytes]:
    return key[0].encode(), key[1], key[2].encode()


@given(triples)
def test_a_key_comes_back_as_it_was(key: tuple[str, int, str]) -> None:
    assert TRIPLE.decode(TRIPLE.encode(key)) == key


@given(triples, triples)
def test_bytes_sort_as_their_keys_do(one: tuple[str, int, str], other: tuple[str, int, str]) -> None:
    assert (TRIPLE.encode(one) < TRIPLE.encode(other)) == (in_bytes(one) < in_bytes(other))


@given(triples, texts)
def test_a_prefix_fits_exactly_the_keys_that_begin_with_its_parts(key: tuple[str, int, str], first: str) -> None:
    assert TRIPLE.encode(key).startswith(TRIPLE.prefix((first,))) == (key[0] == first)
    assert TRIPLE.encode(key).startswith(TRIPLE.prefix(key[:2]))


@given(texts.filter(bool))
def test_a_single_string_is_stored_as_it_is(key: str) -> None:
    codec = KeyCodec(str)
    assert codec.encode(key) == key.encode()
    assert codec.decode(codec.encode(key)) == key


@pytest.mark.parametrize("key", ["", "a\0b", "x" * 501, "\ud800", 5, None, ("a",)])
def test_what_is_no_string_key_is_refused(key: object) -> None:
    with pytest.raises(CommitRefused, match="key"):
        KeyCodec(str).encode(key)


@pytest.mark.parametrize("key", [-1, 2**64, True, "7", 1.0])
def test_what_is_no_integer_key_is_refused(key: object) -> None:
    with pytest.raises(CommitRefused, match="key"):
        KeyCodec(int).encode(key)


@pytest.mark.parametrize("data", [b"", b"abc", b"a\0" + bytes(7), b"a\0" + bytes(8) + b"\xff"])
def test_bytes_no_key_was_made_from_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        TRIPLE.decode(data)
