"""A run of the tests that hangs says where, and ends."""

import faulthandler
import sys
import unittest

from django.test.runner import DiscoverRunner

DEADLINE = 600  # seconds for one test, or what comes between two; the slowest take a tenth of it on two quiet cores


class DeadlineResult(unittest.TextTestResult):
    """Begins to wait anew at each test's start and end. Past the deadline every thread's stack is printed, exit 1."""

    def wait(self):
        faulthandler.dump_traceback_later(DEADLINE, exit=True, file=sys.__stderr__)

    def startTest(self, test):
        self.wait()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.wait()

    def stopTestRun(self):
        super().stopTestRun()
        faulthandler.cancel_dump_traceback_later()


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return super().get_resultclass() or DeadlineResult
