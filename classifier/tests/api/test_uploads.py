"""The REST API: real photos, real database, the stand-in for a model."""

import base64
import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from unittest import mock

import skimage
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client, TestCase, TransactionTestCase, override_settings, skipUnlessDBFeature
from django.utils import timezone
from PIL import Image

from classifier.errors import Busy, ModelUnavailable
from classifier.models import ApiKey, Classification, IdempotentRequest, Upload
from classifier.services import engines, uploads
from classifier.services.keys import KEY_PREFIX, SECRET_PREFIX, api_key_issue, upload_secret
from classifier.tests.services.test_uploads import use_engine

PHOTOS = Path(skimage.__file__).parent / "data"
UPLOADS = "/api/v1/uploads"
ZERO_SHOT = "/api/v1/zero-shot-image-classification"


def photo(name: str = "coffee.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, (PHOTOS / name).read_bytes(), content_type="image/png")


def small_jpeg(colour: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(stream, "JPEG")
    return stream.getvalue()


def bearer(token: str) -> dict:
    return {"Authorization": f"Bearer {token}"}


def issue(name: str = "robot", **fields) -> tuple[ApiKey, str]:
    api_key = ApiKey(name=name, **fields)
    return api_key, api_key_issue(api_key=api_key)


class ApiTestCase(TestCase):
    """A fixed answer from the model, except where real labels are the point."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls._overridden_settings:
            cls.enterClassContext(use_engine())

    def create(self, *, client: Client | None = None, file=None, status: int = 201, **headers) -> dict:
        response = (client or self.client).post(
            UPLOADS, {"image": file or SimpleUploadedFile("a.jpg", small_jpeg())}, headers=headers
        )
        self.assertEqual(response.status_code, status, response.content)
        return response.json()

    def assertProblem(self, response, status: int, code: str, detail: str = "") -> dict:
        self.assertEqual(response.status_code, status, response.content)
        self.assertEqual(response["Content-Type"], "application/problem+json")
        problem = response.json()
        self.assertEqual((problem["status"], problem["type"]), (status, f"/api/v1/docs#{code}"))
        self.assertTrue(problem["title"])
        self.assertIn(detail, problem["detail"])
        return problem


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

    def test_its_record_has_exactly_these_fields(self):
        record = self.create()
        fields = "id created status reason model precision label_set image predictions seconds url secret"
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
        # The limit; BEGIN, the upload, the run, the upload's newest run twice, COMMIT; BEGIN, the end of the run, its
        # predictions, the upload's newest run, COMMIT; and the predictions for the answer.
        with mock.patch("classifier.http.ratelimits.random.random", return_value=1.0), self.assertNumQueries(12):
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
        self.assertIn("immutable", response["Cache-Control"])
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


class ApiKeyCallerTests(ApiTestCase):
    def setUp(self):
        self.api_key, self.token = issue()

    def test_a_key_lists_what_it_made_and_nothing_else(self):
        mine = self.create(**bearer(self.token))
        self.create()
        self.create(**bearer(issue("other")[1]))
        listed = self.client.get(UPLOADS, headers=bearer(self.token)).json()
        self.assertEqual([each["id"] for each in listed["items"]], [mine["id"]])
        self.assertNotIn("secret", listed["items"][0])
        self.assertIsNone(listed["next"])

    def test_a_key_deletes_what_it_made_and_nothing_else(self):
        mine, other = self.create(**bearer(self.token)), self.create()
        address = f"{UPLOADS}/{other['id']}"
        self.assertProblem(self.client.delete(address, headers=bearer(self.token)), 403, "forbidden")
        response = self.client.delete(f"{UPLOADS}/{mine['id']}", headers=bearer(self.token))
        self.assertEqual((response.status_code, response.content), (204, b""))
        self.assertEqual(str(Upload.objects.get().id), other["id"])

    def test_wrong_keys_are_refused_everywhere(self):
        created = self.create()
        ApiKey.objects.update(active=False)
        for token in (self.token, KEY_PREFIX + "wrong", "nonsense", "", "hf_secret"):
            for method, address in (("POST", UPLOADS), ("GET", UPLOADS), ("GET", f"{UPLOADS}/{created['id']}")):
                with self.subTest(token=token, method=method, address=address):
                    response = self.client.generic(method, address, headers=bearer(token))
                    self.assertProblem(response, 401, "unauthorized")
                    self.assertEqual(response["WWW-Authenticate"], "Bearer")

    def test_another_scheme_is_refused(self):
        response = self.client.get(UPLOADS, headers={"Authorization": "Basic cm9ib3Q6cm9ib3Q="})
        self.assertProblem(response, 401, "unauthorized", "Bearer TOKEN")

    def test_with_a_key_cookies_do_not_count(self):
        visitor = Client(enforce_csrf_checks=True)
        visitor.get("/")
        record = self.create(client=visitor, **bearer(self.token))
        self.assertEqual(Upload.objects.get(pk=record["id"]).owner, "")

    def test_deleting_a_key_keeps_its_uploads(self):
        self.create(**bearer(self.token))
        self.api_key.delete()
        self.assertIsNone(Upload.objects.get().api_key)


class SecretTests(ApiTestCase):
    def test_the_secret_deletes_its_upload(self):
        created = self.create()
        response = self.client.delete(f"{UPLOADS}/{created['id']}", headers=bearer(created["secret"]))
        self.assertEqual(response.status_code, 204)
        self.assertFalse(Upload.objects.exists())

    def test_another_uploads_secret_does_not(self):
        created, other = self.create(), self.create()
        for secret in (other["secret"], created["secret"] + "0", SECRET_PREFIX):
            response = self.client.delete(f"{UPLOADS}/{created['id']}", headers=bearer(secret))
            self.assertProblem(response, 403, "forbidden")
        self.assertEqual(Upload.objects.count(), 2)

    def test_without_anything_nothing_is_deleted(self):
        created = self.create()
        self.assertProblem(self.client.delete(f"{UPLOADS}/{created['id']}"), 401, "unauthorized", "secret")

    def test_uploads_from_before_secrets_cannot_be_deleted_with_one(self):
        created = self.create()
        Upload.objects.update(secret_hash="")
        response = self.client.delete(f"{UPLOADS}/{created['id']}", headers=bearer(created["secret"]))
        self.assertProblem(response, 403, "forbidden")

    def test_it_still_counts_after_the_secret_key_has_changed(self):
        created = self.create()
        with self.settings(SECRET_KEY="another"):
            response = self.client.delete(f"{UPLOADS}/{created['id']}", headers=bearer(created["secret"]))
        self.assertEqual(response.status_code, 204)

    def test_it_does_not_list(self):
        response = self.client.get(UPLOADS, headers=bearer(self.create()["secret"]))
        self.assertProblem(response, 401, "unauthorized")


class SessionTests(ApiTestCase):
    """A visitor's cookies count on their own pages only."""

    def setUp(self):
        self.visitor = Client(enforce_csrf_checks=True)
        page = self.visitor.get("/")
        self.csrf = {"X-CSRFToken": str(page.context["csrf_token"])}

    def test_a_page_of_ours_uploads_lists_and_deletes_in_the_visitors_name(self):
        created = self.create(client=self.visitor, **self.csrf)
        self.assertTrue(Upload.objects.get().owner)
        self.assertEqual([each["id"] for each in self.visitor.get(UPLOADS).json()["items"]], [created["id"]])
        self.assertContains(self.visitor.get("/history/"), created["id"])
        response = self.visitor.delete(f"{UPLOADS}/{created['id']}", headers=self.csrf)
        self.assertEqual(response.status_code, 204)

    def test_a_picture_sent_through_the_form_is_listed(self):
        self.client.post("/", {"image": photo()})
        self.assertEqual(len(self.client.get(UPLOADS).json()["items"]), 1)

    def test_another_site_cannot_act_in_the_visitors_name(self):
        created = self.create(client=self.visitor, **self.csrf)
        for headers in ({}, {"X-CSRFToken": "wrong"}, {"Origin": "https://evil.example", **self.csrf}):
            response = self.visitor.delete(f"{UPLOADS}/{created['id']}", headers=headers)
            self.assertProblem(response, 403, "csrf")
            response = self.visitor.post(UPLOADS, {"image": photo()}, headers=headers)
            self.assertProblem(response, 403, "csrf")
        self.assertEqual(Upload.objects.count(), 1)

    def test_visitors_do_not_see_each_others(self):
        created = self.create(client=self.visitor, **self.csrf)
        other = Client()
        other.post("/", {"image": photo()})
        self.assertNotIn(created["id"], other.get(UPLOADS).content.decode())
        self.assertProblem(other.delete(f"{UPLOADS}/{created['id']}"), 403, "forbidden")

    def test_a_body_that_is_too_large_is_not_read_for_its_csrf_token(self):
        self.create(client=self.visitor, **self.csrf)
        body = io.BytesIO(b"x" * 30_000_000)
        response = self.visitor.generic(
            "POST", UPLOADS, content_type="multipart/form-data; boundary=b", headers=self.csrf,
            **{"CONTENT_LENGTH": "30000000", "wsgi.input": body},
        )  # fmt: skip
        self.assertProblem(response, 413, "too-large", "This file is 30 MB; the limit is 20 MB.")
        self.assertEqual(body.tell(), 0)

    def test_staff_see_and_delete_everything(self):
        created = self.create()
        self.client.force_login(get_user_model().objects.create_user("staff", is_staff=True))
        self.assertEqual(self.client.get(UPLOADS).json()["items"], [])
        self.assertEqual(self.client.get(UPLOADS, {"all": "true"}).json()["items"][0]["id"], created["id"])
        self.assertEqual(self.client.delete(f"{UPLOADS}/{created['id']}").status_code, 204)

    def test_others_do_not(self):
        self.client.force_login(get_user_model().objects.create_user("visitor"))
        self.assertProblem(self.client.get(UPLOADS, {"all": "true"}), 403, "forbidden")


class PagingTests(ApiTestCase):
    def setUp(self):
        self.token = issue()[1]
        self.ids = [self.create(**bearer(self.token))["id"] for _ in range(5)][::-1]

    def get(self, address: str = UPLOADS, **query) -> dict:
        response = self.client.get(address, query, headers=bearer(self.token))
        self.assertEqual(response.status_code, 200, response.content)
        return response.json()

    def test_pages_follow_each_other_while_new_uploads_arrive(self):
        first = self.get(limit=2)
        self.create(**bearer(self.token))
        second = self.get(first["next"])
        third = self.get(second["next"])
        pages = [[each["id"] for each in page["items"]] for page in (first, second, third)]
        self.assertEqual(pages, [self.ids[:2], self.ids[2:4], self.ids[4:]])
        self.assertIsNone(third["next"])

    def test_uploads_of_the_same_moment_are_neither_lost_nor_repeated(self):
        Upload.objects.update(created=timezone.now())
        seen, page = [], self.get(limit=2)
        while True:
            seen += [each["id"] for each in page["items"]]
            if page["next"] is None:
                break
            page = self.get(page["next"])
        self.assertEqual(sorted(seen), sorted(self.ids))

    def test_a_page_that_is_exactly_full_is_the_last(self):
        self.assertIsNone(self.get(limit=5)["next"])

    def test_deleting_the_last_upload_of_a_page_does_not_break_the_next(self):
        first = self.get(limit=2)
        Upload.objects.get(pk=self.ids[1]).delete()
        self.assertEqual([each["id"] for each in self.get(first["next"])["items"]], self.ids[2:4])

    def test_the_number_of_queries_is_constant(self):
        for limit in (1, 5):  # the key (its use was noted before), the uploads with their runs, the predictions
            with self.assertNumQueries(3) as queries:
                self.get(limit=limit)
            self.assertFalse(any('"image"' in query["sql"] for query in queries))

    def test_cursors_and_limits_that_are_not_right(self):
        far = base64.urlsafe_b64encode(b"0001-01-01T00:00:00+23:59 " + b"0" * 32).decode()
        for query in (
            {"cursor": "x"}, {"cursor": "é"}, {"cursor": "\0"}, {"cursor": "MSAy"}, {"cursor": far},
            {"cursor": "a" * 201}, {"limit": 0}, {"limit": 101}, {"limit": "many"}, {"all": "perhaps"},
        ):  # fmt: skip
            with self.subTest(query):
                response = self.client.get(UPLOADS, query, headers=bearer(self.token))
                self.assertProblem(response, 422, "invalid", "" if "cursor" in query else next(iter(query)))

    def test_nobody_lists_without_saying_who(self):
        self.assertProblem(Client().get(UPLOADS), 401, "unauthorized", "API key")


class IdempotencyTests(ApiTestCase):
    KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}

    def test_a_repeated_request_repeats_the_answer_and_not_the_work(self):
        first = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
        second = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
        self.assertEqual((first.status_code, second.status_code), (201, 201))
        self.assertEqual(first.json(), second.json())
        self.assertEqual(first["Location"], second["Location"])
        self.assertNotIn("Idempotent-Replayed", first)
        self.assertEqual(second["Idempotent-Replayed"], "true")
        self.assertEqual(Upload.objects.count(), 1)

    def test_the_secret_is_repeated_but_not_stored(self):
        secret = self.create(**self.KEY)["secret"]
        self.assertEqual(self.create(**self.KEY)["secret"], secret)
        self.assertNotIn(secret, json.dumps(IdempotentRequest.objects.get().answer))

    def test_another_picture_needs_another_key(self):
        self.create(**self.KEY)
        response = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
        self.assertProblem(response, 422, "idempotency-key-reused")
        self.create(**{"Idempotency-Key": "another"})

    def test_while_the_first_is_being_answered_the_second_must_wait(self):
        def meanwhile(**_):
            response = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
            self.assertProblem(response, 409, "request-in-progress")
            self.assertEqual(response["Retry-After"], "2")
            return original(**_)

        original = uploads.upload_create
        with mock.patch("classifier.services.uploads.upload_create", side_effect=meanwhile):
            self.create(file=photo(), **self.KEY)
        self.assertEqual(Upload.objects.count(), 1)

    def test_after_an_error_the_same_key_may_be_tried_again(self):
        with mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("Not yet.")):
            self.create(status=503, **self.KEY)
        self.create(**self.KEY)

    def test_a_request_whose_process_died_is_taken_over_after_a_while(self):
        self.create(**self.KEY)
        Upload.objects.all().update(latest=None)
        IdempotentRequest.objects.update(answer=None, upload=None)
        self.create(status=409, **self.KEY)
        IdempotentRequest.objects.update(created=timezone.now() - timedelta(minutes=3))
        self.create(**self.KEY)
        self.assertEqual(Upload.objects.count(), 2)

    def test_callers_do_not_share_keys(self):
        first = self.create(**self.KEY)
        self.assertNotEqual(self.create(**self.KEY, **bearer(issue()[1]))["id"], first["id"])
        with override_settings(TRUSTED_PROXIES=1):
            elsewhere = self.create(**self.KEY, **{"X-Forwarded-For": "203.0.113.9"})
        self.assertNotEqual(elsewhere["id"], first["id"])

    def test_deleting_the_upload_forgets_the_answer(self):
        created = self.create(**self.KEY)
        self.client.delete(f"{UPLOADS}/{created['id']}", headers=bearer(created["secret"]))
        self.assertFalse(IdempotentRequest.objects.exists())

    def test_answers_are_forgotten_after_a_day(self):
        first = self.create(**self.KEY)
        IdempotentRequest.objects.update(created=timezone.now() - timedelta(hours=25))
        self.assertNotEqual(self.create(**self.KEY)["id"], first["id"])

    def test_a_key_may_have_255_characters(self):
        self.create(**{"Idempotency-Key": "k" * 255})
        response = self.client.post(UPLOADS, {"image": photo()}, headers={"Idempotency-Key": "k" * 256})
        self.assertProblem(response, 422, "invalid", "Idempotency-Key")


@skipUnlessDBFeature("test_db_allows_multiple_connections")
class ConcurrentIdempotencyTests(TransactionTestCase):
    def test_of_requests_at_the_same_time_one_does_the_work(self):
        def post(_: int) -> int:
            try:
                picture = SimpleUploadedFile("a.jpg", small_jpeg())
                return Client().post(UPLOADS, {"image": picture}, headers=IdempotencyTests.KEY).status_code
            finally:
                connection.close()

        with use_engine(), ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(post, range(12)))
        self.assertEqual(Upload.objects.count(), 1)
        self.assertLessEqual(set(statuses), {201, 409})
        self.assertIn(201, statuses)


@override_settings(CLIP_MODEL="standin")
class ZeroShotTests(ApiTestCase):
    def post(self, body: object, content_type: str = "application/json", **headers):
        return self.client.post(ZERO_SHOT, body, content_type=content_type, headers=headers)

    def assertEspresso(self, response, count: int = 5):
        self.assertEqual(response.status_code, 200, response.content)
        scores = response.json()
        self.assertEqual((len(scores), scores[0]["label"]), (count, "espresso"))
        self.assertEqual(set(scores[0]), {"label", "score"})

    def setUp(self):
        self.photo = (PHOTOS / "coffee.png").read_bytes()
        self.base64 = base64.b64encode(self.photo).decode()

    def test_base64(self):
        self.assertEspresso(self.post({"inputs": self.base64}))

    def test_nothing_is_stored(self):
        self.post({"inputs": self.base64})
        self.assertFalse(Upload.objects.exists())

    def test_a_data_url(self):
        self.assertEspresso(self.post({"inputs": f"data:image/png;base64,{self.base64}"}))

    def test_bytes(self):
        for kind in ("image/png", "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", ""):
            with self.subTest(kind):
                self.assertEspresso(self.post(self.photo, kind))

    def test_as_many_labels_as_asked_for(self):
        self.assertEspresso(self.post({"inputs": self.base64, "parameters": {"top_k": 12}}), 12)
        self.assertProblem(self.post({"inputs": "", "parameters": {"top_k": 0}}), 422, "invalid", "parameters.top_k")

    def test_other_members_are_ignored(self):
        body = {"options": {"wait_for_model": True}, "inputs": self.base64, "parameters": {"unheard_of": 1}}
        self.assertEspresso(self.post(body))

    def test_labels_of_ones_own_need_clip(self):
        body = {"inputs": self.base64, "parameters": {"candidate_labels": ["cat", "dog"]}}
        self.assertProblem(self.post(body), 422, "text-unsupported", "need CLIP")

    def test_nothing_that_is_wrong_with_the_json_breaks_it(self):
        cases = [
            (b"", 422, "no-image"),  # taken for bytes, since the test client names no type then
            (b" ", 400, "bad-request"),
            (b"{", 400, "bad-request"),
            (b'{"inputs": "AAAA', 400, "bad-request"),
            (b'{"inputs": "AAAA" x}', 400, "bad-request"),
            (b'{"inputs": "AA\\q="}', 400, "bad-request"),
            (b"\xff\xfe", 400, "bad-request"),
            (b"[" * 100_000, 400, "bad-request"),
            (b"[]", 422, "invalid"),
            (b"null", 422, "invalid"),
            (b"{}", 422, "invalid"),
            (b'{"inputs": 1}', 422, "invalid"),
            (b'{"inputs": {"image": "AAAA"}}', 422, "invalid"),
            (b'{"parameters": {"inputs": "AAAA"}}', 422, "invalid"),
            (b'{"parameters": {"inputs": "AAAA"}, "inputs": "AAAA"}', 422, "invalid"),
            (b'{"inputs": "AAAA", "parameters": []}', 422, "invalid"),
            (b'{"inputs": "A=AA"}', 422, "invalid"),
            (b'{"inputs": "A"}', 422, "invalid"),
            ('{"inputs": "é"}'.encode(), 422, "invalid"),
            (b'{"inputs": "https://example.com/cat.jpg"}', 422, "invalid"),
            (b'{"inputs": "data:image/png,AAAA"}', 422, "invalid"),
            (b'{"inputs": ""}', 422, "no-image"),
            (b'{"inputs": "SGVsbG8gd29ybGQ="}', 415, "unsupported-image"),
            (b'{"x": "' + b"y" * 1_100_000 + b'"}', 413, "too-large"),
            (b'{"inputs": "AAAA", "x": "' + b"y" * 1_100_000 + b'"}', 413, "too-large"),
        ]
        for body, status, code in cases:
            with self.subTest(body[:80]):
                self.assertProblem(self.post(body), status, code)

    def test_other_content_types(self):
        for kind in ("text/plain", "multipart/form-data; boundary=b", "video/mp4"):
            self.assertProblem(self.post(b"x", kind), 415, "unsupported-media-type")

    @override_settings(MAX_UPLOAD_MB=0.1)
    def test_the_same_limit_counts_for_what_the_base64_holds(self):
        self.assertProblem(self.post({"inputs": self.base64}), 413, "too-large", "the limit is 0.1 MB")
        self.assertProblem(self.post(self.photo, "image/png"), 413, "too-large", "the limit is 0.1 MB")

    def test_hugging_faces_own_tokens_count_as_none(self):
        self.assertEspresso(self.post({"inputs": self.base64}, **bearer("hf_abcdef")))
        self.assertProblem(self.post({"inputs": self.base64}, **bearer(KEY_PREFIX)), 401, "unauthorized")
        self.assertEspresso(self.post({"inputs": self.base64}, **bearer(issue()[1])))

    def test_it_takes_one_query(self):
        engines.engine_get()
        with mock.patch("classifier.http.ratelimits.random.random", return_value=1.0), self.assertNumQueries(1):
            self.post({"inputs": self.base64})


class RateLimitTests(ApiTestCase):
    @override_settings(RATE_LIMIT_PER_MINUTE=2)
    def test_the_limit_of_an_address_counts_everywhere(self):
        self.create()
        self.client.post(ZERO_SHOT, small_jpeg(), content_type="image/jpeg")
        for address in (UPLOADS, ZERO_SHOT):
            response = self.client.post(address, {"image": photo()})
            self.assertProblem(response, 429, "rate-limited", "2 per minute from your address")
            self.assertIn(int(response["Retry-After"]), range(1, 31))
        self.create(**bearer(issue()[1]))
        self.assertEqual(self.client.get(f"{UPLOADS}/{Upload.objects.first().id}").status_code, 200)

    @override_settings(RATE_LIMIT_KEY_PER_MINUTE=1)
    def test_a_key_has_its_own(self):
        token = issue()[1]
        self.create(**bearer(token))
        self.create(status=429, **bearer(token))
        self.create()


class ErrorTests(ApiTestCase):
    """One shape, whatever goes wrong."""

    def test_addresses_that_do_not_exist(self):
        for address in ("/api/", "/api/v1/", "/api/v2/uploads", "/api/v1/uploads/", "/api/v1/nothing"):
            self.assertProblem(self.client.get(address), 404, "not-found")

    def test_methods_that_do_not_exist(self):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            response = self.client.generic(method, UPLOADS)
            self.assertProblem(response, 405, "method-not-allowed")
            self.assertEqual(set(response["Allow"].split(", ")), {"GET", "HEAD", "POST"})

    def test_a_host_that_is_not_ours(self):
        with self.assertLogs("django.security.DisallowedHost"):
            response = self.client.get(UPLOADS, headers={"Host": "evil.example"})
        self.assertProblem(response, 400, "bad-request")

    def test_no_model(self):
        with mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("Run prepare_model.")):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 503, "model-unavailable", "Run prepare_model.")
        self.assertEqual(response["Retry-After"], "30")

    def test_too_busy(self):
        with mock.patch(
            "classifier.services.uploads.upload_create", side_effect=Busy("Many are waiting.", retry_after=7)
        ):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 503, "busy", "Many are waiting.")
        self.assertEqual(response["Retry-After"], "7")

    def test_no_database(self):
        with (
            mock.patch("classifier.services.uploads.upload_create", side_effect=OperationalError("gone")),
            self.assertLogs("classifier", "ERROR"),
        ):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 503, "database-away")
        self.assertEqual(response["Retry-After"], "5")

    def test_our_own_mistakes_say_nothing_of_the_inside(self):
        with (
            mock.patch("classifier.services.uploads.upload_create", side_effect=RuntimeError("password=hunter2")),
            self.assertLogs("classifier", "ERROR"),
        ):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 500, "internal")
        self.assertNotIn("hunter2", response.content.decode())

    def test_mistakes_outside_the_operations_too(self):
        self.client.raise_request_exception = False
        with (
            mock.patch("django.middleware.common.CommonMiddleware.process_request", side_effect=RuntimeError("no")),
            self.assertLogs("django.request", "ERROR"),
        ):
            self.assertProblem(self.client.get(UPLOADS), 500, "internal")

    def test_pages_keep_their_own_errors(self):
        self.assertNotEqual(self.client.get("/nothing").headers["Content-Type"], "application/problem+json")


class DocsTests(ApiTestCase):
    def test_the_description_lists_every_operation(self):
        schema = self.client.get("/api/v1/openapi.json").json()
        operations = [f"{method} {path}" for path, methods in schema["paths"].items() for method in methods]
        self.assertEqual(
            sorted(operations),
            [
                "delete /api/v1/label-sets/{label_set_id}",
                "delete /api/v1/uploads/{upload_id}",
                "get /api/v1/label-sets",
                "get /api/v1/label-sets/{label_set_id}",
                "get /api/v1/search",
                "get /api/v1/uploads",
                "get /api/v1/uploads/{upload_id}",
                "get /api/v1/uploads/{upload_id}/similar",
                "post /api/v1/label-sets",
                f"post {UPLOADS}",
                "post /api/v1/uploads/{upload_id}/classifications",
                f"post {ZERO_SHOT}",
                "put /api/v1/label-sets/{label_set_id}",
            ],
        )

    def test_the_page_shows_every_operation_and_error(self):
        page = self.client.get("/api/v1/docs")
        for text in ("upload_create", "Idempotency-Key", "curl -F image=@photo.jpg http://testserver/api/v1/uploads"):
            self.assertContains(page, text)
        self.assertContains(page, '<tr id="too-many-pixels">')

    def test_it_loads_nothing_from_elsewhere_and_nothing_inline(self):
        page = self.client.get("/api/v1/docs").content.decode()
        for mark in ("<style", 'style="', "onclick", 'src="http', 'stylesheet" href="http', "<script>"):
            self.assertNotIn(mark, page)

    def test_secrets_are_told_apart_from_ids(self):
        upload_id = uuid.uuid4()
        self.assertNotIn(upload_id.hex, upload_secret(upload_id))
