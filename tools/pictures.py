r"""The pictures of docs/images, from an HTML report of the published rows in ``../shared/data``.

.venv/bin/bench import results ../shared/data/inferencex/dsr1_latest_2026-06-14.csv \
    --reporter "html:title='DeepSeek-R1, published rows of InferenceX'"
.venv/bin/python tools/pictures.py runs/RUN/reports/report.html

Needs Playwright and Chromium (``make browser``). Look at the pictures before committing them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WORKLOAD = "random (input_range=0.8, input_tokens=8192, output_range=0.8, output_tokens=1024)"
VIEWS: dict[str, dict[str, str]] = {
    "html-report-light": {"theme": "light", "y": "cost", "ylog": "1", "xmax": "200"},
    "html-report-dark": {"theme": "dark", "y": "throughput", "ylog": "1", "xmax": "200"},
    "html-report-calculator": {
        "theme": "light",
        "tab": "calculator",
        "only.precision": "fp8",
        "at": "60",
        "fast": "100",
        "pin": "0.5",
        "pout": "2",
    },
    "html-report-composition": {
        "theme": "dark",
        "tab": "composition",
        "family": "dsr1 on b200, trtllm, random: input_tokens 8192, output_tokens 1024, "
        "input_range 0.8, output_range 0.8",
    },
}


def main() -> None:
    """One picture per view."""
    from playwright.sync_api import sync_playwright

    report = Path(sys.argv[1]).resolve()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 860})
        for name, view in VIEWS.items():
            words = urlencode({"only.workload": WORKLOAD, **view})
            page.goto("about:blank")
            page.goto(f"{report.as_uri()}#{words}")
            page.wait_for_timeout(1000)
            if "tab" not in view:
                page.focus("#plot")
                for key in ("ArrowDown", "ArrowDown", "ArrowDown", "End"):
                    page.keyboard.press(key)
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"{name}.png")
            print(f"wrote docs/images/{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
