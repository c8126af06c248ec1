"""Pictures sent to the REST API, and read back: real photos, real database, the stand-in for a model."""

import io
import uuid
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from PIL import Image

from classifier.models import Classification, Upload
from classifier.services import engines, uploads
from classifier.services.keys import SECRET_PREFIX
from classifier.tests.api.calls import UPLOADS, ZERO_SHOT, ApiTestCase, photo, small_jpeg
from classifier.tests.photos import PHOTOS


@override_settings(CLIP_MODEL="standin")
class CreateTests(ApiTestCase):
    def test_a_photo_is_classified_and_kept(self):
        response = self.client.post(UPLOADS, {"image": photo()})
        self.assertEqual(response.status_code, 201)
        record = response.json()
        upload = Upload.objects.get(pk=record["id"])
        page = f"http://testserver/uploads/{upload.id}/"
        self.assertEqual(response["Location"], f"http://testserver{UPLOADS}/{upload.id}")
        self.assertEqual(record["status"], "done")
        self.assertEqual(record["model"], "stand-in: EfficientNet-Lite0, not CLIP")
        self.assertEqual(record["image"], {"width": 600, "height": 400, "url": f"{page}image"})
        self.assertEqual(record["url"], page)
        self.assertEqual([each["rank"] for each in record["predictions"]], [1, 2, 3, 4, 5])
        self.assertEqual((record["predictions"][0]["label"], record["predictions"][0]["index"]), ("espresso", 967))
        self.assertGreater(record["seconds"]["predict"], 0)
        self.assertEqual(upload.name, "coffee.png")

    def test_a_form_field_that_nobody_knows_is_refused_by_name(self):
        for form in ({"image": photo(), "labels": "cat, dog"}, {"image": photo(), "labels": photo()}):
            response = self.client.post(UPLOADS, form)
            self.assertProblem(response, 422, "invalid", "labels: no such form field. Known are candidate_labels, ")
        self.assertFalse(Upload.objects.exists())

    def test_its_record_has_exactly_these_fields(self):
        record = self.create()
        fields = "id created status reason model precision label_set fits square image predictions seconds url secret"
        self.assertEqual(set(record), set(fields.split()))
        self.assertEqual(set(record["predictions"][0]), {"rank", "label", "index", "score", "similarity"})
        self.assertEqual(set(record["seconds"]), {"decode", "predict"})

    def test_only_the_secrets_hash_is_stored(self):
        secret = self.create()["secret"]
        self.assertTrue(secret.startswith(SECRET_PREFIX))
        self.assertNotIn(secret, str(Upload.objects.values().get()))

    def test_an_anonymous_caller_needs_no_cookie_and_gets_none(self):
        client = Client(enforce_csrf_checks=True)
        self.create(client=client)
        self.assertFalse(client.cookies)

    def test_a_failed_classification_is_kept_and_says_why(self):
        loaded = engines.engine_get()
        with (
            mock.patch.object(type(loaded), "classify", side_effect=RuntimeError("out of luck")),
            self.assertLogs("classifier", "ERROR"),
        ):
            record = self.create()
        self.assertEqual((record["status"], record["predictions"]), ("failed", []))
        self.assertIn("out of luck", record["reason"])

    def test_its_number_of_queries_is_constant(self):
        upload = SimpleUploadedFile("a.jpg", small_jpeg())
        engines.engine_get()
        # The limit; BEGIN, the run, the upload that names it, COMMIT; BEGIN, the upload's newest run, that run's end,
        # its predictions, COMMIT; and the predictions for the answer.
        with mock.patch("classifier.http.ratelimits.random.random", return_value=1.0), self.assertNumQueries(11):
            self.client.post(UPLOADS, {"image": upload})


class BadPictureTests(ApiTestCase):
    """The same limits and sentences as the form's."""

    def post(self, data: bytes, name: str = "a.jpg"):
        response = self.client.post(UPLOADS, {"image": SimpleUploadedFile(name, data)})
        self.assertFalse(Upload.objects.exists())
        return response

    def test_a_file_that_is_no_picture(self):
        self.assertProblem(self.post(b"Hello " * 100), 415, "unsupported-image", "not a picture we can read")

    def test_an_empty_file(self):
        self.assertProblem(self.post(b""), 422, "no-image", "The file is empty")

    def test_a_damaged_picture(self):
        self.assertProblem(self.post(photo("chelsea.png").read()[:5000]), 422, "broken-image", "damaged or cut short")

    def test_no_file(self):
        self.assertProblem(self.client.post(UPLOADS, {"image": "text"}), 422, "no-image", "multipart field image")

    def test_two_files(self):
        files = [SimpleUploadedFile("a.jpg", small_jpeg()), SimpleUploadedFile("b.jpg", small_jpeg())]
        self.assertProblem(self.client.post(UPLOADS, {"image": files}), 422, "invalid", "2 pictures were sent")

    @override_settings(MAX_MEGAPIXELS=0.1)
    def test_too_many_pixels(self):
        self.assertProblem(self.post((PHOTOS / "coffee.png").read_bytes()), 422, "too-many-pixels", "600 by 400")

    @override_settings(MAX_UPLOAD_MB=0.1)
    def test_too_many_bytes(self):
        problem = self.assertProblem(self.post((PHOTOS / "coffee.png").read_bytes()), 413, "too-large")
        self.assertEqual(problem["detail"], "This file is 0.5 MB; the limit is 0.1 MB.")

    @override_settings(MAX_UPLOAD_MB=0.1, MAX_FORM_BYTES=1_100_000)
    def test_far_too_many_bytes_are_refused_before_they_are_read(self):
        body = io.BytesIO(b"x" * 2_000_000)
        for address, kind in ((UPLOADS, "multipart/form-data; boundary=b"), (ZERO_SHOT, "image/jpeg")):
            request = {"CONTENT_LENGTH": "2000000", "wsgi.input": body}
            response = self.client.generic("POST", address, content_type=kind, **request)
            self.assertProblem(response, 413, "too-large", "the limit is 0.1 MB")
            self.assertEqual(body.tell(), 0)

    def test_a_body_of_unknown_length(self):
        response = self.client.generic(
            "POST", UPLOADS, content_type="multipart/form-data; boundary=b", headers={"Transfer-Encoding": "chunked"}
        )
        self.assertProblem(response, 411, "length-required")

    def test_bodies_that_are_not_multipart(self):
        for kind, body in (("application/json", b"{}"), ("text/plain", b"x"), ("", b"")):
            with self.subTest(kind):
                response = self.client.generic("POST", UPLOADS, body, content_type=kind)
                self.assertProblem(response, 415, "unsupported-media-type", "multipart/form-data")

    def test_broken_multipart(self):
        cases = [
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=", b"--\r\n"),
            ("multipart/form-data; boundary=é", b"x"),
            ("multipart/form-data; boundary=b", b""),
            ("multipart/form-data; boundary=b", b"garbage"),
            ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"'),
            (
                "multipart/form-data; boundary=b",
                b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'
                b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n--b--\r\n",
            ),
        ]
        for kind, body in cases:
            with self.subTest(kind=kind, body=body):
                response = self.client.generic("POST", UPLOADS, body, content_type=kind)
                self.assertIn(response.status_code, (400, 415, 422))
                self.assertEqual(response["Content-Type"], "application/problem+json")

    def test_fields_beside_the_picture_that_are_too_large(self):
        with self.settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000):
            response = self.client.post(UPLOADS, {"note": "x" * 2000, "image": photo()})
        self.assertProblem(response, 413, "too-large", "fields beside the picture")

    def test_too_many_parts(self):
        with self.settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=3):
            response = self.client.post(UPLOADS, {str(n): "x" for n in range(9)})
        self.assertProblem(response, 400, "bad-request")


class ReadTests(ApiTestCase):
    def test_whoever_knows_the_id_may_read_it(self):
        created = self.create()
        del created["secret"]
        self.assertEqual(Client().get(f"{UPLOADS}/{created['id']}").json(), created)

    def test_it_takes_two_queries_and_leaves_the_picture_alone(self):
        created = self.create()
        with self.assertNumQueries(2) as queries:
            self.client.get(f"{UPLOADS}/{created['id']}")
        self.assertNotIn('"image"', queries[0]["sql"])

    def test_head(self):
        created = self.create()
        response = self.client.head(f"{UPLOADS}/{created['id']}")
        self.assertEqual((response.status_code, response.content), (200, b""))

    def test_an_upload_that_does_not_exist(self):
        for address in (f"{UPLOADS}/{uuid.uuid4()}", f"{UPLOADS}/1", f"{UPLOADS}/{uuid.uuid4()}/"):
            self.assertProblem(self.client.get(address), 404, "not-found")

    def test_its_newest_classification_is_shown(self):
        created = self.create()
        uploads.upload_classify(upload=Upload.objects.get())
        self.assertEqual(Classification.objects.count(), 2)
        self.assertEqual(len(self.client.get(f"{UPLOADS}/{created['id']}").json()["predictions"]), 5)

    def test_answers_are_not_kept_by_anything_in_between(self):
        self.assertEqual(self.client.get(f"{UPLOADS}/{self.create()['id']}")["Cache-Control"], "no-store")


class PictureTests(ApiTestCase):
    def setUp(self):
        self.url = self.create()["image"]["url"]

    def test_it_is_a_jpeg_for_good(self):
        response = self.client.get(self.url)
        self.assertEqual(response["Content-Type"], "image/jpeg")
        self.assertEqual(response["Cache-Control"], "private, max-age=3600")
        self.assertEqual(Image.open(io.BytesIO(response.content)).size, (32, 24))

    def test_head_answers_the_same_headers_without_the_picture(self):
        whole, head = self.client.get(self.url), self.client.head(self.url)
        self.assertEqual((head.status_code, head.content), (200, b""))
        for name in ("ETag", "Cache-Control", "Content-Type", "Content-Length"):
            self.assertEqual(head[name], whole[name])

    def test_it_is_not_sent_again_to_whoever_has_it(self):
        etag = self.client.get(self.url)["ETag"]
        with self.assertNumQueries(1):
            response = self.client.get(self.url, headers={"If-None-Match": etag})
        self.assertEqual((response.status_code, response.content, response["ETag"]), (304, b"", etag))
