"""Deleting what is older than it is kept for."""

from datetime import timedelta
from io import StringIO
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase, override_settings
from django.utils import timezone

from classifier.models import Classification, Upload
from classifier.tests.test_models import make_upload


class PurgeTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.old = make_upload(created=timezone.now() - timedelta(days=31))
        cls.old.latest = Classification.objects.create(upload=cls.old)
        cls.old.save()
        cls.new = make_upload(created=timezone.now() - timedelta(days=29))

    def purge(self, *arguments: str) -> str:
        out = StringIO()
        call_command("purge_uploads", *arguments, stdout=out)
        return out.getvalue()

    def left(self) -> list[Upload]:
        return list(Upload.objects.all())

    @override_settings(UPLOAD_RETENTION_DAYS=30)
    def test_it_deletes_what_is_older(self):
        self.assertIn("1 uploads older than 30 days are deleted", self.purge())
        self.assertEqual(self.left(), [self.new])
        self.assertFalse(Classification.objects.exists())

    @override_settings(UPLOAD_RETENTION_DAYS=0)
    def test_zero_keeps_everything(self):
        self.assertIn("kept", self.purge())
        self.assertEqual(len(self.left()), 2)

    def test_days_can_be_given(self):
        self.purge("--days", "1")
        self.assertEqual(self.left(), [])

    @override_settings(UPLOAD_RETENTION_DAYS=30)
    def test_a_dry_run_deletes_nothing(self):
        self.assertIn("1 uploads are older than 30 days", self.purge("--dry-run"))
        self.assertEqual(len(self.left()), 2)

    def test_no_days_at_all_is_a_slip(self):
        with self.assertRaisesMessage(CommandError, "at least 1"):
            self.purge("--days", "0")

    def test_many_are_deleted_some_at_a_time(self):
        with mock.patch("classifier.services.uploads.DELETE_AT_ONCE", 1):
            self.assertIn("2 uploads", self.purge("--days", "1"))
        self.assertEqual(self.left(), [])
