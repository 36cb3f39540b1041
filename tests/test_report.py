"""The report is one safe file, with or without its parts."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from latentgen.progress import MetricsLog
from latentgen.report import format_table, write_report
from latentgen.report_charts import trade_offs
from latentgen.table import Row, Table

EVIL = "</script><script>alert('x')</script>\"'><img src=http://evil.example/x onerror=alert(1)>"


class Page(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "use", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "img", "use", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture(width: int = 32, height: int = 16, color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, format="png")
    return buffer.getvalue()


def fill(run: Path, word: str = "word") -> None:
    """A run folder with every part; `word` stands wherever text can."""
    for folder in ("samples", "plots"):
        (run / folder).mkdir(parents=True)
    config = {
        "model": {
            "modality": {"class_path": "modalities.graphs.Graphs", "init_args": {"note": word}},
            "autoencoder": {"class_path": "modalities.graphs.GraphAutoencoder"},
            "prior": {"class_path": "latentgen.ScorePrior"},
        },
        "objectives": [{"class_path": "latentgen.JointELBO"}, {"class_path": word}],
    }
    (run / "config.yaml").write_text(json.dumps(config, indent=1))
    (run / "env.json").write_text(json.dumps({"python": "3.12", word: {word: word}}))
    log = MetricsLog(run / "metrics.jsonl")
    for step in range(100, 300, 100):
        log.write(step, {"loss": 1 / step, "seconds": step / 10})
    log = MetricsLog(run / "metrics.jsonl", resumed_step=200)
    for step in range(300, 1100, 100):
        values = {"loss": 1 / step, "entropy": 3.0, "cross_entropy": 4.0, "active_units": 8}
        log.write(step, {**values, "val/loss": 2 / step, "seconds": step / 10, word: float("nan")})
        log.write(step, {f"{word}2": 1.0})
    for step in range(100, 1100, 100):
        (run / "samples" / f"step_{step:08d}.png").write_bytes(
            picture(color=f"rgb({step // 4},9,9)")
        )
    (run / "samples" / "real.png").write_bytes(picture(400, 300))
    (run / "samples" / "step_00001000.txt").write_text(f"{word}\n" * 40)
    (run / "plots" / "latent_histogram.png").write_bytes(picture())
    rows = [
        {"name": "real data", "values": {"mmd": 0.02, word: 1}, "calls": None},
        {"name": "reconstruction", "values": {"mmd": 0.03, word: 2}, "calls": None},
        {"name": "no prior", "values": {"mmd": 0.9, word: None}, "calls": None},
        *(
            {
                "name": f"{word}, {calls} steps",
                "values": {"mmd": 0.5 / calls, word: 1 / calls},
                "spread": {"mmd": 0.01},
                "calls": calls,
                "seconds_per_sample": 0.001 * calls,
            }
            for calls in (2, 4, 10)
        ),
    ]
    evaluation = {
        "title": word,
        "columns": ["mmd", word],
        "rows": rows,
        "notes": [word],
        "better": {"mmd": "lower", word: "lower"},
        "likelihood": {word: {"nelbo": 12.5}},
    }
    (run / "evaluation.json").write_text(json.dumps(evaluation))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("runs") / "community"
    fill(run)
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


def assert_self_contained(text: str) -> Page:
    """Nothing in the page can reach out, and nothing in it runs."""
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form", "image")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                assert value is not None and re.match(r"#|data:image/png;base64,", value)
            if name == "style":
                assert "http" not in str(value) and not re.search(r"url\((?!#)", str(value))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None and "http" not in style[1] and "url(" not in style[1]
    assert "@import" not in style[1]
    policy = next(meta for meta in page.of("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in str(policy["content"])
    return page


def test_nothing_is_fetched(text: str) -> None:
    assert_self_contained(text)
    assert "http://" not in text and "https://" not in text


def test_all_parts_are_there(text: str) -> None:
    page = Page(text)
    anchors = ["samples", "figures", "training", "latents", "plots", "setup"]
    assert [section["id"] for section in page.of("section")] == anchors
    assert [link["href"] for link in page.of("a")] == [f"#{anchor}" for anchor in anchors]
    for words in (
        "Graphs",
        "GraphAutoencoder",
        "ScorePrior",
        "JointELBO + word",
        "in 1:40, resumed once",
    ):
        assert words in page.words
    assert "12.5" in page.words and "at 10 network calls" in page.words
    assert "Samples, step 1,000" in page.words and "16 more lines" in page.words


def test_charts_show_every_level_above_the_row_without_a_prior() -> None:
    """With held-out data, reconstructions are the third."""
    gates = [Row(name, {"mmd": 0.1}) for name in ("real data", "held-out data", "reconstruction", "no prior")]
    rows = [Row(f"dpm, {calls} steps", {"mmd": 1 / calls}, calls=calls) for calls in (2, 4)]
    for kept in (gates, [gates[0], *gates[2:]]):
        key = trade_offs(Table("", ("mmd",), (*kept, *rows), (), {"mmd": "lower"})).partition("</p>")[0]
        shown = re.findall(r'"line level-(\d)"></i>([^<]*)', key)
        assert shown == [(str(number), row.name) for number, row in enumerate(kept[:-1])]


def test_gates_stand_above_the_prior(text: str) -> None:
    table = text[text.index('<table class="figures">') : text.index("</table>")]
    gates, prior = table.split("<tbody>")
    for name in ("real data", "reconstruction", "no prior"):
        assert name in gates and name not in prior
    assert re.findall(r'class="best">([^<]*)', prior) == ["0.0500", "0.100"]
    assert prior.count("<td>&ndash;</td>") == 0 and "&plusmn;0.0100" in prior


def test_pictures_beside_real_data_in_order(text: str) -> None:
    page = Page(text)
    shots = [image["alt"] for image in page.of("img")]
    assert shots == [
        "Real data",
        "Samples step 1,000",
        *(f"Samples step {step}" for step in (100, 300, 400, 600, 700, 900)),
        "Latent histogram",
    ]
    data = str(page.of("img")[0]["src"]).partition(",")[2]
    assert base64.b64decode(data) == picture(400, 300)
    assert ["class" in image for image in page.of("img")] == [False] + [True] * 8


def test_curves(text: str) -> None:
    names = re.findall(r'<figure class="chart"><figcaption><b>([^<]*)', text)
    assert names == ["mmd", "word", "loss", "word2", "entropies", "active units"]
    training = text[text.index('<section id="training">') : text.index('<section id="plots">')]
    assert training.count('<g id="resumed">') == 4
    assert "A dotted line marks" in training
    assert "train</span>" in training and "val</span>" in training  # one chart for both splits
    assert "cross-entropy</span>" in training


def test_everything_from_the_run_is_escaped(tmp_path: Path) -> None:
    fill(tmp_path / "run", EVIL)
    (tmp_path / "run" / "samples" / "<img src=x onerror=alert(1)>.txt").write_text(EVIL)
    text = write_report(tmp_path / "run").read_text(encoding="utf-8")
    page = assert_self_contained(text)
    assert "alert(1)" in page.words  # it is there, as words
    assert "<img src=http" not in text and "<script" not in text


def test_config_text_with_addresses_stays_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "data: https://example.org/data.zip # <a href='http://x'>"
    )
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "https://example.org/data.zip" in assert_self_contained(text).words


PARTS = ["config.yaml", "env.json", "metrics.jsonl", "evaluation.json", "samples", "plots"]


@pytest.mark.parametrize("part", PARTS)
def test_one_part_alone_is_enough(tmp_path: Path, part: str) -> None:
    fill(tmp_path / "full")
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "full" / part).rename(run / part)
    page = assert_self_contained(write_report(run).read_text(encoding="utf-8"))
    assert len(page.of("section")) == (2 if part == "metrics.jsonl" else 1)


def test_no_part_at_all(tmp_path: Path) -> None:
    page = assert_self_contained(write_report(tmp_path).read_text(encoding="utf-8"))
    assert page.of("section") == [] and tmp_path.name in page.words


@pytest.mark.parametrize("part", PARTS[:4])
def test_broken_parts_are_named(tmp_path: Path, part: str) -> None:
    fill(tmp_path / "run")
    (tmp_path / "run" / part).write_bytes(b'{"a": "\xff\xfe')
    text = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert_self_contained(text)
    assert (f"{part} could not be read" in text) == (part != "metrics.jsonl")


@pytest.mark.parametrize(
    "rows",
    [
        '{"step": 1, "loss": "high", "seconds": "x"}',
        '{"step": 1, "loss": NaN, "seconds": Infinity}',
        '{"step": 1, "loss": null}\n{"step": 2, "loss": null}',
        f'{{"step": {10**30}, "loss": {10**400}}}',
        '{"step": 3, "loss": 1e308}\n{"step": 3, "loss": -1e308}\n{"step": 1, "\\ud800": 1}',
        f'{{"step": 3, "seconds": {10**400}, "loss": true, "entropy": [1]}}',
    ],
)
def test_odd_logs(tmp_path: Path, rows: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(rows)
    assert_self_contained(write_report(tmp_path).read_text(encoding="utf-8"))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="which is not a folder; expected a run folder"):
        write_report(tmp_path / "nowhere")


def test_the_table_is_offered_here_too() -> None:
    assert "calls" in format_table({"columns": ["a"], "rows": []})
