"""Searching by words finds the same on both databases."""

from django.db import connection
from django.test import SimpleTestCase, TestCase

from classifier.models import Upload
from classifier.tests.test_models import make_upload
from classifier.words import words_of


class WordsOfTests(SimpleTestCase):
    def test_it_splits_file_names_and_labels(self):
        self.assertEqual(words_of("IMG_2031-b.JPG", "Egyptian cat"), " img 2031 b jpg egyptian cat")

    def test_it_keeps_words_of_every_script(self):
        self.assertEqual(words_of("Straße_猫.png"), " strasse 猫 png")


class WordsBeginTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        for name, label in [("IMG_2031.jpg", "Egyptian cat"), ("holiday 猫.png", "espresso"), ("100%_off'.gif", "")]:
            make_upload(name=name, words=words_of(name, label))

    def found(self, text):
        return sorted(Upload.objects.filter(words__begin=text).values_list("name", flat=True))

    def test_it_finds_beginnings_of_words(self):
        self.assertEqual(self.found("Egypt"), ["IMG_2031.jpg"])
        self.assertEqual(self.found("img2031"), ["IMG_2031.jpg"])
        self.assertEqual(self.found("猫"), ["holiday 猫.png"])
        self.assertEqual(self.found("gyptian"), [])

    def test_every_word_must_be_found(self):
        self.assertEqual(self.found("cat egypt"), ["IMG_2031.jpg"])
        self.assertEqual(self.found("cat espresso"), [])

    def test_signs_are_never_operators(self):
        self.assertEqual(self.found("100%"), ["100%_off'.gif"])
        for text in ["%", "_", "' | !a & ( :*", "", "a:* | b"]:
            with self.subTest(text):
                self.assertEqual(self.found(text), [])

    def test_the_database_answers_from_the_index(self):
        if connection.vendor == "postgresql":  # which would rather read so few rows one by one
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")
        self.assertIn("upload_words_begin", Upload.objects.filter(words__begin="cat").order_by().explain())
