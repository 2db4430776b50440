"""The routing table in force says what the venue says, but for the cells the configuration has."""

import pytest

from actors.feed import polled, routing_table
from engine.model import DataCells, DataRow

POLICY = {
    "book": DataRow(age_s=5.0, poll_s=1.0),
    "forced": DataRow(age_s=60.0, poll_s=60.0),
    "open_interest": DataRow(via="poll", age_s=300.0, poll_s=60.0),
    "ticker": DataRow(via="off"),
}


def test_a_cell_changes_itself_and_nothing_else() -> None:
    rows = routing_table(POLICY, {"book": DataCells(age_s=9.0)})
    assert rows["book"] == DataRow(age_s=9.0, poll_s=1.0)
    assert {name: rows[name] for name in POLICY if name != "book"} == {n: r for n, r in POLICY.items() if n != "book"}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"boook": DataCells(age_s=1.0)}, "data.boook: expected one of book, forced, open_interest, ticker"),
        (
            {"book": DataCells(via="poll", age_s=1.0)},
            r"data.book.poll_s: expected less than its age_s \(1.0\), got 1.0",
        ),
        ({"open_interest": DataCells(poll_s=300.0)}, "data.open_interest.poll_s"),
        ({"forced": DataCells(via="poll")}, "data.forced.via: expected stream or off"),
    ],
)
def test_a_table_that_cannot_work_is_refused_by_name(cells: dict[str, DataCells], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        routing_table(POLICY, cells)


def test_a_row_that_is_off_needs_no_sense() -> None:
    assert routing_table(POLICY, {"book": DataCells(via="off", poll_s=100.0)})["book"].via == "off"


def test_without_streams_everything_is_asked_for_that_can_be() -> None:
    assert {name: row.via for name, row in polled(routing_table(POLICY, {})).items()} == {
        "book": "poll",
        "forced": "off",
        "open_interest": "poll",
        "ticker": "off",
    }
