"""Batches by the API: taken at once, told how far they are, and read page by page."""

import io
import os
import zipfile
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings

from classifier.http.packed import PackedUploads
from classifier.models import Batch, Upload
from classifier.tests.api.calls import bearer, issue
from classifier.tests.api.test_problems import ApiTestCase
from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.photos import plain
from classifier.tests.services.test_batches import NAMES, archive, work

BATCHES = "/api/v1/batches"
LABELS = {"candidate_labels": ",".join(NAMES)}


def file(name, data=None):
    return SimpleUploadedFile(f"{name}.png", plain("PNG", name) if data is None else data)


class BatchApiTests(ApiTestCase):
    def setUp(self):
        self.enterContext(serve(ColourEngine()))
        self.key, self.token = issue()
        self.client = Client(headers=bearer(self.token))

    def send(self, *names, status=202, **fields):
        response = self.client.post(BATCHES, {"images": [file(name) for name in names], **LABELS, **fields})
        self.assertEqual(response.status_code, status, response.content)
        return response

    def test_it_answers_202_with_an_address_that_tells_progress_and_results(self):
        response = self.send("red", "blue")
        self.assertEqual(response.json()["status"], "waiting")
        address = response["Location"]
        work()
        progress = self.client.get(address).json()
        self.assertEqual(
            [progress[name] for name in ("status", "total", "waiting", "done", "failed")], ["done", 2, 0, 2, 0]
        )
        lines = self.client.get(progress["results"]).json()["items"]
        self.assertEqual([line["upload"]["predictions"][0]["label"] for line in lines], ["red", "blue"])
        upload = Upload.objects.get(pk=lines[0]["upload"]["id"])
        self.assertEqual(upload.api_key, self.key)

    def test_a_zip_archive(self):
        packed = archive(("in/red.png", plain("PNG", "red")), ("notes.txt", b"x"), ("blue.png", plain("PNG", "blue")))
        response = self.client.post(BATCHES, {"archive": SimpleUploadedFile("a.zip", packed.read()), **LABELS})
        work()
        lines = self.client.get(response.json()["results"]).json()["items"]
        self.assertEqual([line["name"] for line in lines], ["red.png", "notes.txt", "blue.png"])
        self.assertEqual([line["status"] for line in lines], ["done", "failed", "done"])

    @override_settings(MAX_UPLOAD_MB=1, MAX_BATCH_MB=3)
    def test_an_archive_that_says_it_unpacks_to_too_much_is_not_unpacked(self):
        """3 kB that are 4 MB, each of them small enough; what is too large by itself fails alone."""
        bomb = archive(*((f"{number}.png", bytes(800_000)) for number in range(5)), ("large.png", bytes(9_000_000)))
        with mock.patch("classifier.services.archives._read") as unpacked:
            answer = self.client.post(BATCHES, {"archive": SimpleUploadedFile("a.zip", bomb.read()), **LABELS})
        self.assertProblem(answer, 413, "batch-too-large", "The pictures of a batch have 3 MB at most")
        unpacked.assert_not_called()
        small = archive(("red.png", plain("PNG", "red")), ("large.png", bytes(9_000_000)))
        answer = self.client.post(BATCHES, {"archive": SimpleUploadedFile("a.zip", small.read()), **LABELS})
        self.assertEqual((answer.status_code, answer.json()["total"], answer.json()["failed"]), (202, 2, 1))

    def test_a_thousand_pictures_and_none_more(self):
        red = plain("PNG", "red")
        answer = self.client.post(BATCHES, {"images": [file(f"{n}", red) for n in range(1000)], **LABELS})
        self.assertEqual((answer.status_code, answer.json()["total"]), (202, 1000))
        answer = self.client.post(BATCHES, {"images": [file(f"{n}", red) for n in range(1001)], **LABELS})
        self.assertProblem(answer, 413, "batch-too-large", "1,001 pictures")

    def test_results_come_in_pages(self):
        address = self.send("red", "blue", "green").json()["results"]
        page = self.client.get(f"{address}?limit=2").json()
        rest = self.client.get(page["next"]).json()
        self.assertEqual([line["place"] for line in page["items"] + rest["items"]], [1, 2, 3])
        self.assertIsNone(rest["next"])

    def test_what_cannot_be_taken_is_refused_whole(self):
        zipped = SimpleUploadedFile("a.zip", b"no zip")
        self.assertProblem(self.client.post(BATCHES, {"archive": zipped}), 422, "bad-archive")
        self.assertProblem(self.client.post(BATCHES, LABELS), 422, "no-image")
        self.assertProblem(self.client.post(BATCHES, {"x": "y"}), 422, "invalid", "x")
        self.assertProblem(
            self.client.post(BATCHES, {}, content_type="application/json"), 415, "unsupported-media-type"
        )
        both = {"archive": SimpleUploadedFile("a.zip", archive(("a.png", b"1")).read()), "images": [file("red")]}
        self.assertProblem(self.client.post(BATCHES, both), 422, "bad-archive", "not both")
        self.assertProblem(self.send("red", candidate_labels="one", status=422), 422, "bad-labels")
        self.assertEqual(Batch.objects.count(), 0)

    @override_settings(MAX_UPLOAD_MB=0.001)
    def test_one_that_is_too_large_fails_alone(self):
        response = self.client.post(BATCHES, {"images": [file("red"), file("big", bytes(2000))], **LABELS})
        work()
        lines = self.client.get(response.json()["results"]).json()["items"]
        self.assertEqual([line["status"] for line in lines], ["done", "failed"])
        self.assertIn("the limit is", lines[1]["reason"])

    @override_settings(MAX_BATCH_BYTES=500)
    def test_a_body_that_is_too_large_is_not_read(self):
        self.assertProblem(self.send("red", "blue", "green", "black", status=413), 413, "batch-too-large")

    @override_settings(RATE_LIMIT_KEY_PER_MINUTE=1000)
    def test_a_field_that_is_not_known_is_named(self):
        answer = self.send("red", candidateLabels="a, b", status=422)
        self.assertIn("candidateLabels", answer.json()["detail"])
        self.assertFalse(Batch.objects.exists())

    def test_ten_batches_in_ten_minutes(self):
        for _ in range(10):
            self.send("red")
        self.assertProblem(self.send("red", status=429), 429, "rate-limited", "10 in 10 minutes")

    def test_only_its_sender_gives_it_up(self):
        batch = Batch.objects.get(pk=self.send("red").json()["id"])
        _, other = issue("other")
        for client in (Client(), Client(headers=bearer(other))):
            self.assertProblem(client.delete(f"{BATCHES}/{batch.pk}"), 403, "forbidden")
        self.assertEqual(self.client.delete(f"{BATCHES}/{batch.pk}").status_code, 204)
        self.assertEqual(Batch.objects.count(), 0)

    def test_an_unknown_batch(self):
        self.assertProblem(self.client.get(f"{BATCHES}/{self.key.pk:032x}"), 404, "not-found")

    def test_a_key_that_is_deleted_meanwhile(self):
        address = self.send("red").json()["results"]
        self.key.delete()
        work()
        (line,) = Client().get(address).json()["items"]
        self.assertIn("withdrawn", line["reason"])
        self.assertEqual(Upload.objects.count(), 0)


class PackedTests(ApiTestCase):
    def test_a_thousand_files_take_one(self):
        before, handler = len(os.listdir("/proc/self/fd")), PackedUploads()
        parts = []
        for number in range(1000):
            handler.new_file("images", f"{number}.png", "image/png", None)
            handler.receive_data_chunk(f"picture {number}".encode(), 0)
            parts.append(handler.file_complete(len(f"picture {number}")))
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 1)
        self.assertEqual([part.read() for part in parts], [f"picture {number}".encode() for number in range(1000)])
        parts[3].seek(8)
        self.assertEqual(parts[3].read(), b"3")

    def test_a_zip_reads_from_a_part(self):
        handler = PackedUploads()
        for data in (b"before", archive(("a.png", b"inside")).read(), b"after"):
            handler.new_file("archive", "a.zip", "application/zip", None)
            handler.receive_data_chunk(data, 0)
            part = handler.file_complete(len(data))
            if data[:2] == b"PK":
                packed = part
        self.assertEqual(zipfile.ZipFile(packed).read("a.png"), b"inside")
        self.assertIsInstance(packed.file, io.BufferedReader)
