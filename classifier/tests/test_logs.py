"""What a log line looks like, whatever is in it."""

import json
import logging
import sys
from unittest import TestCase

from classifier import logs


class LineTests(TestCase):
    def test_plain_values_are_plain(self):
        self.assertEqual(
            logs.line(status=200, ms=12.6, path="/uploads/", model=None), "status=200 ms=13 path=/uploads/"
        )

    def test_other_values_are_quoted(self):
        self.assertEqual(logs.line(path="/a b"), 'path="/a b"')
        self.assertEqual(logs.line(path='/"'), r'path="/\""')
        self.assertEqual(logs.line(path="/\n\x1b[31m\u202e\ud800é"), r'path="/\n\u001b[31m\u202e\ud800\u00e9"')

    def test_long_values_are_cut(self):
        self.assertLess(len(logs.line(path="/" + "x" * 100_000)), 250)

    def test_notes_go_to_the_request_that_is_being_answered(self):
        logs.note(lost=1)
        with logs.collect() as outer:
            logs.note(model="a")
            with logs.collect() as inner:
                logs.note(model="b")
        self.assertEqual((outer, inner), ({"model": "a"}, {"model": "b"}))


class FormatterTests(TestCase):
    def formatted(self, message: str, *arguments: object, error: Exception | None = None) -> str:
        info = (type(error), error, error.__traceback__) if error else None
        record = logging.LogRecord("some.logger", logging.WARNING, __file__, 1, message, arguments, info)
        return logs.LineFormatter().format(record)

    def test_every_record_is_one_line(self):
        line = self.formatted("hello %s", "a\r\nb\x00\u2028")
        self.assertRegex(line, r"^time=\S+Z level=warning logger=some.logger hello a\\r\\nb\\x00\\u2028$")

    def test_a_traceback_is_one_value(self):
        try:
            raise ValueError("first\nsecond")
        except ValueError:
            line = self.formatted("event=x", error=sys.exc_info()[1])
        self.assertNotIn("\n", line)
        traceback = json.loads(line.partition(" traceback=")[2])
        self.assertIn("ValueError: first\nsecond", traceback)
