"""Hugging Face's own client, pointed at a running server."""

import os
from unittest import mock

from django.test import LiveServerTestCase, override_settings

from classifier.tests.photos import PHOTOS

PHOTO = PHOTOS / "coffee.png"


@override_settings(CLIP_MODEL="standin")
class InferenceClientTests(LiveServerTestCase):
    def setUp(self):
        from huggingface_hub import InferenceClient, close_session

        self.addCleanup(close_session)  # the client keeps connections, and the server a thread for each
        # A user who is logged in has a token, which the client sends to any address.
        self.enterContext(mock.patch.dict(os.environ, {"HF_TOKEN": "hf_somebodys_own"}))
        self.client = InferenceClient(f"{self.live_server_url}/api/v1/zero-shot-image-classification")

    def test_it_classifies_a_file(self):
        answer = self.client.image_classification(PHOTO)
        self.assertEqual((len(answer), answer[0].label), (5, "espresso"))
        self.assertGreater(answer[0].score, 0.5)

    def test_it_classifies_bytes_and_asks_for_more_labels(self):
        answer = self.client.image_classification(PHOTO.read_bytes(), top_k=7)
        self.assertEqual((len(answer), answer[0].label), (7, "espresso"))

    def test_what_was_wrong_reaches_its_user(self):
        from huggingface_hub.errors import HfHubHTTPError

        with self.assertRaisesMessage(HfHubHTTPError, "The file is empty."):
            self.client.image_classification(b"", top_k=1)
