"""The report of runs, as a file and as people see it."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import s2s.translation.report
from s2s.cli.commands import main
from s2s.errors import RunError
from s2s.figures.charts import Chart, Line, axis_of
from s2s.jobs.train import train
from s2s.recipe.load import parse_recipe
from s2s.report.report import _environment, language_code, write_report
from s2s.run import RunFolder
from s2s.tasks import TREES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RUNS = Path(__file__).parents[1] / "runs"
SHOWN = {
    "tiny-en-ko": ["Quality by source length", "Share right by probability", "4 of 4 outputs equal", "alignment of: "],
    "words-one-to-five": ["Temperature 0.7", "Loss along the text", "bits per character"],
    "sunspots": ["sunspots, one step ahead", "Residuals over time", "Coverage by quantile level", "persistence"],
}
RECIPE = """
task = "translation"
title = '"><script>alert(1)</script>'
data.source = "letters"
data.target = "numbers"
data.train.pairs = [["a b c", "one two three"], ["b c d a", "two three four one"], ["a c", "one three"]]
data.validation.pairs = [["a b c d", "one two three four"], ["c b", "three two"]]
data.test.pairs = [["b c d a", "two three four one"], ["<script> x", "nine"]]
tokenizer.kind = "words"
model = {embedding_size = 8, hidden_size = 8}
training = {steps = 4, batch_tokens = 20, log_every = 1, precision = "float32"}
"""

LINES = """
task = "language"
data = {cut = "lines", rows = 2, window = 8, train.text = "a b c\\na b\\n", validation.text = "a b c\\nb\\n"}
tokenizer.kind = "words"
model = {embedding_size = 8, hidden_size = 8}
training = {epochs = 1, precision = "float32"}
"""
SEVERAL = """
task = "forecast"
data = {series = "sines/all", targets = ["first", "second"], horizon = 3, window = 4}
model = {hidden_size = 4, output = "quantiles"}
training = {steps = 1, precision = "float32"}
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    for name in SHOWN:
        write_report([RUNS / name], folder / f"{name}.html", device="cpu")
    return {name: folder / f"{name}.html" for name in SHOWN}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trained run, to be read only."""
    return trained(tmp_path_factory.mktemp("runs") / "run")


def trained(place: Path, *overrides: str, text: str = RECIPE) -> RunFolder:
    recipe = parse_recipe(text, TREES, origin="test", folder=place, overrides=overrides)
    return train(recipe, place, device="cpu")


@pytest.mark.parametrize("name", SHOWN)
def test_a_report_needs_nothing_but_itself(reports: dict[str, Path], name: str) -> None:
    text = reports[name].read_text(encoding="utf-8")
    for said in SHOWN[name]:
        assert said in text
    tags: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.feed(text)
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object"}
    assert not [attributes for _, attributes in tags if {"src", "style"} & attributes.keys()]
    assert all(attributes["href"].startswith("#") for _, attributes in tags if "href" in attributes)  # type: ignore


@pytest.mark.parametrize(("name", "width", "scheme"), [("tiny-en-ko", 1200, "light"), ("sunspots", 360, "dark")])
def test_everybody_can_read_it(
    reports: dict[str, Path], browser: "Browser", name: str, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)  # type: ignore
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.goto(reports[name].as_uri())
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("getComputedStyle(document.body).maxWidth") == "1152px"  # the policy lets its styles in
    assert said == []
    context.close()


def test_a_training_leaves_the_report_that_the_command_writes(
    one: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = one.report.read_text(encoding="utf-8")
    again = trained(tmp_path / "run")
    times = re.compile('<span class="time">.*?</span>')
    assert times.sub("", again.report.read_text(encoding="utf-8")) == times.sub("", text)
    assert again.outputs.read_bytes() == one.outputs.read_bytes()
    monkeypatch.setattr(s2s.translation.report, "score", None)  # nothing is translated again
    monkeypatch.chdir(one.path.parent)
    assert CliRunner().invoke(main, ["report", "run", "--device", "cpu"]).exit_code == 0
    assert Path("report.html").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        (RECIPE, ["model.attention=none"], ["The model has no attention", "expected calibration error"]),
        (LINES, [], ["Loss by position in the line", "nats per token by position in the line"]),
        (SEVERAL, [], ["Residuals and intervals of second", "first, one step ahead", "second, 3 steps ahead"]),
    ],
    ids=["no attention", "lines", "several targets and steps"],
)
def test_what_a_kind_of_model_has_is_shown(tmp_path: Path, text: str, overrides: list[str], said: list[str]) -> None:
    found = trained(tmp_path / "run", *overrides, text=text).report.read_text(encoding="utf-8")
    assert [each for each in said if each not in found] == []
    assert found.count("<figure") == found.count("<figcaption")


@pytest.mark.parametrize(("points", "dots"), [([(1.0, 2.0)], 1), ([(1.0, 2.0), (2.0, 1.0)], 0)])
def test_a_line_of_one_point_is_a_dot(points: list[tuple[float, float | None]], dots: int) -> None:
    axis = axis_of("", [0.0, 4.0])
    drawing = _environment().get_template("report-parts.html").module.drawing  # type: ignore[attr-defined]
    assert drawing(Chart("", axis, axis, [Line("", points)])).count("<circle") == dots


def test_texts_stay_texts(one: RunFolder) -> None:
    text = one.report.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt; x</span>" in text
    assert "<h1>run: &#34;&gt;&lt;script&gt;alert" in text


def test_outputs_of_earlier_weights_are_not_shown(one: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(Path(shutil.copytree(one.path, tmp_path / "run")))
    scores = json.loads(run.scores.read_text())
    run.scores.write_text(json.dumps({**scores, "step": 1}))
    run.outputs.write_text(run.outputs.read_text().replace("nine", "ten"))
    write_report([run.path], tmp_path / "new.html", device="cpu")
    assert (tmp_path / "new.html").read_bytes() == one.report.read_bytes()


@pytest.mark.parametrize(
    ("name", "code"), [("de", "de"), ("ko", "ko"), ("German", "de"), ("zh_cn", "zh"), ("letters", ""), ("xx", "")]
)
def test_a_text_is_marked_with_its_language_where_that_is_one(name: str, code: str) -> None:
    assert language_code(name) == code


def test_without_test_pairs_validation_pairs_are_shown(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "data.test=")
    assert "names no test pairs, so 2 of the 2 validation pairs are shown" in run.report.read_text(encoding="utf-8")
    assert not run.outputs.exists()


def test_a_run_is_shown_once(tmp_path: Path) -> None:
    run = shutil.copytree(RUNS / "sunspots", tmp_path / "run")
    with pytest.raises(RunError, match="run: the same run more than once; name each run once"):
        write_report([run, run / ".." / "run"], tmp_path / "report.html", device="cpu")


def test_what_needs_data_that_are_gone_is_left_out_with_a_remark(tmp_path: Path) -> None:
    shutil.copytree(RUNS / "sunspots", tmp_path / "run")
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    gone = recipe.replace('series = "sunspots/all"', f'series = {{file = "{tmp_path}/gone.csv"}}')
    (tmp_path / "run" / "recipe.toml").write_text(gone)
    write_report([tmp_path / "run"], tmp_path / "report.html", device="cpu")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What needs the series is left out: it could not be read." in text
    assert "learning rate" in text.lower()
    assert "Residuals" not in text


def test_two_runs_stand_side_by_side(one: RunFolder, tmp_path: Path) -> None:
    other = Path(shutil.copytree(one.path, tmp_path / "other"))
    write_report([one.path, other], tmp_path / "report.html", device="cpu")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.index("Side by side") < text.index("The run") < text.rindex("The run")
    assert re.search(r"other against run: \+0\.00 BLEU \[.*\], p = 1\.0000 \(paired bootstrap\)", text)
    assert text.count("<h1") == 3


def test_runs_of_two_tasks_and_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a report is of runs of one task; these are of forecast, translation"):
        write_report([RUNS / "tiny-en-ko", RUNS / "sunspots"], tmp_path / "report.html")
    with pytest.raises(ValueError, match="there are 0 runs"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(RunError, match="no such run folder"):
        write_report([tmp_path / "none"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_report_takes_the_place_of_a_report_alone(tmp_path: Path) -> None:
    recipe = Path(shutil.copytree(RUNS / "tiny-en-ko", tmp_path / "run")) / "recipe.toml"
    held = recipe.read_bytes()
    with pytest.raises(RunError, match=r"recipe\.toml: exists already and is no report of s2s; remove it, or choose"):
        write_report([tmp_path / "run"], recipe, device="cpu")
    assert recipe.read_bytes() == held
    for _ in range(2):
        write_report([tmp_path / "run"], tmp_path / "report.html", device="cpu")
