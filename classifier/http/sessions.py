"""Sessions in the database, in which a visitor's key outlives logging in and out."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django flushes a session when somebody logs out, or another user in: their history would be lost with it."""

    def flush(self) -> None:
        owner = self.get("owner")
        super().flush()
        if owner:
            self["owner"] = owner

    def _validate_session_key(self, key: str) -> bool:
        """A cookie may bring anything, a NUL in octal for one, which PostgreSQL does not take for text."""
        return super()._validate_session_key(key) and key.isascii() and key.isalnum()
