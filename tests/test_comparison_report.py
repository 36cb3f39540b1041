"""The page opens by itself, the JSON is JSON, and the table of the terminal says the same."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser

import pytest
from comparisons import row, small_models, table

import latentgen
from latentgen.cli import main
from latentgen.comparison_report import comparison_json, render_comparison


@pytest.fixture
def result() -> dict:
    rows = [
        row("real data", q=0.99, c=0.01, other=5.0),
        row("<b>: dpm 4", 0.02, 4, q=0.5, c=math.inf) | {"seconds_spread": 0.001, "spread": {"q": 0.1}, "nelbo": 1.25},
        row("d: gan", 0.001, 1, q=0.7, c=0.2) | {"seconds_spread": 0.0002, "nelbo": None},
    ]
    rows[0]["nelbo"] = None
    made = table(*rows, q="higher", c="lower")
    estimate = {"nelbo": 1.25, "standard_error": 0.5, "examples": 128.0}
    made |= {"columns": ["q", "c", "other"], "likelihood": {"<b>": {"ode": estimate}}}
    return made | {"title": "Trilemma: <T>", "notes": ["A & B."]}


class Cells(HTMLParser):
    """Texts of the cells of all tables, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.best: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.inside = True
            self.rows[-1].append("")
            self.is_best = ("class", "best") in attrs

    def handle_endtag(self, tag) -> None:
        if tag in ("td", "th"):
            self.inside = False
            if self.is_best:
                self.best.append(self.rows[-1][-1])

    def handle_data(self, data) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def test_the_tables_of_the_page(result) -> None:
    cells = Cells(render_comparison(result))
    head, real, dpm, gan = cells.rows[:4]
    assert head == [
        "", "calls", "ms / sample", "qualityq \u2191", "coveragec \u2193", "\u2212ln p(x)nats \u2193",
        "qualityscore", "coveragescore", "speedscore",
    ]
    dash = "\u2013"
    assert real == ["real data", dash, dash, "0.9900", "0.0100", dash, dash, dash, dash]
    assert dpm == ["<b>: dpm 4", "4", "20\u00b11", "0.5000\u00b10.1000", "inf", "1.250", "0.00", "0.00", "0.00"]
    assert gan == ["d: gan", "1", "1\u00b10.2", "0.7000", "0.2000", dash, "0.41", "0.00", "1.00"]
    assert cells.rows[4:] == [["", "other"], ["real data", "5.000"], ["<b>: dpm 4", dash], ["d: gan", dash]]
    assert cells.best == ["1\u00b10.2", "0.7000", "0.2000"]


def test_the_page_needs_nothing_else(result, tmp_path) -> None:
    page = latentgen.write_comparison(result, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<link", text)
    assert "default-src 'none'" in text
    assert text.count("<svg") == text.count("</svg>") == 2
    assert "<T>" not in text and "Trilemma: &lt;T&gt;" in text and "A &amp; B." in text
    assert "logarithmic from" in text  # how the scores come about
    for name in ("trilemma_triangle.png", "trilemma_calls.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_json_holds_scores_and_no_infinity(result) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(comparison_json(result), parse_constant=refuse)
    assert found["rows"][1]["values"] == {"q": 0.5, "c": None}
    assert found["rows"][2]["scores"] == pytest.approx({"quality": 0.2 / 0.49, "coverage": 0.0, "speed": 1.0})
    assert found["rows"][0]["scores"] is None
    assert found["scoring"].startswith("Scores run from 0 to 1; quality: q, linear from 0.5")


def test_the_table_of_the_terminal(result) -> None:
    lines = latentgen.format_comparison(result).splitlines()
    assert lines[0] == "Trilemma: <T>"
    head = ["calls", "ms / sample", "quality: q", "coverage: c", "\u2212ln p(x)"]
    assert re.split(r" {2,}", lines[1].strip()) == head
    assert re.split(r" {2,}", lines[3]) == ["real data", "-", "-", "0.99", "0.01", "-"]
    assert set(lines[2]) == set(lines[4]) == {"-"}
    assert re.split(r" {2,}", lines[5]) == ["<b>: dpm 4", "4", "20 \u00b1 1", "0.5 \u00b1 0.1", "inf", "1.25"]
    assert len({len(line) for line in lines[1:7]}) == 1
    assert lines[7] == "q: higher is better; c: lower is better"
    assert "nats by the probability flow (128 test examples, standard error)." in lines[8]


def test_the_command(tmp_path, capsys) -> None:
    for name, model in small_models().items():
        model.save_pretrained(tmp_path / name)
    arguments = ["compare", str(tmp_path / "joint"), str(tmp_path / "vae"), "--samplers", "gan,dpm", "--calls", "2"]
    small, out = ["--samples", "40", "--sets", "1", "--repeats", "1", "--device", "cpu"], tmp_path / "report"
    assert main([*arguments, *small, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "joint: gan" in shown.out and "vae: prior" in shown.out
    assert f"report: {out / 'trilemma.html'}" in shown.out
    assert "measuring joint: dpm 2 (2 of 3)" in shown.err
    assert (out / "trilemma.html").exists()
    assert main([*arguments, *small, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"][-3:]] == ["joint: gan", "joint: dpm 2", "vae: prior"]
    assert (tmp_path / "joint" / "trilemma.html").exists()  # the first run's folder
    for words, message in (
        (["--samplers", "magic"], "samplers has 'magic'; the known ones are"),
        (["--samples", "3"], "samples is 3; give at least 6"),
        (["--calls", "none"], "calls is 'none'; give whole numbers"),
        (["--tolerance", "x"], "tolerance is 'x'; give numbers such as 1e-2,1e-3"),
    ):
        assert main([*arguments, *words]) == 2
        assert message in capsys.readouterr().err
