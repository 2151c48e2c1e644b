"""Open every page of the built site in a browser, at the width of a desktop and of a phone.

python docs/check_pages.py build/site --pictures FOLDER

A page fails if its scripts report an error, if it asks for anything outside the site, if a picture is
missing, or if it is wider than the window. `--pictures` writes a picture of each page. Needs the package
playwright, and Chromium: `playwright install chromium`, or another one by `--browser /usr/bin/chromium`.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHT = 900


class Silent(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, format: str, *arguments: Any) -> None: ...


def serve(folder: Path) -> ThreadingHTTPServer:
    """Serve a folder from a thread of this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def problems(page: Any, address: str, home: str) -> Iterator[str]:
    """Open a page, and yield what is wrong with it."""
    found: list[str] = []
    listeners = {
        "console": lambda message: found.append(message.text) if message.type == "error" else None,
        "pageerror": lambda error: found.append(str(error)),
        "request": lambda request: (
            None if request.url.startswith((home, "data:")) else found.append(f"asks for {request.url}")
        ),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.goto(address, wait_until="load")
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    yield from found
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wide > 0:
        yield f"is {wide} pixels wider than the window"
    missing = page.evaluate(
        "[...document.images].filter(i => i.loading != 'lazy' && !i.naturalWidth).map(i => i.src)"
    )
    yield from (f"has no picture {source}" for source in missing)


def check(site: Path, names: list[str], pictures: Path | None, browser: str | None, dark: bool) -> int:
    """Open pages, print what is wrong, and return the number of pages with a problem."""
    from playwright.sync_api import sync_playwright

    server = serve(site)
    home = f"http://127.0.0.1:{server.server_port}/"
    wrong = 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for device, width in WIDTHS.items():
            page = chromium.new_page(
                viewport={"width": width, "height": HEIGHT}, color_scheme="dark" if dark else "light"
            )
            for name in names:
                found = list(problems(page, home + name, home))
                wrong += bool(found)
                for problem in found:
                    print(f"{name}, {device}: {problem}", flush=True)
                if pictures is not None:
                    file = pictures / device / f"{name.removesuffix('.html').replace('/', '-')}.png"
                    page.screenshot(path=file, full_page=True)
        chromium.close()
    server.shutdown()
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("names", nargs="*", help="pages, such as guide/cells.html (default: all)")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each page")
    parser.add_argument("--browser", help="path of Chromium (default: the one that playwright installed)")
    parser.add_argument("--dark", action="store_true", help="in dark mode")
    options = parser.parse_intermixed_args()
    names = options.names or sorted(
        path.relative_to(options.site).as_posix()
        for path in options.site.rglob("*.html")
        if "_static" not in path.parts
    )
    wrong = check(options.site, names, options.pictures, options.browser, options.dark)
    print(f"{len(names)} pages, {wrong} with a problem")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
