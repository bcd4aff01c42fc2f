"""How the pages look on a small screen, in the dark, and to who uses the keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.site import Site
from tests.browser.visitor import Visitor, visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

# Contrast of text and what is behind it, as WCAG 2 section 1.4.3 counts it; the page's colours, as drawn.
_CONTRAST = """(selector) => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector);
  const own = getComputedStyle(element), body = getComputedStyle(document.body);
  const behind = own.backgroundColor === "rgba(0, 0, 0, 0)" ? body.backgroundColor : own.backgroundColor;
  const [low, high] = [light(own.color), light(behind)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


async def denied(visitor: Visitor, here: Site) -> None:
    """The page with the most on it: words, a button, a code."""
    await visitor.go(here.login())
    await visitor.window.click("button[value=deny]")
    await visitor.window.wait_for_selector("a.do")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_page_fits_a_small_screen_and_can_be_read(
    browser: Any, here: Site, tmp_path: Path, dark: bool
) -> None:
    """At 320 pixels nothing is scrolled sideways (WCAG 2 section 1.4.10), and text stands out from its ground."""
    async with visiting(browser, tmp_path, dark=dark) as visitor:
        await visitor.window.set_viewport_size({"width": 320, "height": 560})
        await denied(visitor, here)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await visitor.window.evaluate(wide) == 0
        for selector in ("h1", "p", "a.do"):
            assert await visitor.window.evaluate(_CONTRAST, selector) >= 4.5, selector
        await visitor.shot(f"small-{'dark' if dark else 'light'}")
        await visitor.go(here.page)
        await visitor.window.locator("form").first.wait_for()
        assert await visitor.window.evaluate(wide) == 0
        await visitor.shot(f"small-page-{'dark' if dark else 'light'}")


async def test_button_is_reached_by_keyboard_and_seen_to_be(visitor: Visitor, here: Site) -> None:
    """The first Tab is on it, with an outline; Enter presses it."""
    await denied(visitor, here)
    await visitor.window.keyboard.press("Tab")
    focused = await visitor.window.evaluate(
        "[document.activeElement.className, getComputedStyle(document.activeElement).outlineStyle]"
    )
    assert focused == ["do", "solid"]
    await visitor.shot("focus")
    await visitor.window.keyboard.press("Enter")
    await visitor.window.wait_for_selector("#password")


async def test_page_says_what_it_is_to_who_does_not_see_it(visitor: Visitor, here: Site) -> None:
    """A language, a title that is the heading, one main part."""
    await denied(visitor, here)
    told = await visitor.window.evaluate(
        "[document.documentElement.lang, document.title, document.querySelectorAll('main h1').length]"
    )
    assert told == ["en", await visitor.heading(), 1]
