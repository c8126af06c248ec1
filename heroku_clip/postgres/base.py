"""Django's PostgreSQL backend with a bounded number of connections that all threads of a process share.

Heroku's smallest plan allows 20 connections for all dynos together, and each dyno runs more threads than its share;
Django's own pool needs psycopg 3. Here a thread takes a connection when it asks the database something and gives it
back at the end of the request (or earlier: `connection.close()`), and waits for a while where all are taken.

A connection that the server has closed meanwhile is noticed before it is given out, and a server that takes connections
and never answers is given up: psycopg2 itself would wait for ever.
https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg2
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg2.extensions import POLL_OK, POLL_READ, TRANSACTION_STATUS_IDLE, connection, set_wait_callback

CONNECTION_OK = 0  # libpq's status
CONNECT_SECONDS = 4  # for a new connection, or a sign of life of an old one, where statements have a limit
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
            if idle := self._idle_pop(wanted):
                if _alive(*idle):
                    return idle[0]
                idle[0].close()
                self.close_idle()  # the others fare no better, and to ask each takes its time
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
    if conn.closed or _ready(conn, select.POLLIN, 0):
        return False
    if time.monotonic() - since > TRUST_SECONDS:
        conn.seconds = CONNECT_SECONDS
        with suppress(psycopg2.Error):
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute("SELECT 1")
            conn.seconds = 0
            return True
        return False
    return True


def _ready(conn: connection, event: int, seconds: float) -> bool:
    """Whether the connection can be read or written, as `event` says, within so many seconds."""
    poller = select.poll()  # select() takes no descriptor over 1,023
    poller.register(conn.fileno(), event)
    return bool(poller.poll(1000 * seconds))


def waiting(seconds: float) -> Callable[[PooledConnection], None]:
    """How psycopg2 is to wait: so many seconds for a statement, CONNECT_SECONDS for a connection."""

    def wait(conn: PooledConnection) -> None:
        limit = (conn.seconds or seconds) if conn.info.status == CONNECTION_OK else CONNECT_SECONDS
        end = time.monotonic() + limit
        while (state := conn.poll()) != POLL_OK:
            event = select.POLLIN if state == POLL_READ else select.POLLOUT
            if not _ready(conn, event, max(0, end - time.monotonic())):
                # psycopg2 then closes the connection.
                raise psycopg2.OperationalError(f"the database did not answer within {limit:g} seconds")

    return wait


class PooledConnection(connection):
    """psycopg2's connection, which takes no attributes unless it is subclassed."""

    pool_parameters = ""
    seconds = 0  # for the next statement, where it is not what `waiting` was told


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
        return self.shared.take(self.connect_limited, {**conn_params, "connection_factory": PooledConnection})

    def connect_limited(self, conn_params: dict) -> connection:
        """A new connection, whose statements end in the time that they have: by themselves, or else by us."""
        seconds = self.settings_dict["POOL"]["seconds"]
        if not seconds:
            return super().get_new_connection(conn_params)
        set_wait_callback(waiting(seconds))
        conn = super().get_new_connection(conn_params)
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", [int(900 * seconds)])  # milliseconds
        return conn

    def _close(self) -> None:
        if isinstance(self.connection, PooledConnection):
            with self.wrap_database_errors:
                self.shared.give_back(self.connection)
        else:
            super()._close()

    def close_pool(self) -> None:
        """Close what is idle; Django's test runner calls this before it drops the database."""
        self.shared.close_idle()
