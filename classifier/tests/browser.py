"""The base of tests in a real browser: Debian's chromium, driven by Playwright."""

import os
import shutil
import unittest
from importlib import import_module

from django.conf import settings
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import override_settings
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

# Playwright's synchronous interface keeps an event loop in this thread, which Django takes for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 30_000  # ms; the first picture waits for the model, and the machine may be busy
expect.set_options(timeout=TIMEOUT)
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


@override_settings(CLIP_MODEL="standin", CLIP_THREADS=1, RATE_LIMIT_PER_MINUTE=0)
class BrowserTestCase(StaticLiveServerTestCase):
    """A browser per class and a fresh visitor, `self.page`, per test.

    Every test fails on an error in a script, on what the content security policy stops, and on a request elsewhere.
    """

    arguments: tuple[str, ...] = ()  # for chromium, besides ARGUMENTS

    @classmethod
    def setUpClass(cls):
        if CHROMIUM is None:
            raise unittest.SkipTest("chromium is not installed (Debian: apt install chromium)")
        super().setUpClass()
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        cls.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *cls.arguments])
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.complaints: list[str] = []
        self.page = self.visitor()

    def tearDown(self):
        for context in self.browser.contexts:
            context.close()
        self.assertEqual(self.complaints, [])

    def visitor(self, **options) -> Page:
        """A page of a browser without cookies."""
        options = {"viewport": DESKTOP, **options}
        context = self.browser.new_context(base_url=self.live_server_url, **options)
        context.set_default_timeout(TIMEOUT)
        context.on("request", lambda request: self._same_host(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._console(message.text))
        return page

    def _same_host(self, url: str) -> None:
        if not url.startswith(self.live_server_url):
            self.complaints.append(f"request to {url}")

    def _console(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.complaints.append(text)

    def own(self, context: BrowserContext, owner: str = "me") -> None:
        """Make the browser the owner of the uploads of `owner`."""
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session["owner"] = owner
        session.create()
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session.session_key, "url": self.live_server_url}]
        )
