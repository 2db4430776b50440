"""The line a key stands on is found without a second TOML parser."""

from hypothesis import given
from hypothesis import strategies as st

from engine.settings.layers import line_of

FILLER = st.sampled_from(
    [
        "",
        "# a comment",
        'text{n} = """\nhalf = 1\n[not.a.table]\n"""',
        "list{n} = [\n  1,\n\n  2,\n]",
        "one{n} = 1",
        "[table{n}]\nx = 1",
    ]
)


@given(before=st.lists(FILLER, max_size=8), after=st.lists(FILLER, max_size=8))
def test_a_key_is_found_on_its_line_whatever_stands_around_it(before, after):
    above = "".join(part.replace("{n}", f"a{number}") + "\n" for number, part in enumerate(before))
    below = "".join("\n" + part.replace("{n}", f"b{number}") for number, part in enumerate(after))
    text = f"{above}[wanted]\nkey = [\n 1,\n 2,\n]{below}"
    assert line_of(text, ("wanted", "key")) == above.count("\n") + 2
    assert line_of(text, ("wanted", "key", 1)) == above.count("\n") + 2
    assert line_of(text, ("wanted",)) == above.count("\n") + 1


def test_a_key_on_the_last_line_without_a_line_end_is_found():
    assert line_of("a = 1\nb = 2", ("b",)) == 2


def test_a_key_of_an_inline_table_is_found_on_its_line():
    assert line_of("a = 1\nb = { c = { d = 1 } }\ne = 1\n", ("b", "c", "d")) == 2
