"""Django's PostgreSQL backend with a bounded number of connections that all threads of a process share.

Heroku's smallest plan allows 20 connections for all dynos together, and each dyno runs more threads than its share;
Django's own pool needs psycopg 3. Here a thread takes a connection when it asks the database something and gives it
back at the end of the request (or earlier: `connection.close()`), and waits for a while where all are taken.

A connection that the server has closed meanwhile is noticed before it is given out.
"""

from __future__ import annotations

import select
import threading
import time
from contextlib import suppress

import psycopg2
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

IDLE_SECONDS = 60  # after which a connection that nobody needed is closed
TRUST_SECONDS = 5  # after which a connection is asked whether the server is still there


class ConnectionPool:
    """At most `size` connections; the last one given back is the first to be given out again."""

    def __init__(self, *, size: int, timeout: float) -> None:
        self.timeout = timeout  # seconds to wait for a free one
        self._free = threading.BoundedSemaphore(size)
        self._size = size
        self._lock = threading.Lock()
        self._idle: list[tuple[connection, str, float]] = []  # connection, its parameters, since when

    def take(self, connect: base.DatabaseWrapper, parameters: dict) -> connection:
        """An idle connection with these parameters, or one that `connect` makes. Raises psycopg2's OperationalError."""
        if not self._free.acquire(timeout=self.timeout):
            raise psycopg2.OperationalError(f"all {self._size} connections were in use for {self.timeout:g} seconds")
        try:
            wanted = repr(sorted(parameters.items(), key=str))
            while idle := self._idle_pop(wanted):
                if _alive(*idle):
                    return idle[0]
                idle[0].close()
            made = connect(parameters)
            made.pool_parameters = wanted
            return made
        except BaseException:
            self._free.release()
            raise

    def give_back(self, conn: connection) -> None:
        try:
            if not conn.closed and conn.info.transaction_status != TRANSACTION_STATUS_IDLE:
                conn.rollback()
            if not conn.closed:
                with self._lock:
                    self._idle.append((conn, conn.pool_parameters, time.monotonic()))
        except psycopg2.Error:
            conn.close()
        finally:
            self._free.release()
        self.close_idle(IDLE_SECONDS)

    def close_idle(self, seconds: float = 0) -> None:
        """Close those that nobody needed for so long."""
        left = time.monotonic() - seconds
        with self._lock:
            old = [idle for idle in self._idle if idle[2] <= left]
            self._idle = [idle for idle in self._idle if idle[2] > left]
        for conn, _, _ in old:
            conn.close()

    def _idle_pop(self, wanted: str) -> tuple[connection, float] | None:
        with self._lock:
            for position in reversed(range(len(self._idle))):
                if self._idle[position][1] == wanted:
                    conn, _, since = self._idle.pop(position)
                    return conn, since
        return None


def _alive(conn: connection, since: float) -> bool:
    """Whether the server is still there. Nothing is on its way on an idle connection but the news of its end."""
    if conn.closed or select.select([conn], [], [], 0)[0]:
        return False
    if time.monotonic() - since > TRUST_SECONDS:
        with suppress(psycopg2.Error):
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute("SELECT 1")
            return True
        return False
    return True


class PooledConnection(connection):
    """psycopg2's connection, which takes no attributes unless it is subclassed."""

    pool_parameters = ""


class DatabaseWrapper(base.DatabaseWrapper):
    _pools: dict[str, ConnectionPool] = {}
    _pools_lock = threading.Lock()

    @property
    def shared(self) -> ConnectionPool:
        with self._pools_lock:
            if self.alias not in self._pools:
                limits = self.settings_dict["POOL"]
                self._pools[self.alias] = ConnectionPool(size=limits["size"], timeout=limits["timeout"])
            return self._pools[self.alias]

    def get_new_connection(self, conn_params: dict) -> connection:
        if self.alias == NO_DB_ALIAS:  # creating and dropping databases
            return super().get_new_connection(conn_params)
        self.isolation_level = base.IsolationLevel.READ_COMMITTED
        return self.shared.take(super().get_new_connection, {**conn_params, "connection_factory": PooledConnection})

    def _close(self) -> None:
        if isinstance(self.connection, PooledConnection):
            with self.wrap_database_errors:
                self.shared.give_back(self.connection)
        else:
            super()._close()

    def close_pool(self) -> None:
        """Close what is idle; Django's test runner calls this before it drops the database."""
        self.shared.close_idle()
