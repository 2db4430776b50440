"""Which account is meant: in full, without its venue, or any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import ModelError, check_account, is_account

words = st.text(st.characters(exclude_characters=":"), min_size=1, max_size=20)


@given(words, words)
def test_an_account_goes_by_its_full_name_by_the_name_at_its_venue_and_by_none(venue: str, name: str) -> None:
    account = f"{venue}:{name}"
    assert all(is_account(wanted, account) for wanted in (account, name, ""))


@given(words, words, st.text(max_size=40))
def test_no_other_name_is_it(venue: str, name: str, other: str) -> None:
    account = f"{venue}:{name}"
    assert is_account(other, account) == (other in ("", name, account))
    assert not is_account(f"{venue}:", account)
    assert not is_account(venue, account) or venue == name


def test_what_names_another_account_is_refused_with_both_names() -> None:
    check_account("main", "deribit:main")
    with pytest.raises(ModelError) as error:
        check_account("other", "deribit:main")
    assert (error.value.field, error.value.expected, error.value.got) == ("account", "deribit:main", "other")
