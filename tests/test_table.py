"""The table says what the file says, and says what is best."""

import pytest

from latentgen.table import finite, format_number, format_table, read_table

EVALUATION = {
    "title": "Community-small",
    "columns": ["degree", "valid", "size"],
    "rows": [
        {
            "name": "real data",
            "values": {"degree": 0.02, "valid": 1.0, "size": 15.5},
            "calls": None,
        },
        {"name": "no prior", "values": {"degree": 0.001, "valid": 0.5}, "calls": None},
        {
            "name": "dpm, 4 steps",
            "values": {"degree": 0.25, "valid": 0.75, "size": 14.0},
            "calls": 4,
            "seconds_per_sample": 0.00123,
        },
        {
            "name": "dpm, 10 steps",
            "values": {"degree": 0.125, "valid": None, "size": 16.0},
            "calls": 10,
            "seconds_per_sample": 0.5,
        },
    ],
    "notes": ["64 samples."],
    "better": {"degree": "lower", "valid": "higher"},
}


def test_plain_text() -> None:
    assert format_table(EVALUATION).splitlines() == [
        "Community-small",
        "               calls  s/sample  degree   valid    size",
        "------------------------------------------------------",
        "real data          -         -  0.0200   1.000   15.50",
        "no prior           -         -  0.0010   0.500       -",
        "------------------------------------------------------",
        "dpm, 4 steps       4   0.00123  0.2500   0.750*  14.00",
        "dpm, 10 steps     10       0.5  0.1250*      -   16.00",
        "lower is better: degree",
        "higher is better: valid",
        "64 samples.",
    ]


def test_only_the_prior_can_be_best() -> None:
    table = read_table(EVALUATION)
    assert (table.best("degree"), table.best("valid"), table.best("size")) == (0.125, 0.75, None)
    assert table.main_column == "degree"
    assert [table.stands_out(row, "degree") for row in table.rows] == [False, False, False, True]


def test_what_most_reach_does_not_stand_out() -> None:
    rows = [{"name": str(n), "values": {"a": float(n > 2)}, "calls": n} for n in range(1, 6)]
    table = read_table({"columns": ["a"], "rows": rows, "better": {"a": "higher"}})
    assert not any(table.stands_out(row, "a") for row in table.rows)


def test_an_average_is_named_first() -> None:
    better = {"degree": "lower", "average": "lower"}
    assert read_table({"columns": list(better), "better": better}).main_column == "average"
    assert read_table({"columns": ["degree"]}).main_column is None


@pytest.mark.parametrize(
    ("value", "among", "text"),
    [
        (0.5, [0.2], "0.5000"),
        (0.5, [2.0], "0.500"),
        (0.5, [200.0], "0.5"),
        (1234.4, [], "1234"),
        (-0.25, [], "-0.2500"),
        (0.0, [], "0.0000"),
        (0.00001, [0.1], "1.00e-05"),
        (2e7, [], "2.00e+07"),
    ],
)
def test_decimals_follow_the_column(value: float, among: list[float], text: str) -> None:
    assert format_number(value, among) == text


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"columns": None, "rows": None, "notes": None, "better": None, "title": None},
        {"columns": "ab", "rows": {"a": 1}, "notes": 3, "better": ["lower"]},
        {"columns": ["a"], "rows": [None, 3, [], {}, {"name": 1}, {"values": [1]}]},
        {"columns": ["a"], "rows": [{"name": "x", "values": {"a": float("nan")}, "calls": "4"}]},
        {"columns": ["a"], "rows": [{"name": "x", "values": {"a": 10**400}, "calls": 10**400}]},
        {"columns": ["a"], "rows": [{"name": "x", "values": {"a": True}, "calls": -1}]},
    ],
)
def test_what_has_the_wrong_type_is_absent(broken: dict) -> None:
    table = read_table(broken)
    assert all(not row.values and row.calls is None for row in table.rows)
    assert isinstance(format_table(broken), str)


def test_finite() -> None:
    assert finite(3) == 3.0
    assert [finite(value) for value in (True, "3", None, float("inf"), 10**400)] == [None] * 5
