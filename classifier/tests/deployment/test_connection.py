"""What a client may take of the server, and what becomes of an answer that nobody reads yet."""

import asyncio
import socket
import tempfile
import time
import tracemalloc
from http import HTTPStatus
from unittest import IsolatedAsyncioTestCase, TestCase

from gunicorn.config import Config
from gunicorn.http.message import Request

from classifier.benchmark.attack import clients as attacks
from classifier.benchmark.attack import surroundings
from classifier.benchmark.attack.wire import answer_until_closed, attackers, head
from classifier.benchmark.server import Server
from classifier.tests.serving import ServerTestCase
from heroku_clip import limits
from heroku_clip.addresses import believed_address, network_of
from heroku_clip.connection import PIECE_BYTES, Incoming, Reply
from heroku_clip.limits import Patience, Refused, Shares


class AttackTests(ServerTestCase):
    """The same attacks as script/attack, on the server as the Procfile starts it."""

    def assert_held(self, seen: attacks.Seen) -> None:
        self.assertTrue(seen.held, seen.what)

    def test_readers_that_never_read_stop_nobody(self):
        self.assert_held(attacks.readers(self.server))

    def test_uploads_that_fall_silent_stop_nobody_and_are_given_up(self):
        self.assert_held(attacks.silence(self.server))

    def test_junk_after_a_refusal_is_heard_for_half_a_minute(self):
        self.assert_held(attacks.junk(self.server))

    def test_large_heads_stop_nobody(self):
        self.assert_held(attacks.large_heads(self.server))

    def test_no_request_hides_in_the_body_of_another(self):
        self.assert_held(attacks.smuggling(self.server))

    def test_a_head_that_never_ends_is_refused(self):
        with attackers(self.server, 1) as (sock,):
            sock.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 8000)
            answer, closed = answer_until_closed(sock, 10)
        self.assertRegex(answer, rb"^HTTP/1.1 431 ")
        self.assertTrue(closed)

    def test_one_address_has_so_many_requests_at_a_time(self):
        """Others are answered meanwhile, and it is itself once some have ended."""
        begun = head("POST", attacks.UPLOADS, Content_Length=1000, Content_Type="multipart/form-data; boundary=x")
        with attackers(self.server, limits.REQUESTS_AT_ONCE) as socks:
            for sock in socks:
                sock.sendall(begun)
            time.sleep(0.5)
            with attackers(self.server, 1) as (sock,):
                sock.sendall(begun)
                answer, _ = answer_until_closed(sock, 5)
                self.assertRegex(answer, rb"^HTTP/1.1 429 ")
                self.assertIn(b"Too much comes from your address", answer)
            self.assertEqual(self.server.get("/healthz").status, 200)
        time.sleep(0.5)
        with attackers(self.server, 1) as (sock,):
            sock.sendall(head("GET", "/healthz", Connection="close"))
            self.assertRegex(answer_until_closed(sock, 5)[0], rb"^HTTP/1.1 200 ")

    def test_connections_without_a_request_make_room(self):
        with attackers(self.server, 520):
            self.assertLess(self.server.get("/healthz").seconds, 2)

    def test_slow_readers_of_an_export_hold_nothing(self):
        self.assert_held(surroundings.export(self.server))


class RefusalTests(ServerTestCase):
    server_environment = {"RATE_LIMIT_PER_MINUTE": "1"}

    def test_a_refused_body_of_any_size_leaves_a_kept_connection_whole(self):
        seen = attacks.refusals(self.server)
        self.assertTrue(seen.held, seen.what)


class SilentDatabaseTests(ServerTestCase):
    """One that takes connections, and never answers."""

    @classmethod
    def setUpClass(cls):
        cls.silent = socket.create_server(("127.0.0.1", 0))
        cls.addClassCleanup(cls.silent.close)
        super().setUpClass()

    @classmethod
    def serve(cls, **environment: str) -> Server:
        address = f"postgres://nobody@127.0.0.1:{cls.silent.getsockname()[1]}/nothing"
        return super().serve(ready=False, DATABASE_URL=address)

    def test_it_is_said_within_seconds_and_stops_nobody(self):
        seen = surroundings.silent_database(self.server)
        self.assertTrue(seen.held, seen.what)


class ProxyTests(ServerTestCase):
    server_environment = {"TRUSTED_PROXIES": "1"}

    def test_clients_behind_a_proxy_are_told_apart(self):
        with attackers(self.server, limits.REQUESTS_AT_ONCE + 1) as socks:
            for number, sock in enumerate(socks):
                sock.sendall(head("POST", "/", Content_Length=9, X_Forwarded_For=f"192.0.2.{number}"))
            time.sleep(0.5)
            self.assertFalse(any(refused(sock) for sock in socks))


def refused(sock: object) -> bool:
    sock.setblocking(False)
    try:
        return bool(sock.recv(100))
    except BlockingIOError:
        return False


class SharesTests(IsolatedAsyncioTestCase):
    async def test_bytes_of_one_address_are_bounded(self):
        shares = Shares(threads=24, max_body=1000)
        with shares.taken("a", 1000), shares.taken("a", 1000), shares.taken("a", 1000), shares.taken("a", 1000):
            with self.assertRaises(Refused) as refused, shares.taken("a", 1):
                pass
            self.assertEqual(refused.exception.status, HTTPStatus.TOO_MANY_REQUESTS)
            with shares.taken("b", 1000):
                pass
        self.assertFalse(shares.by_address)

    async def test_one_address_has_half_the_threads(self):
        with Shares(threads=24, max_body=1000).taken("a", 0) as share:
            for _ in range(12):
                await share.threads.acquire()
            self.assertTrue(share.threads.locked())


class PatienceTests(TestCase):
    def test_a_slow_telephone_gets_more_time_with_every_byte(self):
        patience = Patience(20, pause=10, grows=True)
        self.assertEqual(patience.left(), 10)
        patience.waited, patience.done = 25, 100_000  # 4 kB a second
        self.assertEqual(patience.left(), 10)
        patience.waited, patience.done = 25, 5_000  # a trickle
        self.assertLess(patience.left(), 0)

    def test_there_is_an_end_to_everything(self):
        patience = Patience(20, pause=10, grows=True)
        patience.waited, patience.done = limits.TRANSFER_SECONDS, 10**9
        self.assertLessEqual(patience.left(), 0)


class IncomingTests(TestCase):
    def test_a_large_body_is_never_whole_in_memory(self):
        """gunicorn asks for all that is left of it, and would copy what it was given at each read."""
        size = 30_000_000
        incoming = Incoming(head("POST", "/", Content_Length=size))
        request = Request(Config(), incoming, ("127.0.0.1", 1), 1)
        incoming.body = self.enterContext(tempfile.TemporaryFile())
        incoming.body.truncate(size)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        read = sum(len(piece) for piece in iter(lambda: request.body.read(65536), b""))
        self.assertEqual(read, size)
        self.assertLess(tracemalloc.get_traced_memory()[1], 1_000_000)


class ReplyTests(IsolatedAsyncioTestCase):
    async def test_a_thread_never_waits_for_a_reader(self):
        reply = Reply(asyncio.get_running_loop())
        self.addCleanup(reply.close)
        await asyncio.to_thread(lambda: [reply.sendall(bytes(PIECE_BYTES)) for _ in range(40)])
        self.assertTrue(reply.more.is_set())
        await asyncio.to_thread(reply.sendall, b"end")
        reply.finish()
        pieces = list(iter(reply.take, b""))
        self.assertEqual((len(pieces), pieces[-1]), (41, b"end"))

    async def test_a_thread_stops_where_the_client_has_left(self):
        reply = Reply(asyncio.get_running_loop())
        self.addCleanup(reply.close)
        reply.abandoned = True
        with self.assertRaises(BrokenPipeError):
            reply.sendall(b"more")


class StopTests(ServerTestCase):
    def test_idle_connections_do_not_keep_a_server_from_stopping(self):
        with attackers(self.server, 3) as socks:
            socks[0].sendall(head("GET", "/healthz"))
            began = time.monotonic()
            self.assertEqual(self.server.stop(timeout=30), 0)
            self.assertLess(time.monotonic() - began, 8)


class AddressTests(TestCase):
    def test_only_what_trusted_proxies_saw_is_believed(self):
        self.assertEqual(believed_address("10.0.0.1", "6.6.6.6, 192.0.2.1", 1), "192.0.2.1")
        self.assertEqual(believed_address("10.0.0.1", "6.6.6.6", 0), "10.0.0.1")
        self.assertEqual(believed_address("10.0.0.1", "6.6.6.6", 2), "10.0.0.1")

    def test_one_customer_is_one_network(self):
        self.assertEqual(network_of("2001:db8::1"), network_of("2001:db8::ffff"))
        self.assertNotEqual(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"))
        self.assertEqual(network_of("::ffff:192.0.2.1"), "192.0.2.1")
