"""Tests in which two do something at the same moment: real threads, each with a connection of its own."""

import threading
from collections.abc import Callable
from contextlib import contextmanager

from django.db import connection
from django.test import TransactionTestCase, skipUnlessDBFeature

from classifier.tests.colour_engine import ColourEngineMixin

SECONDS = 20  # after which a thread hangs


class Thread(threading.Thread):
    """Keeps what its function returned or raised."""

    def __init__(self, function: Callable) -> None:
        super().__init__(daemon=True)
        self.function, self.result, self.error = function, None, None

    def run(self) -> None:
        try:
            self.result = self.function()
        except Exception as error:
            self.error = error
        finally:
            connection.close()

    def end(self) -> object:
        """What it returned; raises what it raised."""
        self.join(SECONDS)
        if self.is_alive():
            raise AssertionError("it hangs")
        if self.error is not None:
            raise self.error
        return self.result


def begin(function: Callable) -> Thread:
    thread = Thread(function)
    thread.start()
    return thread


def together(*functions: Callable) -> list:
    """What they return or raise, done at the same time."""
    threads = [begin(function) for function in functions]
    for thread in threads:
        thread.join(SECONDS)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("some hang")
    return [thread.error or thread.result for thread in threads]


@contextmanager
def after_query(*parts: str, do: Callable):
    """Begin `do` in another thread after this one's first query that has all `parts` in it; what it raises is raised.

    It is waited for half a second: where it waits for this thread's locks, it goes on when they are given up.
    """
    threads = []

    def wrapper(execute, sql, params, many, context):
        found = execute(sql, params, many, context)
        if not threads and all(part in sql for part in parts):
            threads.append(begin(do))
            threads[0].join(0.5)
        return found

    with connection.execute_wrapper(wrapper):
        yield
    if not threads:
        raise AssertionError(f"no query had {parts} in it")
    threads[0].end()


@skipUnlessDBFeature("has_select_for_update")
class ConcurrencyTestCase(ColourEngineMixin, TransactionTestCase):
    """With the engine that knows colours."""
