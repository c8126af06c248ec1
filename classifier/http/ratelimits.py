"""Limits per address and per API key, kept in the database: right across threads, processes, dynos and restarts.

The generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm) needs one number per
address: the moment at which its allowance is whole again. One statement reads, decides and writes it, so that
requests at the same time cannot both take the last place.
"""

import math
import random
import time

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from classifier.errors import RateLimited
from classifier.models import ApiKey, RateLimit
from heroku_clip.addresses import believed_address, network_of

PERIOD = 60  # seconds
BATCHES, BATCHES_PERIOD = 10, 600  # of one caller, in so many seconds

# CASE and not GREATEST, which SQLite does not have. Nothing is returned when the WHERE refuses.
TAKE = """
INSERT INTO classifier_ratelimit AS mine ("key", used_until) VALUES (%(key)s, %(now)s + %(cost)s)
ON CONFLICT ("key") DO UPDATE
    SET used_until = CASE WHEN mine.used_until > %(now)s THEN mine.used_until ELSE %(now)s END + %(cost)s
    WHERE mine.used_until + %(cost)s <= %(now)s + %(period)s
RETURNING used_until
"""


def client_address(request: HttpRequest) -> str:
    """Where the request came from, as far as that is believed."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return believed_address(request.META.get("REMOTE_ADDR", ""), forwarded, settings.TRUSTED_PROXIES)


def rate_limit_take(*, scope: str, identity: str, per_minute: int, period: int = PERIOD, share: float = 1) -> int:
    """Take one of `per_minute` places, all of which may be taken at once; they come back evenly over the minute.

    With a `period` in seconds, that takes the minute's place. What costs less takes a `share` of a place.

    Returns 0, or how many seconds to wait where none is left. No limit at 0 per minute.
    """
    if per_minute == 0:
        return 0
    key = salted_hmac("classifier.ratelimits", f"{scope} {identity}", algorithm="sha256").hexdigest()
    now, cost = time.time(), share * period / per_minute
    # Half a millisecond of slack for the rounding of 1.8e9 + 60 / n summed n times.
    with connection.cursor() as cursor:
        cursor.execute(TAKE, {"key": key, "now": now, "cost": cost, "period": period + 0.0005})
        taken = cursor.fetchone()
    if taken is None:
        used_until = RateLimit.objects.values_list("used_until", flat=True).get(key=key)
        return max(1, math.ceil(used_until + cost - period - now))
    if random.random() < 0.01:  # often enough to keep the table as small as the last minute's visitors
        RateLimit.objects.filter(used_until__lt=now).delete()
    return 0


def rate_limit_check(request: HttpRequest, *, api_key: ApiKey | None = None, share: float = 1) -> None:
    """Count one picture of this caller, whichever way it comes in, or what costs a share of that.

    Raises `RateLimited`.
    """
    if api_key is not None:
        per_minute = settings.RATE_LIMIT_KEY_PER_MINUTE if api_key.per_minute is None else api_key.per_minute
        wait = rate_limit_take(scope="key", identity=str(api_key.pk), per_minute=per_minute, share=share)
        whose = "with this key"
    else:
        per_minute = settings.RATE_LIMIT_PER_MINUTE
        identity = network_of(client_address(request))
        wait = rate_limit_take(scope="address", identity=identity, per_minute=per_minute, share=share)
        whose = "from your address"
    if wait:
        seconds = "a second" if wait == 1 else f"{wait} seconds"
        raise RateLimited(
            f"That was a lot of pictures: the limit is {per_minute} per minute {whose}. Try again in {seconds}.",
            retry_after=wait,
        )


def batch_limit_check(request: HttpRequest, *, api_key: ApiKey | None = None) -> None:
    """Count one batch of this caller. Its pictures wait behind everybody's uploads, and so count as little as one.

    Raises `RateLimited`.
    """
    rate_limit_check(request, api_key=api_key)
    identity = f"key {api_key.pk}" if api_key else network_of(client_address(request))
    unlimited = not (settings.RATE_LIMIT_KEY_PER_MINUTE if api_key else settings.RATE_LIMIT_PER_MINUTE)
    most = 0 if unlimited else BATCHES
    wait = rate_limit_take(scope="batch", identity=identity, per_minute=most, period=BATCHES_PERIOD)
    if wait:
        sentence = f"That was a lot of batches: the limit is {BATCHES} in {BATCHES_PERIOD // 60} minutes."
        raise RateLimited(f"{sentence} Try again in {wait} seconds.", retry_after=wait)
