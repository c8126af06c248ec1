"""Limits per address and per key."""

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from django.db import connection
from django.test import RequestFactory, TestCase, TransactionTestCase, override_settings, skipUnlessDBFeature

from classifier.errors import RateLimited
from classifier.http import ratelimits
from classifier.models import ApiKey, RateLimit
from classifier.services.keys import api_key_issue


def request(address: str = "192.0.2.1", forwarded: str | None = None):
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return RequestFactory().post("/", REMOTE_ADDR=address, headers=headers)


@override_settings(RATE_LIMIT_PER_MINUTE=3, RATE_LIMIT_KEY_PER_MINUTE=5)
class RateLimitTests(TestCase):
    def setUp(self):
        patch = mock.patch("classifier.http.ratelimits.time.time", side_effect=lambda: self.now)
        patch.start()
        self.addCleanup(patch.stop)
        self.now = 1_800_000_000.0

    def taken(self, times: int, **fields) -> int:
        api_key = fields.pop("api_key", None)
        count = 0
        for _ in range(times):
            try:
                ratelimits.rate_limit_check(request(**fields), api_key=api_key)
                count += 1
            except RateLimited:
                pass
        return count

    def test_it_lets_the_limit_through_at_once_and_no_more(self):
        self.assertEqual(self.taken(5), 3)

    def test_it_says_when_to_come_back_and_then_lets_one_through(self):
        self.taken(3)
        with self.assertRaises(RateLimited) as caught:
            ratelimits.rate_limit_check(request())
        self.assertEqual(caught.exception.retry_after, 20)
        self.assertIn("3 per minute from your address. Try again in 20 seconds", str(caught.exception))
        self.now += 19
        self.assertEqual(self.taken(1), 0)
        self.now += 1
        self.assertEqual(self.taken(2), 1)

    def test_what_costs_less_takes_a_share(self):
        for _ in range(10):
            ratelimits.rate_limit_check(request(), share=0.1)
        self.assertEqual(self.taken(5), 2)
        with self.assertRaises(RateLimited) as caught:
            ratelimits.rate_limit_check(request(), share=0.1)
        self.assertEqual(caught.exception.retry_after, 2)  # a tenth of 20 s

    def test_the_whole_limit_is_back_after_a_minute(self):
        self.taken(3)
        self.now += 60
        self.assertEqual(self.taken(5), 3)

    def test_addresses_do_not_share_a_limit(self):
        self.taken(3)
        self.assertEqual(self.taken(1, address="192.0.2.2"), 1)

    def test_the_addresses_of_one_ipv6_customer_share_a_limit(self):
        self.taken(3, address="2001:db8::1")
        self.assertEqual(self.taken(1, address="2001:db8::2"), 0)
        self.assertEqual(self.taken(1, address="2001:db8:0:1::2"), 1)

    @override_settings(TRUSTED_PROXIES=1)
    def test_behind_a_router_the_last_forwarded_address_counts(self):
        self.taken(3, forwarded="203.0.113.9, 198.51.100.7")
        self.assertEqual(self.taken(1, forwarded="203.0.113.10, 198.51.100.7"), 0)
        self.assertEqual(self.taken(1, forwarded="198.51.100.7, 203.0.113.9"), 1)

    def test_without_a_router_a_forwarded_address_is_not_believed(self):
        self.taken(3, forwarded="203.0.113.9")
        self.assertEqual(self.taken(1, forwarded="203.0.113.10"), 0)

    def test_a_key_has_its_own_limit(self):
        api_key = ApiKey(name="robot")
        api_key_issue(api_key=api_key)
        self.taken(3)
        self.assertEqual(self.taken(9, api_key=api_key), 5)
        api_key.per_minute = 7
        self.now += 60
        self.assertEqual(self.taken(9, api_key=api_key), 7)

    @override_settings(RATE_LIMIT_PER_MINUTE=0)
    def test_zero_is_no_limit_and_costs_no_query(self):
        with self.assertNumQueries(0):
            self.assertEqual(self.taken(9), 9)

    def test_it_costs_one_query(self):
        with self.assertNumQueries(1), mock.patch("classifier.http.ratelimits.random.random", return_value=1.0):
            self.taken(1)

    def test_it_forgets_addresses_that_have_their_whole_limit_again(self):
        self.taken(1)
        self.now += 61
        with mock.patch("classifier.http.ratelimits.random.random", return_value=0.0):
            self.taken(1, address="192.0.2.2")
        self.assertEqual(RateLimit.objects.count(), 1)

    def test_it_stores_no_address(self):
        self.taken(1)
        self.assertNotIn("192.0.2.1", RateLimit.objects.get().key)


@skipUnlessDBFeature("test_db_allows_multiple_connections")
class ConcurrentRateLimitTests(TransactionTestCase):
    def test_requests_at_the_same_time_do_not_share_a_place(self):
        def take(_: int) -> int:
            try:
                return ratelimits.rate_limit_take(scope="address", identity="192.0.2.1", per_minute=10)
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            waits = list(pool.map(take, range(40)))
        self.assertEqual(waits.count(0), 10)
