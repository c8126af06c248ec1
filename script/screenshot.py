#!/usr/bin/env python3
"""Write docs/screenshot.png, the README's picture: classify a photo on a running server and photograph the result.

script/server &
.venv/bin/python script/screenshot.py [http://localhost:8000/]
"""

import shutil
import sys
from pathlib import Path

import skimage
from playwright.sync_api import sync_playwright

PHOTO = Path(skimage.__file__).parent / "data" / "coffee.png"
TARGET = Path(__file__).resolve().parent.parent / "docs" / "screenshot.png"


def main(server: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 690}, color_scheme="light")
        page.goto(server)
        page.set_input_files("#image", PHOTO)
        page.wait_for_url("**/uploads/*/")
        page.wait_for_load_state("networkidle")
        TARGET.parent.mkdir(exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/")
