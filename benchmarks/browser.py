"""How fast a browser opens, searches and scrolls a layer of 100,000 units.

``.venv-browser/bin/python benchmarks/browser.py``, after ``make test-browser`` has made that environment.

The site is made by `dnd` in ``.venv`` (minutes) and kept in ``--folder``; Chromium, without a window, opens it from the
disk. Prints one JSON object and writes it where ``--out`` says. Times are in milliseconds, as the page's own clock has
them: from the navigation to the first painted units, from a key press to the painted result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/browser"))
import chromium  # noqa: E402

ROUTE = "#/layer/made-up/layer"
OPENINGS, QUERIES, WHEEL = 5, 20, 60
WATCH = """
window.seen = { usable: null, keys: [], frames: [], blocked: 0 };
const painted = (act) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = act;
  channel.port2.postMessage(0);
});
const look = () => {
  if (document.querySelector(".card .cell")) painted(() => { seen.usable = performance.now(); });
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
addEventListener("input", (event) => painted(() => seen.keys.push(performance.now() - event.timeStamp)), true);
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) seen.blocked = Math.max(seen.blocked, one.duration);
}).observe({ type: "longtask", buffered: true });
let last = performance.now();
const frame = (now) => {
  seen.frames.push(now - last);
  last = now;
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""
"""Watches in the page; what is painted is known when the frame's callbacks are over and its message arrives."""


def figures(values: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum."""
    ordered = sorted(values)
    tail = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"median": round(statistics.median(ordered), 1), "p95": round(tail, 1), "max": round(ordered[-1], 1)}


def seen(page: Page, name: str) -> Any:
    """Read what was watched."""
    return page.evaluate(f"seen.{name}")


def opened(page: Page, address: str) -> float:
    """Open the layer in a fresh page; return when its units were painted."""
    page.goto(address, wait_until="commit")
    while (found := seen(page, "usable")) is None:
        page.wait_for_timeout(20)
    return float(found)


def searched(page: Page, words: list[str]) -> tuple[float, list[float]]:
    """Type queries; return how long candidates and captions took to load at the first, and the time of every key."""
    field = page.get_by_role("searchbox")
    begun = page.evaluate("performance.now()")
    field.focus()
    page.keyboard.type("a")
    page.locator(".count", has_text="searching").wait_for(state="detached", timeout=120_000)
    loaded = page.evaluate("performance.now()") - begun
    times = []
    for word in words:
        field.fill("")
        page.wait_for_timeout(300)
        page.evaluate("seen.keys.length = 0")
        page.keyboard.type(word, delay=120)
        page.wait_for_timeout(200)
        times += seen(page, "keys")
    return loaded, times


def scrolled(page: Page) -> list[float]:
    """Turn the wheel; return how far apart frames were."""
    page.mouse.move(600, 600)
    page.evaluate("seen.frames.length = 0")
    for _ in range(WHEEL):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(25)
    return list(seen(page, "frames"))


def queries(folder: Path) -> list[str]:
    """Return words and pairs of words of the layer's labels, frequent and rare ones, and some that no text has."""
    text = (folder / "large/report/layers/made-up/layer/index.js").read_text(encoding="ascii")
    labels = json.loads("[" + text.removeprefix("dnd.put(").rstrip().removesuffix(");") + "]")[1]["labels"]
    chosen = [label.split() for label in labels[:: max(1, len(labels) // QUERIES)]][: QUERIES - 1]
    found = [" ".join(words[: 1 + place % 2]) for place, words in enumerate(chosen)]
    return [*found, "nothing has this"]


def measure(folder: Path) -> dict[str, Any]:
    """Return the figures of a site."""
    address = (folder / "large/report/index.html").as_uri() + ROUTE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.found())
        openings, blocked = [], []
        for _ in range(OPENINGS):
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            page.add_init_script(WATCH)
            openings.append(opened(page, address))
            blocked.append(seen(page, "blocked"))
            if len(openings) < OPENINGS:
                page.context.close()
        frames = scrolled(page)
        page.evaluate("scrollTo(0, 0)")
        loaded, keys = searched(page, queries(folder))
        heap = page.context.new_cdp_session(page).send("Runtime.getHeapUsage")["usedSize"]
        browser.close()
    return {
        "open_ms": figures(openings),
        "open_longest_task_ms": figures(blocked),
        "search_texts_loaded_ms": round(loaded),
        "search_key_ms": figures(keys),
        "keys": len(keys),
        "scroll_frame_ms": figures(frames),
        "heap_MB": round(heap / 1e6),
    }


def main() -> None:
    """Make the site where it is missing, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/browser")
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    made = given.folder / "made.json"
    if not made.exists():
        command = [
            ROOT / ".venv/bin/python",
            ROOT / "benchmarks/large_site.py",
            given.folder,
            "--units",
            str(given.units),
        ]
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    layer = given.folder / "large/report/layers/made-up/layer"
    sizes = {f"{name}_MB": round((layer / f"{name}.js").stat().st_size / 1e6, 1) for name in ("index", "search")}
    text = json.dumps(json.loads(made.read_text()) | sizes | measure(given.folder), indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
