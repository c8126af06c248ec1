"""What is kept, how long and how much of it, and what a database that takes no more is told as."""

import itertools
from datetime import timedelta
from unittest import mock

import psycopg2
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import InternalError, OperationalError, ProgrammingError, connection
from django.test import Client, TestCase, TransactionTestCase, override_settings, skipUnlessDBFeature
from django.utils import timezone

from classifier.errors import StorageFull
from classifier.models import Batch, BatchItem, IdempotentRequest, Occlusion, Upload
from classifier.services import storage, upkeep, uploads
from classifier.services.keys import upload_secret
from classifier.services.label_sets import choice_make
from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.services.test_search import coloured
from classifier.tests.test_models import make_upload

UPLOADS = "/api/v1/uploads"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


def file() -> SimpleUploadedFile:
    return SimpleUploadedFile("a.png", PNG)


class StorageCase(TestCase):
    def setUp(self):
        self.forget()
        self.addCleanup(self.forget)
        self.enterContext(serve(ColourEngine()))

    def forget(self):
        storage.meter.forget()
        storage._probed = upkeep._swept = float("-inf")


class QuotaTests(StorageCase):
    @override_settings(MAX_STORED_MB=0.05)
    def test_beyond_it_uploads_are_refused_and_what_is_there_stays(self):
        kept = [make_upload(image=b"x" * 10_000) for _ in range(3)]
        self.assertEqual(self.client.post(UPLOADS, {"image": file()}).status_code, 201)
        answer = self.client.post(UPLOADS, {"image": file()})
        self.assertEqual((answer.status_code, answer.json()["type"]), (507, "/api/v1/docs#storage-full"))
        self.assertIn("keeps 0.05 MB", answer.json()["detail"])
        self.assertContains(self.client.post("/", {"image": file()}), "they are full", status_code=507)
        self.assertEqual(Upload.objects.filter(pk__in=[upload.pk for upload in kept]).count(), 3)
        ready = self.client.get("/readyz")
        self.assertEqual((ready.status_code, ready.json()["database"]), (200, "ok"))
        self.assertIn("they are full", ready.json()["storage"])
        zero_shot = "/api/v1/zero-shot-image-classification"
        self.assertEqual(self.client.post(zero_shot, PNG, content_type="image/png").status_code, 200)

    @override_settings(MAX_STORED_MB=0.05)
    def test_there_is_room_again_once_some_are_deleted(self):
        make_upload(image=b"x" * 60_000)
        with self.assertRaises(StorageFull):
            storage.storage_check()
        uploads.uploads_delete(uploads=Upload.objects.all())
        with mock.patch.object(storage, "MEASURED_SECONDS_FULL", 0):
            storage.storage_check()

    @override_settings(MAX_STORED_MB=0)
    def test_zero_is_no_limit(self):
        make_upload(image=b"x" * 60_000)
        storage.storage_check()

    def test_what_is_counted_is_what_is_there(self):
        make_upload(image=b"x" * 60_000, image_small=b"y" * 500)
        self.assertEqual(storage.stored_bytes(), 60_500 + storage.ROW_BYTES)

    def test_what_hangs_on_uploads_is_counted_however_it_comes(self):
        upload = coloured("red")
        choice, counted = choice_make(labels=["red", "green", "blue", "grey"]), [storage.stored_bytes()]
        for _ in range(2):
            uploads.upload_relabel(upload=upload, choice=choice)
            counted.append(storage.stored_bytes())
        self.assertEqual(
            counted[2] - counted[1], storage.RUN_BYTES + len(choice.labels) * storage.PREDICTION_BYTES, counted
        )
        Occlusion.objects.create(upload=upload, weights_sha256="f" * 64, grid=1, responses=b"x" * 1000)
        counted.append(storage.stored_bytes())
        batch = Batch.objects.create(owner="me", total=1)
        BatchItem.objects.create(batch=batch, place=1, status="failed", reason="no picture")
        counted.append(storage.stored_bytes())
        IdempotentRequest.objects.create(key="k", fingerprint="f", upload=upload)
        counted.append(storage.stored_bytes())
        Session.objects.create(session_key="k", session_data="x" * 50_000, expire_date=timezone.now())
        counted.append(storage.stored_bytes())
        self.assertEqual(
            [after - before for before, after in itertools.pairwise(counted[2:])],
            [1000 + storage.OCCLUSION_BYTES, storage.ITEM_BYTES, storage.REQUEST_BYTES, 50_000 + storage.SESSION_BYTES],
        )

    def test_beyond_it_nothing_is_ranked_again_and_kept(self):
        """One picture may be ranked as often as the rate limit lets it, and each run is kept."""
        upload = uploads.upload_create(file=file(), name="a.png", owner="me")
        with override_settings(MAX_STORED_MB=1e-6):
            storage.meter.forget()
            answer = self.client.post(
                f"{UPLOADS}/{upload.pk}/classifications",
                {"candidate_labels": ["a", "b"]},
                content_type="application/json",
                headers={"Authorization": f"Bearer {upload_secret(upload.pk)}"},
            )
            self.assertEqual((answer.status_code, answer.json()["type"]), (507, "/api/v1/docs#storage-full"))
            with self.assertRaises(StorageFull):
                uploads.upload_classify(upload=upload)
        self.assertEqual(upload.classifications.count(), 1)


class UpkeepTests(StorageCase):
    def tick(self):
        with mock.patch.object(upkeep.connection, "close"):
            upkeep.tick()

    @override_settings(UPLOAD_RETENTION_DAYS=30)
    def test_it_deletes_pictures_past_their_days_and_sessions_past_their_end(self):
        old, new = make_upload(created=timezone.now() - timedelta(days=31)), make_upload()
        for days in (-1, 1):
            Session.objects.create(
                session_key=f"k{days}", session_data="", expire_date=timezone.now() + timedelta(days=days)
            )
        self.tick()
        self.assertEqual(list(Upload.objects.all()), [new], old)
        self.assertEqual(list(Session.objects.values_list("session_key", flat=True)), ["k1"])

    @override_settings(UPLOAD_RETENTION_DAYS=0)
    def test_without_days_pictures_are_kept(self):
        make_upload(created=timezone.now() - timedelta(days=3100))
        self.tick()
        self.assertEqual(Upload.objects.count(), 1)

    def test_it_does_so_once_an_hour(self):
        self.tick()
        with mock.patch("classifier.http.sessions.SessionStore.clear_expired") as clear:
            self.tick()
        clear.assert_not_called()


class TroubleTests(StorageCase):
    def raised(self, kind, error):
        try:
            raise kind(str(error)) from error
        except kind as found:
            return found

    def test_errors_are_told_by_their_state(self):
        def state(code):
            return type("Coded", (psycopg2.Error,), {"pgcode": code})("refused")

        for kind, code, status in (
            (OperationalError, "53100", 507),
            (InternalError, "25006", 503),
            (ProgrammingError, "42501", 503),
        ):
            self.assertEqual(storage.database_trouble(self.raised(kind, state(code))).status, status)
        self.assertIsNone(storage.database_trouble(self.raised(OperationalError, state("57P01"))))
        for text, status in (("database or disk is full", 507), ("attempt to write a readonly database", 503)):
            self.assertEqual(storage.database_trouble(OperationalError(text)).status, status)


@skipUnlessDBFeature("has_select_for_update")
class ReadOnlyTests(TransactionTestCase):
    """A real PostgreSQL that takes no changes: told so by its role, as a standby's would."""

    def setUp(self):
        storage._probed = float("-inf")
        storage.meter.forget()
        self.enterContext(serve(ColourEngine()))
        self.upload = coloured("red")
        self.client = Client(raise_request_exception=False)
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        self.addCleanup(self.writable)

    def writable(self):
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
        storage._probed = float("-inf")

    def test_changes_are_answered_503_and_reading_goes_on(self):
        answer = self.client.post(UPLOADS, {"image": file()})
        self.assertEqual((answer.status_code, answer.json()["type"]), (503, "/api/v1/docs#database-read-only"))
        self.assertEqual(answer["Retry-After"], "60")
        page = self.client.post("/", {"image": file()})
        self.assertContains(page, "takes no changes just now", status_code=503)
        self.assertEqual(self.client.get(self.upload.get_absolute_url()).status_code, 200)

    def test_readyz_says_so(self):
        ready = self.client.get("/readyz")
        self.assertEqual(ready.status_code, 503)
        self.assertIn("takes no changes", ready.json()["database"])
        self.writable()
        self.assertEqual(self.client.get("/readyz").status_code, 200)

    def test_a_plan_that_took_the_right_to_insert_away(self):
        self.writable()
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE limited")
            cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO limited")
            cursor.execute("SET ROLE limited")
        try:
            self.assertEqual(self.client.post(UPLOADS, {"image": file()}).status_code, 503)
            self.assertIn("takes no changes", self.client.get("/readyz").json()["database"])
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")
                cursor.execute("DROP OWNED BY limited")
                cursor.execute("DROP ROLE limited")
