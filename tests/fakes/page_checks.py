"""What axe can't tell of a page: keys that lead nowhere, unseen focus, motion, widths."""

from __future__ import annotations

from typing import Final

from playwright.async_api import Page

_MOST_STOPS: Final = 80
# Letters and lines as far apart as WCAG 1.4.12 wants pages to bear.
_SPACING: Final = """
* { line-height: 1.5 !important; letter-spacing: 0.12em !important; }
* { word-spacing: 0.16em !important; }
p { margin-bottom: 2em !important; }
"""
_USE_STYLE: Final = """style => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  document.adoptedStyleSheets = [sheet];
}"""
_SHAPE: Final = """() => {
  const found = [];
  const say = (words, one) => found.push(`${words}: ${one.outerHTML.slice(0, 100)}`);
  const words = (one, name) => (one.getAttribute(name) ?? "").split(" ").filter(Boolean);
  const shown = [...document.querySelectorAll("h1")].filter((one) => one.offsetParent);
  if (shown.length !== 1) found.push(`${shown.length} headings of level 1`);
  if (document.querySelectorAll("main").length !== 1) found.push("not one main part");
  if (!document.documentElement.lang) found.push("no language");
  for (const field of document.querySelectorAll("[aria-invalid=true]")) {
    const told = words(field, "aria-describedby").map((id) => document.getElementById(id));
    if (!told.some((one) => one?.textContent.trim())) say("a mistake without words", field);
  }
  for (const one of document.querySelectorAll("[aria-labelledby]")) {
    const labels = words(one, "aria-labelledby").map((id) => document.getElementById(id));
    if (labels.includes(null)) say("labelled by what isn't there", one);
  }
  for (const one of document.querySelectorAll("body, body *")) {
    const { animationDuration, transitionDuration } = getComputedStyle(one);
    const seconds = `${animationDuration},${transitionDuration}`.split(",").map(parseFloat);
    if (Math.max(...seconds) > 0.1) say("moves for those who want no motion", one);
  }
  return found;
}"""
# The element with the focus, and whether it is in view and something about it says so.
_FOCUSED: Final = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const marked = [one, one.closest("label"), one.parentElement].filter(Boolean).some((part) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(part);
    return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) || boxShadow !== "none";
  });
  const box = one.getBoundingClientRect();
  const inView = box.width > 0 && box.bottom > 0 && box.top < innerHeight;
  return {
    place: [...document.querySelectorAll("*")].indexOf(one),
    seen: marked && inView,
    html: one.outerHTML.slice(0, 100),
  };
}"""

_TOO_WIDE: Final = """() => {
  if (document.documentElement.scrollWidth <= innerWidth) return "";
  const out = [...document.querySelectorAll("body *")].filter(
    (one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".unseen"));
  const shown = out.slice(-3).map((one) => one.outerHTML.slice(0, 80)).join(" ");
  return `${document.documentElement.scrollWidth - innerWidth} pixels too wide: ${shown}`;
}"""


async def shape(page: Page) -> list[str]:
    """Headings, mistakes in forms that say nothing, motion in spite of the reader's wish."""
    found: list[str] = await page.evaluate(_SHAPE)
    return found


async def reach(page: Page) -> list[str]:
    """What is wrong for those who have but a keyboard."""
    found = []
    seen: set[int] = set()
    await page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    for _ in range(_MOST_STOPS):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(_FOCUSED)
        if stop is None or stop["place"] in seen:
            break
        seen.add(stop["place"])
        if not stop["seen"]:
            found.append(f"the focus can't be seen: {stop['html']}")
    return found if seen else ["no key leads anywhere"]


async def width(page: Page) -> list[str]:
    """Whether it stays within its width at 200 %, and with letters as readers set them."""
    found = []
    for size, name, style in (
        ((640, 400), "at 200 %", ""),
        ((390, 800), "more space", _SPACING),
    ):
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        await page.evaluate(_USE_STYLE, style)
        if wide := await page.evaluate(_TOO_WIDE):
            found.append(f"{name}: {wide}")
    await page.evaluate("document.adoptedStyleSheets = []")
    await page.set_viewport_size({"width": 1280, "height": 800})
    return found
