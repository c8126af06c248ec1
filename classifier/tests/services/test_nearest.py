"""The nearest embeddings are those that plain NumPy finds, whichever way the database holds them."""

from unittest import mock, skipUnless

import numpy as np
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from classifier import vectors
from classifier.models import Embedding, Upload
from classifier.services import nearest

DIM, ROWS = 64, 1200
WEIGHTS = "a" * 64
on_pgvector = skipUnless(connection.vendor == "postgresql", "needs PostgreSQL")


def store(rows: np.ndarray, owner: str, weights_sha256: str = WEIGHTS) -> list[Upload]:
    """Uploads with these embeddings."""
    uploads = Upload.objects.bulk_create(
        Upload(owner=owner, format="JPEG", width=1, height=1, sha256="0" * 64, image=b"jpeg") for _ in rows
    )
    Embedding.objects.bulk_create(
        Embedding(
            upload=upload, owner=owner, weights_sha256=weights_sha256, dim=len(row), vector=row.astype("<f2").tobytes()
        )
        for upload, row in zip(uploads, rows, strict=True)
    )
    return uploads


class NearestTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        random = np.random.default_rng(0)
        centres = random.standard_normal((40, DIM))
        rows = centres[random.integers(0, 40, ROWS)] + 0.5 * random.standard_normal((ROWS, DIM))
        cls.uploads = [*store(rows[:200], "few"), *store(rows[200:], "many")]
        store(rows[:50], "few", weights_sha256="b" * 64)  # another model's lie elsewhere and never count
        cls.rows = rows.astype("<f2").astype(np.float32)
        cls.queries = [*cls.rows[:3], *random.standard_normal((3, DIM)).astype(np.float32)]

    def make_index(self):
        connection.check_constraints()  # of the rows this transaction has made: an index cannot be made before
        self.assertTrue(vectors.index_ensure(connection, WEIGHTS, DIM))

    def reference(self, query, owner=None, count=10, skip=None):
        query = query.astype("<f2").astype(np.float32)
        cosines = self.rows @ query / np.linalg.norm(self.rows, axis=1) / np.linalg.norm(query)
        allowed = [
            (-cosine, upload.pk)
            for upload, cosine in zip(self.uploads, cosines, strict=True)
            if owner in (None, upload.owner) and upload.pk != skip
        ]
        return [(key, -cosine) for cosine, key in sorted(allowed)[:count]]

    def assertFound(self, found, expected):
        self.assertEqual([key for key, _ in found], [key for key, _ in expected])
        np.testing.assert_allclose([cosine for _, cosine in found], [cosine for _, cosine in expected], atol=1e-5)

    def test_it_finds_what_numpy_finds_for_everybody_and_for_each_owner(self):
        for query in self.queries:
            for owner in (None, "few", "many"):
                with self.subTest(owner=owner):
                    found = nearest.nearest(query, weights_sha256=WEIGHTS, owner=owner, count=10)
                    self.assertFound(found, self.reference(query, owner))

    def test_without_pgvector_it_finds_the_same(self):
        with mock.patch("classifier.services.nearest._means", return_value=(False, False)):
            self.test_it_finds_what_numpy_finds_for_everybody_and_for_each_owner()

    def test_a_search_in_several_chunks_finds_the_same(self):
        with (
            mock.patch("classifier.services.nearest._means", return_value=(False, False)),
            mock.patch("classifier.services.nearest.CHUNK_ROWS", 97),
        ):
            found = nearest.nearest(self.queries[4], weights_sha256=WEIGHTS, owner=None, count=30)
        self.assertFound(found, self.reference(self.queries[4], count=30))

    def test_without_pgvector_the_newest_are_searched_and_no_more_than_a_bound(self):
        with (
            mock.patch("classifier.services.nearest._means", return_value=(False, False)),
            mock.patch("classifier.services.nearest.MAX_ROWS", 5),
        ):
            found = nearest.nearest(self.queries[4], weights_sha256=WEIGHTS, owner=None, count=30)
        self.assertEqual({key for key, _ in found}, {upload.pk for upload in self.uploads[-5:]})

    def test_one_upload_can_be_left_out(self):
        first = self.uploads[0]
        self.assertEqual(nearest.nearest(self.rows[0], weights_sha256=WEIGHTS, owner=None, count=1)[0][0], first.pk)
        found = nearest.nearest(self.rows[0], weights_sha256=WEIGHTS, owner=None, count=10, skip=first.pk)
        self.assertFound(found, self.reference(self.rows[0], skip=first.pk))

    def test_an_owner_of_nothing_and_a_model_without_embeddings_find_nothing(self):
        self.assertEqual(nearest.nearest(self.rows[0], weights_sha256=WEIGHTS, owner="nobody", count=9), [])
        self.assertEqual(nearest.nearest(self.rows[0], weights_sha256="c" * 64, owner=None, count=9), [])

    @on_pgvector
    def test_through_the_index_nearly_all_are_found_in_order(self):
        self.make_index()
        with mock.patch("classifier.services.nearest.EXACT_ROWS", 500):  # "few" is searched exactly, the others are not
            for owner in (None, "few", "many"):
                hits = 0
                for query in self.queries:
                    with self.assertNumQueries(5 if owner != "few" else 4):
                        found = nearest.nearest(query, weights_sha256=WEIGHTS, owner=owner, count=10)
                    expected = dict(self.reference(query, owner))
                    self.assertEqual([cosine for _, cosine in found], sorted((c for _, c in found), reverse=True))
                    hits += sum(key in expected for key, _ in found)
                self.assertGreaterEqual(hits / (10 * len(self.queries)), 0.95, owner)

    @on_pgvector
    def test_the_index_is_what_answers(self):
        self.make_index()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows would be read one by one
            with CaptureQueriesContext(connection) as queries:
                nearest.nearest(self.rows[0], weights_sha256=WEIGHTS, owner=None, count=10)
            cursor.execute("EXPLAIN " + next(query["sql"] for query in queries if "ORDER BY" in query["sql"]))
            self.assertIn(vectors.index_name(WEIGHTS), str(cursor.fetchall()))

    @on_pgvector
    def test_where_the_index_gives_up_among_other_owners_the_search_is_exact(self):
        """The nearest 1000 belong to others, and the index stops after so many."""
        self.make_index()
        with connection.cursor() as cursor, mock.patch("classifier.services.nearest.EXACT_ROWS", 50):
            cursor.execute("SET LOCAL hnsw.max_scan_tuples = 1")
            query = self.rows[700]
            found = nearest.nearest(query, weights_sha256=WEIGHTS, owner="few", count=60, candidates=10)
        self.assertFound(found, self.reference(query, "few", count=60))
