"""Hostile pictures and names through the real interfaces: a result or a 4xx with a message, never a 5xx."""

import io

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase, override_settings
from PIL import Image

from classifier.models import Upload
from classifier.tests.hostile import NAMES, cases
from classifier.tests.hostile.common import noise
from classifier.tests.photos import encoded
from classifier.tests.services.test_uploads import use_engine

UPLOADS = "/api/v1/uploads"
SMALL = 300_000  # bytes; test_images_hostile reads the large ones, too
STATUSES = {
    "MissingImage": 422, "ImageTooLarge": 413, "UnsupportedImage": 415, "BrokenImage": 422, "TooManyPixels": 422,
    "ImageError": 422, "read": 201,
}  # fmt: skip


class HostileUploadTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(use_engine())
        cls.enterClassContext(override_settings(RATE_LIMIT_PER_MINUTE=0))

    def post(self, name, data):
        boundary = b"b0undary"
        head = (
            b'Content-Disposition: form-data; name="image"; filename="' + name + b'"\r\nContent-Type: image/png\r\n\r\n'
        )
        body = b"--" + boundary + b"\r\n" + head + data + b"\r\n--" + boundary + b"--\r\n"
        return self.client.post(UPLOADS, body, content_type="multipart/form-data; boundary=b0undary")

    def test_pictures(self):
        tried = 0
        for case in cases():
            if case.name.startswith(("tiff", "avif")) or len(data := case.data()) > SMALL:
                continue
            tried += 1
            with self.subTest(case.name):
                response = self.client.post(UPLOADS, {"image": SimpleUploadedFile("a.exe", data, "text/html")})
                if case.expected != "any":
                    self.assertEqual(response.status_code, STATUSES[case.expected])
                self.assertIn(response.status_code, STATUSES.values())
                if response.status_code != 201:
                    self.assertEqual(response["Content-Type"], "application/problem+json")
                    self.assertRegex(response.json()["detail"], r"\.$")
        self.assertGreater(tried, 80)
        self.assertGreater(Upload.objects.count(), 20)
        self.assertFalse(Upload.objects.filter(image=b"").exists())

    def test_what_is_served_is_never_what_was_sent(self):
        sent = encoded(noise(), "JPEG", comment=b"<script>alert(1)</script>") + b"<script>alert(1)</script>PK\5\6"
        url = self.client.post(UPLOADS, {"image": SimpleUploadedFile("a.html", sent, "text/html")}).json()["image"][
            "url"
        ]
        response = self.client.get(url)
        served = b"".join(response) if response.streaming else response.content
        self.assertNotIn(b"script", served)
        self.assertEqual(Image.open(io.BytesIO(served)).format, "JPEG")
        self.assertEqual((response["Content-Type"], response["X-Content-Type-Options"]), ("image/jpeg", "nosniff"))
        self.assertIn("Content-Security-Policy", response)

    def test_names(self):
        data = encoded(noise(), "PNG")
        for name in NAMES:
            with self.subTest(name=name):
                response = self.post(name.encode("utf-8", "surrogatepass"), data)
                self.assertIn(response.status_code, (201, 400, 422))
                if response.status_code == 201:
                    kept = Upload.objects.get(pk=response.json()["id"]).name
                    self.assertTrue(kept.replace("\u200d", "").isprintable())
                    self.assertNotIn("/", kept)
                    self.assertLessEqual(len(kept), 255)
        self.assertGreater(Upload.objects.count(), len(NAMES) / 2)

    def test_names_come_back_escaped(self):
        for name in ("<img src=x onerror=alert(1)>.png", "{{7*7}}.png"):
            url = self.post(name.encode(), encoded(noise(), "PNG")).json()["url"]
            page = self.client.get(url, follow=True).content.decode()
            self.assertNotIn("<img src=x", page)
            self.assertNotIn("49.png", page)
