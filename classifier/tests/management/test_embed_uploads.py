"""The backfill of embeddings, and the check that says where search has no index."""

import io
from types import SimpleNamespace
from unittest import mock, skipUnless

from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from PIL import Image

from classifier import vectors
from classifier.models import Embedding, Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.tests.colour_engine import MODEL, ColourEngine, serve
from classifier.tests.test_models import make_upload

JPEG = picture_to_jpeg(Image.new("RGB", (8, 8), "red"))


def embed(engine, **options) -> str:
    out = io.StringIO()
    with serve(engine):
        call_command("embed_uploads", stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


class EmbedUploadsTests(TransactionTestCase):
    def setUp(self):
        self.uploads = [make_upload(owner, image=JPEG) for owner in "aabbc"]

    def tearDown(self):
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX IF EXISTS {vectors.index_name(MODEL.weights_sha256)}")

    def test_it_embeds_what_the_model_has_not_seen_and_nothing_twice(self):
        engine = ColourEngine()
        self.assertIn("5 uploads embedded with colours; 0 could not be read.", embed(engine, batch=2))
        self.assertEqual(set(Embedding.objects.values_list("owner", flat=True)), {"a", "b", "c"})
        make_upload("d", image=JPEG)
        self.assertIn("1 uploads embedded", embed(engine))
        self.assertEqual(engine.pictures_seen, 6)

    def test_an_interrupted_run_goes_on_where_it_stopped(self):
        engine = ColourEngine()
        one_batch = [engine.embed_images([Image.new("RGB", (8, 8))] * 2)]
        stopping = mock.patch.object(engine, "embed_images", side_effect=one_batch)
        with stopping, self.assertRaises(StopIteration):
            embed(engine, batch=2)
        self.assertEqual(Embedding.objects.count(), 2)
        self.assertIn("3 uploads embedded", embed(engine, batch=2))

    def test_a_picture_that_cannot_be_read_stops_nothing(self):
        Upload.objects.filter(pk=self.uploads[0].pk).update(image=b"not a picture")
        with self.assertLogs("classifier.services.embeddings", "WARNING"):
            self.assertIn("4 uploads embedded with colours; 1 could not be read.", embed(ColourEngine()))

    def test_an_upload_that_is_deleted_meanwhile_stops_nothing(self):
        engine = ColourEngine()
        whole = engine.embed_images

        def delete_one(pictures):
            self.uploads[0].delete()
            return whole(pictures)

        with mock.patch.object(engine, "embed_images", delete_one):
            embed(engine)
        self.assertEqual(Embedding.objects.count(), 4)

    @skipUnless(connection.vendor == "postgresql", "needs PostgreSQL")
    def test_it_makes_the_models_index(self):
        self.assertIn("The search index is in place.", embed(ColourEngine()))
        self.assertTrue(vectors.index_exists(connection, MODEL.weights_sha256))

    def test_the_stand_in_cannot_embed(self):
        standin = SimpleNamespace(info=SimpleNamespace(standin=True))
        with self.assertRaisesMessage(CommandError, "need CLIP"):
            embed(standin)


class CheckTests(TestCase):
    def found(self):
        return [message for message in run_checks(databases=["default"]) if message.id == "classifier.W101"]

    def test_it_is_silent_where_the_index_can_be_used(self):
        self.assertEqual(self.found(), [])

    @skipUnless(connection.vendor == "postgresql", "needs PostgreSQL")
    def test_it_warns_where_there_is_no_pgvector(self):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION vector CASCADE; ALTER TABLE classifier_embedding ADD COLUMN vector bytea")
            (warning,) = self.found()
            transaction.set_rollback(True)
        self.assertIn("no pgvector 0.8 or newer", warning.msg)
        self.assertIn("CREATE EXTENSION vector", warning.hint)
