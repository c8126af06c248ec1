"""A bounded number of connections for all threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from unittest import mock, skipUnless

from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase
from psycopg2.extensions import set_wait_callback

from heroku_clip.postgres.base import ConnectionPool, DatabaseWrapper


def sessions() -> int:
    """How many connections the server has to this database, this one included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


@skipUnless(connection.vendor == "postgresql", "SQLite has no connections to share")
class ConnectionPoolTests(TransactionTestCase):
    def setUp(self):
        connection.close()
        self.pool = ConnectionPool(size=3, timeout=5)
        connection.shared.close_idle()
        pools = {**DatabaseWrapper._pools, "default": self.pool}
        before, DatabaseWrapper._pools = DatabaseWrapper._pools, pools
        self.addCleanup(setattr, DatabaseWrapper, "_pools", before)
        self.addCleanup(connection.close)
        self.addCleanup(self.pool.close_idle)

    def ask(self, _: int = 0, seconds: float = 0.02) -> int:
        """What a thread of the server does: ask, and give the connection back."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid(), pg_sleep(%s)", [seconds])
                return cursor.fetchone()[0]
        finally:
            connection.close()

    def test_threads_share_a_few_connections(self):
        with ThreadPoolExecutor(12) as pool:
            backends = set(pool.map(self.ask, range(60)))
        self.assertLessEqual(len(backends), 3)

    def test_one_thread_after_another_uses_one_connection(self):
        self.assertEqual(len({self.ask() for _ in range(5)}), 1)

    def test_waiting_for_a_connection_ends(self):
        self.pool.timeout = 0.1
        busy = [threading.Thread(target=self.ask, args=(0, 1)) for _ in range(3)]
        for thread in busy:
            thread.start()
        time.sleep(0.3)
        with self.assertRaisesMessage(OperationalError, "all 3 connections were in use for 0.1 seconds"):
            connection.ensure_connection()
        for thread in busy:
            thread.join()
        self.assertTrue(self.ask())

    def test_connections_that_the_server_closed_are_noticed(self):
        with ThreadPoolExecutor(3) as pool:
            before = set(pool.map(self.ask, range(6)))
        for backend in before:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s) WHERE %s <> pg_backend_pid()", [backend, backend])
        connection.close()
        time.sleep(0.2)
        for _ in range(5):
            self.ask()

    def test_an_open_transaction_is_not_handed_on(self):
        connection.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE never (n int)")
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('never')")
            self.assertEqual(cursor.fetchone(), (None,))
        self.assertTrue(connection.get_autocommit())

    def test_what_nobody_needs_is_closed(self):
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(self.ask, range(6)))
        self.pool.close_idle()
        self.assertEqual(sessions(), 1)


@skipUnless(connection.vendor == "postgresql", "SQLite has no server to wait for")
class TimeoutTests(TransactionTestCase):
    def setUp(self):
        connection.close()
        connection.shared.close_idle()
        self.addCleanup(set_wait_callback, None)
        for clean in (connection.shared.close_idle, connection.close):
            self.addCleanup(clean)
        limited = mock.patch.dict(connection.settings_dict, POOL={**connection.settings_dict["POOL"], "seconds": 1})
        limited.start()
        self.addCleanup(limited.stop)

    def ask(self, statement: str) -> object:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]

    def test_a_statement_that_takes_too_long_ends_in_the_database_too(self):
        with self.assertRaisesMessage(OperationalError, "statement timeout"):
            self.ask("SELECT pg_sleep(20)")
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)%' AND state = 'active'"
        self.assertEqual(self.ask(running), 0)

    def test_a_server_that_does_not_say_so_is_given_up(self):
        self.ask("SELECT set_config('statement_timeout', '0', false)")
        with self.assertRaisesMessage(OperationalError, "did not answer within 1 seconds"):
            self.ask("SELECT pg_sleep(20)")
        connection.close()
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'"
        self.assertEqual(self.ask(ended), 1)

    def test_the_limit_outlives_a_transaction_that_is_undone(self):
        with suppress(ZeroDivisionError), transaction.atomic():
            self.ask("SELECT 1")
            raise ZeroDivisionError
        self.assertEqual(self.ask("SHOW statement_timeout"), "900ms")

    def test_a_large_answer_comes_whole(self):
        self.assertEqual(len(self.ask("SELECT repeat('x', 5000000)")), 5_000_000)
