"""API keys and upload secrets, and how staff make keys."""

import uuid
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone

from classifier.models import ApiKey
from classifier.services import keys


class ApiKeyTests(TestCase):
    def setUp(self):
        self.api_key = ApiKey(name="robot")
        self.token = keys.api_key_issue(api_key=self.api_key)

    def test_a_token_finds_its_key_and_is_not_stored(self):
        self.assertEqual(keys.api_key_find(token=self.token), self.api_key)
        stored = " ".join(str(value) for value in ApiKey.objects.values_list().get())
        self.assertNotIn(self.token, stored)

    def test_another_token_finds_nothing(self):
        self.assertIsNone(keys.api_key_find(token=self.token + "x"))

    def test_an_inactive_key_is_not_found(self):
        ApiKey.objects.update(active=False)
        self.assertIsNone(keys.api_key_find(token=self.token))

    def test_its_use_is_noted_once_a_minute(self):
        with self.assertNumQueries(2):
            keys.api_key_find(token=self.token)
        with self.assertNumQueries(1):
            keys.api_key_find(token=self.token)
        ApiKey.objects.update(last_used=timezone.now() - timedelta(minutes=2))
        keys.api_key_find(token=self.token)
        self.assertLess(timezone.now() - ApiKey.objects.get().last_used, timedelta(minutes=1))


class UploadSecretTests(TestCase):
    def test_it_is_the_same_for_an_upload_and_different_for_another(self):
        upload_id = uuid.uuid4()
        self.assertEqual(keys.upload_secret(upload_id), keys.upload_secret(upload_id))
        self.assertNotEqual(keys.upload_secret(upload_id), keys.upload_secret(uuid.uuid4()))

    def test_it_needs_the_secret_key(self):
        upload_id = uuid.uuid4()
        before = keys.upload_secret(upload_id)
        with self.settings(SECRET_KEY="another"):
            self.assertNotEqual(keys.upload_secret(upload_id), before)


class ApiKeyAdminTests(TestCase):
    def setUp(self):
        self.client.force_login(get_user_model().objects.create_superuser("staff"))

    def test_a_new_keys_token_is_shown_once(self):
        page = self.client.post(reverse("admin:classifier_apikey_add"), {"name": "robot", "active": "on"}, follow=True)
        self.assertContains(page, keys.KEY_PREFIX)
        token = page.content.decode().split("<code>")[1].split("</code>")[0]
        self.assertEqual(keys.api_key_find(token=token).name, "robot")
        self.assertNotContains(self.client.get(page.request["PATH_INFO"]), token)
        self.assertNotContains(
            self.client.get(reverse("admin:classifier_apikey_change", args=[ApiKey.objects.get().pk])), token
        )

    def test_changing_a_key_keeps_its_token(self):
        api_key = ApiKey(name="robot")
        token = keys.api_key_issue(api_key=api_key)
        self.client.post(reverse("admin:classifier_apikey_change", args=[api_key.pk]), {"name": "machine"})
        self.assertIsNone(keys.api_key_find(token=token))
        api_key.refresh_from_db()
        self.assertEqual((api_key.name, api_key.active), ("machine", False))
