"""A system check of the search's database; shown by `migrate` and `check --database default`."""

from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError, connections

from . import vectors


@register(Tags.database)
def search_check(app_configs: Any = None, databases: list[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Whether PostgreSQL can search through an index."""
    found = []
    for alias in databases or []:
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        try:
            found += _check(connection)
        except DatabaseError:  # whoever needs the database will say that it is away
            continue
    return found


def _check(connection: Any) -> list[CheckMessage]:
    if not vectors.table_exists(connection) or vectors.column_native(connection):
        return []
    oldest = ".".join(map(str, vectors.OLDEST_PGVECTOR))
    if vectors.extension_usable(connection):
        message = "pgvector has come to this database, but embeddings still lie in it as plain bytes."
        hint = "Run: python manage.py embed_uploads"
    else:
        message = f"This database has no pgvector {oldest} or newer: search reads every embedding, newest first."
        hint = "Run CREATE EXTENSION vector as a role that may, then: python manage.py embed_uploads"
    return [Warning(message, hint=hint, id="classifier.W101")]
