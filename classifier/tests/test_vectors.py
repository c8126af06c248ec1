"""The column and the index, with pgvector and without."""

import importlib
from unittest import mock, skipUnless

import numpy as np
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from classifier import vectors
from classifier.models import Embedding
from classifier.services import nearest
from classifier.tests.services.test_nearest import store

WEIGHTS = "a" * 64
on_postgresql = skipUnless(connection.vendor == "postgresql", "needs PostgreSQL")


class TextTests(SimpleTestCase):
    def test_every_float16_comes_back(self):
        numbers = np.array([0, 1, -1, 65504, 6e-8, -6.1e-5, 0.1, 1 / 3], "<f2")
        self.assertEqual(vectors.vector_from_text(vectors.vector_to_text(numbers.tobytes())), numbers.tobytes())


class ColumnTests(TestCase):
    def test_a_vector_comes_back_as_it_was_stored(self):
        row = np.random.default_rng(0).standard_normal(512).astype("<f2")
        store(row[None], "me")
        self.assertEqual(Embedding.objects.get().vector, row.tobytes())

    @on_postgresql
    def test_a_model_of_openais_is_indexed_from_the_start(self):
        self.assertTrue(vectors.column_native(connection))
        for weights_sha256 in vectors.OPENAI_DIMENSIONS:
            self.assertTrue(vectors.index_exists(connection, weights_sha256))

    @on_postgresql
    def test_another_model_gets_its_index_once_asked_for(self):
        self.assertFalse(vectors.index_exists(connection, WEIGHTS))
        self.assertTrue(vectors.index_ensure(connection, WEIGHTS, 64))
        self.assertTrue(vectors.index_exists(connection, WEIGHTS))
        self.assertTrue(vectors.index_ensure(connection, WEIGHTS, 64))

    @on_postgresql
    def test_a_role_that_may_not_make_extensions_is_no_error(self):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION vector CASCADE")
            cursor.execute("CREATE ROLE without_rights; SET LOCAL ROLE without_rights")
            with self.assertLogs("classifier.vectors", "WARNING"):
                self.assertFalse(vectors.extension_ensure(connection))
            transaction.set_rollback(True)

    @on_postgresql
    def test_an_old_pgvector_counts_as_none(self):
        with mock.patch("classifier.vectors.OLDEST_PGVECTOR", (99, 0)):
            self.assertFalse(vectors.extension_usable(connection))


@on_postgresql
class WithoutExtensionTests(TransactionTestCase):
    """A server without pgvector at first, which gets it later."""

    def remake(self):
        """Make the table anew, by the steps of its migration."""
        steps = importlib.import_module("classifier.migrations.0004_search")
        with connection.schema_editor() as editor:
            editor.delete_model(Embedding)
            editor.execute("DROP EXTENSION IF EXISTS vector")
        with connection.schema_editor() as editor:
            steps.use_pgvector(None, editor)
            editor.create_model(Embedding)
            steps.index_openai_models(None, editor)

    def test_the_search_is_exact_until_the_extension_comes(self):
        self.addCleanup(self.remake)
        with mock.patch("classifier.vectors.extension_ensure", return_value=False):
            self.remake()
        self.assertFalse(vectors.column_native(connection))
        self.assertFalse(vectors.index_ensure(connection, WEIGHTS, 16))

        rows = np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32)
        store(rows, "me", WEIGHTS)
        before = nearest.nearest(rows[5], weights_sha256=WEIGHTS, owner="me", count=10)

        self.assertTrue(vectors.column_ensure_native(connection))
        self.assertTrue(vectors.column_native(connection))
        self.assertTrue(vectors.index_ensure(connection, WEIGHTS, 16, concurrently=True))
        after = nearest.nearest(rows[5], weights_sha256=WEIGHTS, owner="me", count=10)
        self.assertEqual([key for key, _ in before], [key for key, _ in after])
        self.assertEqual(Embedding.objects.count(), 600)
        self.assertEqual(
            Embedding.objects.order_by("id").first().vector, rows[0].astype("<f2").tobytes(), "none was lost or moved"
        )
