"""Similar uploads and uploads by words: whose, in which order, and which are duplicates."""

from types import SimpleNamespace

from django.db import connection
from django.test import TestCase
from PIL import Image

from classifier.errors import LabelError, TextUnsupported
from classifier.models import ApiKey, Embedding, Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.services import search, texts, uploads
from classifier.services.embeddings import embedding_load, embedding_save
from classifier.tests.colour_engine import MODEL, ColourEngine, place, serve
from classifier.tests.test_models import make_upload


def coloured(colour: str, owner: str = "me", **fields) -> Upload:
    """An upload of one colour that the colour engine has seen."""
    jpeg = picture_to_jpeg(Image.new("RGB", (8, 8), colour))
    upload = make_upload(owner, name=f"{colour}.jpg", image=jpeg, **fields)
    with serve(ColourEngine()):
        uploads.upload_classify(upload=upload)
    return upload


class SearchTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.red, cls.crimson, cls.blue = coloured("red"), coloured("crimson"), coloured("blue")
        cls.copy = coloured("red", sha256="1" * 64)
        cls.copied = coloured("red", sha256="1" * 64)
        cls.theirs = coloured("red", owner="you")
        cls.no_embedding = make_upload("me")

    def test_a_visitors_own_are_found_the_likest_first(self):
        hits = search.uploads_similar(upload=self.crimson, owner="me")
        self.assertEqual({hit.upload for hit in hits[:3]}, {self.red, self.copy, self.copied})
        self.assertEqual(hits[3].upload, self.blue)
        self.assertEqual(len(hits), 4)
        self.assertGreater(hits[2].similarity, 0.9)
        self.assertLess(hits[3].similarity, 0.5)

    def test_staff_find_everybodys(self):
        hits = search.uploads_similar(upload=self.crimson, owner=None)
        self.assertIn(self.theirs, [hit.upload for hit in hits])

    def test_the_same_file_is_marked(self):
        hits = search.uploads_similar(upload=self.copy, owner="me")
        self.assertEqual({hit.upload for hit in hits if hit.duplicate}, {self.copied})
        self.assertAlmostEqual(hits[0].similarity, 1, places=5)

    def test_nobody_and_an_upload_that_no_model_saw_find_nothing(self):
        self.assertEqual(search.uploads_similar(upload=self.red, owner=""), [])
        self.assertEqual(search.uploads_similar(upload=self.no_embedding, owner="me"), [])

    def test_words_find_what_they_describe(self):
        with serve(ColourEngine()):
            hits = search.uploads_by_words(words="  something   blue", owner="me", count=2)
            everybodys = search.uploads_by_words(words="red", owner=None, count=9)
            self.assertEqual(search.uploads_by_words(words="red", owner=""), [])
        self.assertEqual(hits[0].upload, self.blue)
        self.assertEqual(len(hits), 2)
        self.assertIn(self.theirs, [hit.upload for hit in everybodys])

    def test_a_search_costs_few_queries(self):
        with serve(ColourEngine()), self.assertNumQueries(5 if connection.vendor == "postgresql" else 2):
            search.uploads_by_words(words="red", owner="me")

    def test_no_words_and_too_many_are_told(self):
        with serve(ColourEngine()):
            with self.assertRaisesMessage(LabelError, "Type what to look for"):
                search.uploads_by_words(words=" ", owner="me")
            with self.assertRaisesMessage(LabelError, "The search has 201 characters; 200 are the most."):
                search.uploads_by_words(words="x" * 201, owner="me")

    def test_the_stand_in_says_that_words_need_clip(self):
        standin = SimpleNamespace(info=SimpleNamespace(standin=True))
        with serve(standin), self.assertRaisesMessage(TextUnsupported, "searching by words need CLIP"):
            search.uploads_by_words(words="red", owner="me")

    def test_another_models_embeddings_are_not_compared(self):
        with serve(ColourEngine(weights_sha256="d" * 64)):
            self.assertEqual(search.uploads_by_words(words="red", owner="me"), [])


class EmbeddingTests(TestCase):
    def test_a_run_keeps_its_embedding(self):
        upload = coloured("red")
        row = upload.embeddings.get()
        self.assertEqual((row.owner, row.weights_sha256, row.dim), ("me", MODEL.weights_sha256, 4))
        found = embedding_load(upload=upload, weights_sha256=MODEL.weights_sha256)
        self.assertGreater(found @ place((254, 0, 0)), 0.9999)

    def test_classifying_again_keeps_one_per_model(self):
        upload = coloured("red")
        for engine in (ColourEngine(), ColourEngine(weights_sha256="d" * 64)):
            with serve(engine):
                uploads.upload_classify(upload=upload)
        self.assertEqual(upload.embeddings.count(), 2)

    def test_a_newer_embedding_of_the_same_weights_replaces_the_older(self):
        upload = coloured("red")
        embedding_save(upload=upload, weights_sha256=MODEL.weights_sha256, embedding=place((0, 0, 255)))
        found = embedding_load(upload=upload, weights_sha256=MODEL.weights_sha256)
        self.assertGreater(found @ place((0, 0, 255)), 0.9999)

    def test_what_a_program_sent_belongs_to_its_key(self):
        api_key = ApiKey.objects.create(name="robot")
        upload = coloured("red", owner="", api_key=api_key)
        self.assertEqual(upload.embeddings.get().owner, f"api-key:{api_key.pk}")

    def test_it_goes_with_its_upload(self):
        uploads.upload_delete(upload=coloured("red"))
        self.assertFalse(Embedding.objects.exists())

    def tearDown(self):
        texts.cache.clear()
