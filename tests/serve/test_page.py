"""The page of a server in Chromium."""

from capitals import Live
from playwright.sync_api import Browser, expect


def test_the_page_asks_its_server(browser: Browser, live: Live) -> None:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(live.url)
    expect(page.locator("#input")).to_be_focused()
    page.fill("#input", "the door\n\n" + "word " * 60)
    expect(page.locator("#output")).to_contain_text("THE DOOR")
    expect(page.locator("#output")).to_contain_text("WORD " * 59 + "WORD")  # in parts, without a score
    page.get_by_label("Languages").select_option("German to English")
    page.fill("#input", "die Katze")
    expect(page.locator("#output")).to_contain_text("DIE KATZE")
    page.close()
    assert not problems
