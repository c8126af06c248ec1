"""The words of file names and labels, kept in a column of their own so that both databases find the same uploads.

A search for "egypt ca" finds what has a word that begins with "egypt" and one that begins with "ca". PostgreSQL looks
them up in a GIN index over to_tsvector, which needs no extension (a contains search would need pg_trgm, which not
every server has). SQLite compares them all, but in an index, which holds nothing else: in the table they come after the
picture, and it would read every picture to get there.
"""

import re

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.sql.compiler import SQLCompiler

WORD = re.compile(r"[^\W\d_]+|\d+")  # IMG_2031.jpg is the words img, 2031 and jpg
VECTOR = "to_tsvector('simple', {column})"  # the index and the query must agree to the letter


def words_of(*texts: str) -> str:
    """The words of some texts, in lower case, each after a space: " img 2031 jpg espresso"."""
    return "".join(f" {word}" for text in texts for word in WORD.findall(text.casefold()))


class WordsField(models.TextField):
    """Holds what `words_of` made; filter with `words__begin="egypt ca"`."""


class WordsIndex(models.Index):
    """The index that each database can search."""

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **options: object
    ) -> object:
        if schema_editor.connection.vendor != "postgresql":
            return super().create_sql(model, schema_editor, **options)
        quote = schema_editor.quote_name
        vector = VECTOR.format(column=quote(self.fields[0]))
        return f"CREATE INDEX {quote(self.name)} ON {quote(model._meta.db_table)} USING gin ({vector})"


@WordsField.register_lookup
class WordsBegin(models.Lookup):
    """Every word looked for begins a word of the column; a search without any word finds nothing."""

    lookup_name = "begin"
    prepare_rhs = False

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list]:
        condition, parameters = self.as_sql(compiler, connection)
        table = connection.ops.quote_name(self.lhs.target.model._meta.db_table)
        alias = connection.ops.quote_name(self.lhs.alias)
        # The sign keeps SQLite from fetching, and then sorting, every row that was found: it walks the list's own
        # index instead until the page is full.
        return f"+{alias}.rowid IN (SELECT rowid FROM {table} {alias} WHERE {condition})", parameters

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list]:
        column, parameters = self.process_lhs(compiler, connection)
        patterns = [f"% {word}%" for word in words_of(self.rhs).split()]
        return " AND ".join([f"{column} LIKE %s"] * len(patterns)) or "1 = 0", list(parameters) * len(
            patterns
        ) + patterns

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list]:
        column, parameters = self.process_lhs(compiler, connection)
        query = " & ".join(f"{word}:*" for word in words_of(self.rhs).split())
        return f"{VECTOR.format(column=column)} @@ to_tsquery('simple', %s)", [*parameters, query]
