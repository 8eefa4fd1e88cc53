"""The page of a run, opened from disk in Chromium without a network: what it shows, and what it cannot do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, expect
from small_runs import MODELS, TOKENIZERS, phrases, small_run

from s2s.errors import RunError
from s2s.export.export import export
from s2s.export.html import server_page
from s2s.language.generator import Generator
from s2s.translation.translator import Translator

RUNS = Path(__file__).parents[1] / "runs"
HOSTILE = ["", "   ", "a" * 60, "½ ﬁne  ｗｉｄｅ…", "구두", "😀 👩‍👩‍👧 é é", "</script><!-- <b>", "\t tab", "x\0y"]
LINES = [source for source, _ in phrases("test")[:8]] + HOSTILE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained translator with attention, from English to Korean."""
    folder = tmp_path_factory.mktemp("run") / "run"
    return small_run(folder, MODELS["gnmt"], TOKENIZERS["words-punctuation"], {"beam": 3})


@pytest.fixture(scope="module")
def file(run: Path) -> Path:
    place = run.parent / "page.html"
    export(run, place, "html", "float32")
    return place


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A context without a network."""
    offline = browser.new_context(offline=True)
    yield offline
    offline.close()


@pytest.fixture(scope="module")
def open_page(context: BrowserContext, file: Path) -> Iterator[Page]:
    with opened(context, file) as page:
        yield page


@pytest.fixture
def page(open_page: Page) -> Page:
    """The translator's page as it is when it is opened."""
    open_page.reload()
    return open_page


@contextmanager
def opened(context: BrowserContext, file: Path) -> Iterator[Page]:
    """A page of a file, in which nothing may fail."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(file.as_uri())
    expect(page.locator("#state")).to_contain_text("Works offline")
    yield page
    page.close()
    assert problems == []


def translated(page: Page, text: str) -> list[str]:
    """Lines of the output for a text that is typed at once."""
    page.fill("#input", text)
    return shown(page)


def shown(page: Page) -> list[str]:
    expect(page.locator("#output")).to_have_attribute("aria-busy", "false")
    lines = page.locator("#output .line").all()
    return [line.locator("p").first.text_content() or "" if line.locator("p").count() else "" for line in lines]


# ---------------------------------------------------------------- what it gives


def test_the_page_gives_what_the_translator_gives(page: Page, run: Path) -> None:
    assert translated(page, "\n".join(LINES)) == [
        each.text for each in Translator.load(run, device="cpu").translate(LINES)
    ]


def test_without_attention_there_is_no_alignment(context: BrowserContext, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", MODELS["no-attention"], decoding={"beam": 1})
    export(run, tmp_path / "page.html", "html", "float32")
    wanted = [each.text for each in Translator.load(run, device="cpu").translate(LINES[:3])]
    with opened(context, tmp_path / "page.html") as page:
        assert translated(page, "\n".join(LINES[:3])) == wanted
        expect(page.locator("#alignment")).to_be_hidden()


def test_a_file_is_translated_line_by_line(page: Page, run: Path) -> None:
    lines = LINES[:5]
    wanted = "\n".join(each.text for each in Translator.load(run, device="cpu").translate([*lines, "", "Hello"]))
    content = "\r\n".join([*lines, "", "Hello"]).encode()
    page.set_input_files("#file", {"name": "some.phrases.txt", "mimeType": "text/plain", "buffer": content})
    with page.expect_download() as download:
        page.get_by_role("link", name="Save some.phrases.ko.txt").click()
    assert Path(download.value.path()).read_text(encoding="utf-8") == wanted
    expect(page.locator("#announced")).to_have_text("some.phrases.txt is translated")


def test_a_dropped_file_that_is_no_text_is_told_of(page: Page) -> None:
    script = "(bytes) => { const all = new DataTransfer(); all.items.add(new File([new Uint8Array(bytes)], 'a.bin'));"
    dropped = page.evaluate_handle(script + " return all; }", [0xFF, 0xFE, 0])
    page.dispatch_event("#output", "drop", {"dataTransfer": dropped})
    expect(page.get_by_role("alert")).to_contain_text("a.bin is no text in UTF-8")


def test_a_late_answer_is_not_shown(page: Page) -> None:
    """Answers come in the order that the test decides; the line was changed twice before the first."""
    page.evaluate(
        """() => { window.asked = []; engine.translate = (line, { signal }) => new Promise((resolve, reject) => {
             asked.push([line, resolve]);
             signal.addEventListener("abort", () => reject(new DOMException("", "AbortError"))); }); }"""
    )
    answer = """(line) => { const [, resolve] = asked.find((each) => each[0] === line);
        resolve({ text: line.toUpperCase(), flags: [], tokens: [], sourceTokens: [], attention: null }); }"""
    for text in ("one", "one two", "one two three"):
        page.fill("#input", text)
        page.evaluate("() => { for (const row of rows) row.typing = false; work(); }")
    page.evaluate(answer, "one")
    expect(page.locator("#output")).to_have_attribute("aria-busy", "true")
    assert page.inner_text("#output").strip() == ""
    page.evaluate(answer, "one two three")
    assert shown(page) == ["ONE TWO THREE"]


def test_fast_typing_asks_once_for_what_stands_at_the_end(page: Page) -> None:
    page.evaluate(
        """() => { window.asked = []; const ask = engine.translate.bind(engine);
             engine.translate = (line, options) => { asked.push(line); return ask(line, options); };
             for (const text of ["W", "Wh", "Who", "Who is", "Who is there?"]) {
               input.value = text; input.dispatchEvent(new Event("input")); } }"""
    )
    assert len(shown(page)) == 1
    assert page.evaluate("asked") == ["Who is there?"]


def test_lines_before_and_after_an_edited_one_are_not_translated_again(page: Page) -> None:
    translated(page, "one\ntwo\nthree")
    page.evaluate(
        "() => { window.asked = []; const ask = engine.translate.bind(engine);"
        " engine.translate = (line, options) => { asked.push(line); return ask(line, options); }; }"
    )
    translated(page, "one\ntwo and\nanother\nthree")
    assert sorted(page.evaluate("asked")) == ["another", "two and"]
    assert len(shown(page)) == 4


# ---------------------------------------------------------------- what it shows


WORDS = [
    (["\u2581The", "\u2581rail", "way", ".", "</s>"], ["The", "railway", ".", ""]),
    (["\u2581don", "'", "t", "</s>"], ["don't", ""]),
    (["\u2581", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0x21>", "\u2581a"], ["😀!", "a"]),
    (["\u2581東", "京", "タワー", "ab", "c", "</s>"], ["東", "京", "タワーabc", ""]),
    (["Hello", ",", "you", "</s>"], ["Hello", ",", "you", ""]),
    (["a", "b", " ", "c", "</s>"], ["ab", "c", ""]),
    (["</s>"], [""]),
    ([], []),
]
"""Tokens, and the words that are put together from them; the empty one is the end."""
PLACES = [
    ("The railway.", ["The", "railway", "."], ["The", "railway", "."]),
    ("  ｗｉｄｅ ½ ﬁne", ["wide", "1⁄2", "fine"], ["ｗｉｄｅ", "½", "ﬁne"]),
    ("a 鿿 b", ["a", "<unk>", "b"], ["a", "鿿", "b"]),
    ("e\u0301te\u0301", ["été"], ["e\u0301te\u0301"]),
    ("a b", ["a", "x", "b"], ["a", None, "b"]),
]
"""A text as it was written, words as a model reads them, and what they are in the text."""


def test_words_are_put_together_from_tokens_and_found_in_the_text(page: Page) -> None:
    for tokens, words in WORDS:
        assert page.evaluate("(tokens) => wordsOf(tokens).map((word) => word.text)", tokens) == words
    script = """([text, words]) => placesOf(text, words.map((word) => ({ text: word })))
        .map((place) => place && text.slice(...place))"""
    for text, words, places in PLACES:
        assert page.evaluate(script, [text, words]) == places


def test_a_word_shows_what_it_attended_to(page: Page, run: Path) -> None:
    line = "Where is the ticket?"
    translated(page, f"Hello.\n{line}")
    row = Translator.load(run, device="cpu").translate([line], attention=True)[0]
    assert row.attention is not None
    target = page.locator("#output .line").nth(1).locator(".word").first
    target.hover()
    reading = page.inner_text("#reading")
    assert reading.startswith(f"“{target.inner_text()}” attended to ")
    sources = page.evaluate("rows[1].alignment.sources.map((word) => word.tokens)")
    targets = page.evaluate("rows[1].alignment.targets.map((word) => word.tokens)")
    shares = [row.attention[targets[0]][:, columns].sum(axis=1).mean() for columns in sources]
    assert f"{round(100 * float(max(shares)))} %" in reading
    assert page.locator("#mirror .marked").count() == sum(share >= 0.05 for share in shares[:-1])
    page.mouse.move(0, 0)
    expect(page.locator(".marked")).to_have_count(0)
    page.locator("#mirror .word", has_text="ticket").scroll_into_view_if_needed()
    box = page.locator("#mirror .word", has_text="ticket").bounding_box()
    assert box is not None
    page.mouse.move(*middle(box))
    expect(page.locator("#reading")).to_contain_text("“ticket” was attended to for")


def middle(box: FloatRect) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_all_of_it_works_by_keyboard(page: Page) -> None:
    translated(page, "Where is the ticket office?")
    page.focus("#input")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#reading")).to_contain_text("“Where” was attended to for")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    words = page.locator("#output .word")
    expect(words.first).to_be_focused()
    expect(page.locator("#announced")).to_contain_text("attended to")
    page.keyboard.press("ArrowRight")
    expect(words.nth(1)).to_be_focused()
    first = shown(page)
    page.locator("#alternatives summary").press("Enter")
    choices = page.get_by_role("radio")
    expect(choices.first).to_be_checked()
    choices.first.press("ArrowDown")
    expect(choices.nth(1)).to_be_focused()
    chosen = page.locator("#choices label span").nth(2).inner_text()
    assert shown(page) == [chosen] != first
    page.locator("#alignment summary").press("Enter")
    expect(page.locator("#alignment")).to_contain_text("the model’s first choice")
    choices.nth(1).press("ArrowUp")
    assert shown(page) == first
    page.get_by_role("button", name="Clear").press("Enter")
    expect(page.locator("#input")).to_be_focused()
    expect(choices).to_have_count(0)


def test_the_matrix_is_the_attention(page: Page) -> None:
    translated(page, "Where is the ticket office?")
    page.locator("#alignment summary").click()
    columns = page.locator(".matrix thead th").all_inner_texts()
    assert columns == ["Where", "is", "the", "ticket", "office", "?", "end"]
    for row in page.locator(".matrix tbody tr").all():
        assert sum(map(int, row.locator("td").all_text_contents())) == pytest.approx(100, abs=4)


def test_flags_are_told_in_words(page: Page) -> None:
    translated(page, "鿿")
    expect(page.locator(".note", has_text="the model does not know")).to_be_visible()


def test_the_card_says_what_the_file_is(page: Page, file: Path) -> None:
    page.locator("#about summary").click()
    card = page.inner_text("#card")
    for wanted in ("English to Korean", "weights,", "float32", "Fingerprint"):
        assert wanted in card


def test_the_page_is_accessible_and_fits_a_narrow_screen(page: Page) -> None:
    translated(page, "Where is the ticket office?\nHello! 鿿")
    for panel in ("alternatives", "alignment", "about"):
        page.locator(f"#{panel} summary").click()
    expect(page.get_by_role("radio").first).to_be_visible()
    page.locator("#output .word").first.focus()
    for width, scheme in ((320, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 720})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert complaints(page) == []


def complaints(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]


# ---------------------------------------------------------------- what it cannot do


class Listener(BaseHTTPRequestHandler):
    """Counts whoever comes, and answers a page and translations."""

    came: ClassVar[list[str]] = []
    page = ""

    def do_GET(self) -> None:
        self.came.append(self.path)
        self.answer(self.page.encode(), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.came.append(self.path)
        if asked["line"] == "fail":
            return self.answer(json.dumps({"error": "too much"}).encode(), "application/json", 413)
        tokens = ["\u2581" + word for word in asked["line"].upper().split()]
        result = {
            "text": " ".join(word[1:] for word in tokens) + f" in {asked['target']}", "score": -1, "flags": [],
            "logProbability": -1, "tokens": tokens, "sourceTokens": tokens, "logProbabilities": [-1.0] * len(tokens),
            "attention": [[1.0] * len(tokens)] * len(tokens), "nbest": [],
        }  # fmt: skip
        return self.answer(json.dumps(result).encode(), "application/json")

    def answer(self, content: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[str]:
    """Address of a server on this machine."""
    Listener.came.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


ATTEMPTS = """async (place) => {
  await new Promise((resolve) => setTimeout(resolve));  // what Playwright runs itself may do more
  const blocked = [];
  addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
  const made = (name, values) => document.body.appendChild(Object.assign(document.createElement(name), values));
  await fetch(place).catch(() => {});
  try { new WebSocket(place.replace("http", "ws")); } catch {}
  try { navigator.sendBeacon(place, "a"); } catch {}
  made("img", { src: place + "img" });
  made("script", { src: place + "script" });
  made("script", { textContent: "window.ran = true" });
  made("link", { rel: "stylesheet", href: place + "style" });
  made("iframe", { src: place + "frame" });
  made("object", { data: place + "object" });
  made("video", { src: place + "video" });
  made("form", { action: place + "form", method: "post", target: "_self" }).submit();
  made("p", {}).setAttribute("style", "color: red");
  try { new Function("window.ran = true")(); } catch {}
  const code = `fetch("${place}worker").catch((problem) => postMessage(String(problem)));`;
  const worker = new Worker(URL.createObjectURL(new Blob([code])));
  await new Promise((resolve) => { worker.onmessage = resolve; worker.onerror = resolve; });
  await new Promise((resolve) => setTimeout(resolve));
  return [[...new Set(blocked)].sort(), window.ran ?? false];
}"""


def test_the_file_can_load_and_send_nothing(browser: Browser, file: Path, listener: str) -> None:
    context = browser.new_context()  # online, or nothing would be proven
    page = context.new_page()
    page.goto(file.as_uri())
    assert translated(page, "Hello") != [""]
    blocked, ran = page.evaluate(ATTEMPTS, listener)
    context.close()
    assert not ran
    assert Listener.came == []
    for directive in ("connect-src", "img-src", "script-src-elem", "style-src-elem", "frame-src", "form-action"):
        assert directive in blocked


def test_an_export_is_written_whole_or_not_at_all(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "there.html"
    place.write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        export(run, place, "html")
    with pytest.raises(RunError, match="forecaster"):
        export(RUNS / "sunspots", tmp_path / "forecast.html", "html")
    with pytest.raises(
        RunError, match=r"folder: a page's name ends in \.html, or no browser opens it; or give --format"
    ):
        export(run, tmp_path / "folder")
    with pytest.raises(RunError, match=r"page\.html: --format js writes a folder, and this is the name of a page"):
        export(run, tmp_path / "page.html", "js")
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def test_a_title_is_no_code(tmp_path: Path) -> None:
    card = {"title": "</title><script>alert(1)</script>", "source": "en", "target": "ko", "data": [], "scores": {}}
    text = server_page([card])
    assert "<script>alert" not in text
    assert "\\u003cscript>alert" in text


# ---------------------------------------------------------------- a server's page, and language models


def test_a_servers_page_asks_the_server_and_nobody_else(browser: Browser, listener: str) -> None:
    cards = [
        {"title": "t", "source": source, "target": target, "data": [], "scores": {}, "trained": "2026-11-27",
         "fingerprint": "0", "s2s": "0", "scored_on": None}
        for source, target in (("en", "ko"), ("de", "ar"))
    ]  # fmt: skip
    Listener.page = server_page(cards)
    page = browser.new_page()
    page.goto(listener)
    assert translated(page, "good day") == ["GOOD DAY in ko"]
    page.get_by_label("Languages").select_option("German to Arabic")
    assert shown(page) == ["GOOD DAY in ar"]
    line = page.locator("#output p")
    assert (line.get_attribute("lang"), line.get_attribute("dir")) == ("ar", "rtl")
    assert complaints(page) == []
    page.fill("#input", "fail")
    expect(page.get_by_role("alert")).to_contain_text("too much")
    page.close()
    assert set(Listener.came) <= {"/", "/translations", "/favicon.ico"}


def test_a_language_model_continues_a_text_until_it_is_stopped(context: BrowserContext, tmp_path: Path) -> None:
    run = RUNS / "words-one-to-five"
    export(run, tmp_path / "page.html", "html", "float32")
    wanted = Generator.load(run, device="cpu").generate("one , two", length=30, temperature=0)[0].text
    with opened(context, tmp_path / "page.html") as page:
        page.set_viewport_size({"width": 320, "height": 640})
        page.fill("#prompt", "one , two")
        page.get_by_label("Tokens").fill("30")
        page.get_by_label("Always the most likely").check()
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#written")).to_have_text(wanted)
        page.locator("#about summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        assert complaints(page) == []
        page.fill("#prompt", "six")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("alert")).to_contain_text("the training text lacks")
        page.fill("#prompt", "one")
        page.get_by_label("Tokens").fill("10000")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#written")).to_have_attribute("aria-busy", "false")
        page.get_by_label("Tokens").fill("5")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#written")).to_have_text("one , two , three ,")
