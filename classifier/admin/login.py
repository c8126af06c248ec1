"""The admin's login, limited against guessing."""

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from classifier.http.ratelimits import client_address, rate_limit_take
from heroku_clip.addresses import network_of

PERIOD = 15 * 60  # seconds
ATTEMPTS_AT_NAME = 10  # per period, from one address: whoever forgot a password has enough of them
ATTEMPTS_FROM_ADDRESS = 30  # per period, whatever the names


class LimitedLoginForm(AdminAuthenticationForm):
    """Counts attempts per address and name in the database, and does not look at the password beyond the limit.

    The addresses of an IPv6 /64 count as one: one customer has them all.
    An account as such is never locked: that would let anybody lock its owner out.
    """

    def clean(self) -> dict:
        address = network_of(client_address(self.request))
        name = str(self.cleaned_data.get("username", "")).lower()
        waits = [
            rate_limit_take(scope="login", identity=identity, per_minute=attempts, period=PERIOD)
            for identity, attempts in ((address, ATTEMPTS_FROM_ADDRESS), (f"{address} {name}", ATTEMPTS_AT_NAME))
        ]
        if any(waits):
            minutes = max(1, round(max(waits) / 60))
            raise ValidationError(
                f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.", code="throttled"
            )
        return super().clean()
