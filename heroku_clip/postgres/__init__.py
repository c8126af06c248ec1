"""Django's PostgreSQL backend with a bounded number of connections that all threads share: see base.py."""
