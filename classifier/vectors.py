"""How embeddings lie in the database, and the index that finds the nearest of them.

Where PostgreSQL has pgvector 0.8 or newer the column is a `halfvec` (two bytes per number) and each model has an HNSW
index; elsewhere the same two-byte numbers lie in a plain byte column. In Python a vector is always bytes: float16,
little-endian. No numpy here: the models import this file.
"""

from __future__ import annotations

import logging
import struct
from typing import Any

from django.db import DatabaseError, models, transaction

logger = logging.getLogger(__name__)

TABLE = "classifier_embedding"
BYTES_PER_NUMBER = 2
OLDEST_PGVECTOR = (
    0,
    8,
)  # iterative index scans, which filters need: https://github.com/pgvector/pgvector#iterative-index-scans
HNSW_DIMENSIONS = 4_000  # what an index over halfvec can take
ROWS_AT_A_TIME = 500

COLUMN_IS_NATIVE = (
    "SELECT atttypid::regtype::text LIKE '%%halfvec' FROM pg_attribute "
    f"WHERE attrelid = to_regclass('{TABLE}') AND attname = 'vector' AND NOT attisdropped"
)
INDEX_IS_THERE = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"

# SHA-256 of OpenAI's checkpoints and the dimension of their embeddings: each has its index from the start.
OPENAI_DIMENSIONS = {
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af": 512,  # ViT-B/32
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f": 512,  # ViT-B/16
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836": 768,  # ViT-L/14
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02": 768,  # ViT-L/14@336px
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762": 1024,  # RN50
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599": 512,  # RN101
    "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd": 640,  # RN50x4
    "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa": 768,  # RN50x16
    "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c": 1024,  # RN50x64
}


class VectorField(models.Field):
    """A float16 vector: bytes in Python, `halfvec` or bytes in the database."""

    def db_type(self, connection: Any) -> str:
        if connection.vendor != "postgresql":
            return "BLOB"
        return "halfvec" if extension_usable(connection) else "bytea"

    def get_db_prep_value(self, value: bytes | None, connection: Any, prepared: bool = False) -> Any:
        if value is None:
            return None
        return vector_to_text(value) if column_native(connection) else connection.Database.Binary(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> bytes | None:
        if value is None:
            return None
        return vector_from_text(value) if isinstance(value, str) else bytes(value)


def vector_to_text(vector: bytes) -> str:
    """float16 bytes -> pgvector's "[1,2,3]"."""
    return f"[{','.join(map(repr, struct.unpack(f'<{len(vector) // BYTES_PER_NUMBER}e', vector)))}]"


def vector_from_text(text: str) -> bytes:
    """pgvector's "[1,2,3]" -> float16 bytes."""
    numbers = [float(number) for number in text[1:-1].split(",")]
    return struct.pack(f"<{len(numbers)}e", *numbers)


def extension_usable(connection: Any) -> bool:
    """Whether pgvector is installed in this database and new enough."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        row = cursor.fetchone()
    return row is not None and tuple(int(part) for part in row[0].split(".")[:2]) >= OLDEST_PGVECTOR


def table_exists(connection: Any) -> bool:
    """Whether the migration that makes it has run."""
    with connection.cursor() as cursor:
        return TABLE in connection.introspection.table_names(cursor)


def column_native(connection: Any) -> bool:
    """Whether the column is a `halfvec`. Asked anew each time (0.2 ms): `embed_uploads` may have changed it."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(COLUMN_IS_NATIVE, [])
        row = cursor.fetchone()
    return row is not None and row[0]


def index_exists(connection: Any, weights_sha256: str) -> bool:
    """Whether the model's index is there and complete."""
    with connection.cursor() as cursor:
        cursor.execute(INDEX_IS_THERE, [index_name(weights_sha256)])
        row = cursor.fetchone()
    return row is not None and row[0]


def extension_ensure(connection: Any) -> bool:
    """Install pgvector where that is possible; whether it can be used now."""
    if connection.vendor != "postgresql":
        return False
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
            if cursor.fetchone():
                cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except DatabaseError as error:  # this role may not, for instance; the search is exact then
        logger.warning("event=pgvector_refused reason=%r", str(error).strip())
    return extension_usable(connection)


def index_ensure(connection: Any, weights_sha256: str, dim: int, *, concurrently: bool = False) -> bool:
    """Make a model's index unless it is there; whether it is there now.

    `concurrently` lets uploads go on meanwhile and cannot run inside a transaction.
    """
    if not column_native(connection) or dim > HNSW_DIMENSIONS:
        return False
    if index_exists(connection, weights_sha256):
        return True
    name, how = index_name(weights_sha256), "CONCURRENTLY" if concurrently else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {how} IF EXISTS {name}")  # what an interrupted build left
        cursor.execute(
            f"CREATE INDEX {how} {name} ON {TABLE} USING hnsw ((vector::halfvec({int(dim)})) halfvec_cosine_ops) "
            f"WHERE weights_sha256 = %s",
            [weights_sha256],
        )
    return True


def index_name(weights_sha256: str) -> str:
    if not weights_sha256.isalnum():  # it becomes part of a statement
        raise ValueError(f"not a SHA-256: {weights_sha256!r}")
    return f"embedding_hnsw_{weights_sha256[:16]}"


def column_ensure_native(connection: Any) -> bool:
    """Turn a byte column into a `halfvec` once pgvector has come; whether it is one now."""
    if connection.vendor != "postgresql" or column_native(connection) or not extension_ensure(connection):
        return column_native(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLE} ADD COLUMN native halfvec")  # locks the table until all is copied
        last = 0
        while True:
            cursor.execute(f"SELECT id, vector FROM {TABLE} WHERE id > %s ORDER BY id LIMIT {ROWS_AT_A_TIME}", [last])
            rows = [(key, vector_to_text(bytes(vector))) for key, vector in cursor.fetchall()]
            if not rows:
                break
            for key, text in rows:
                cursor.execute(f"UPDATE {TABLE} SET native = %s WHERE id = %s", [text, key])
            last = rows[-1][0]
        cursor.execute(f"ALTER TABLE {TABLE} DROP COLUMN vector")
        cursor.execute(f"ALTER TABLE {TABLE} RENAME COLUMN native TO vector")
        cursor.execute(f"ALTER TABLE {TABLE} ALTER COLUMN vector SET NOT NULL")
    return True
