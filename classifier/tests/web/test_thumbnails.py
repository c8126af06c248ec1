"""Lists show thumbnails: small, kept, made on first demand or by a command."""

import io
from unittest import mock

from django.core.management import call_command
from django.test import override_settings
from PIL import Image
from playwright.sync_api import expect

from classifier.errors import Busy
from classifier.models import Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.services import thumbnails
from classifier.tests.browser import BrowserTestCase
from classifier.tests.photos import PHOTOS
from classifier.tests.web.test_views import PageTestCase, make_run


def stored(name: str = "coffee.png") -> bytes:
    with Image.open(PHOTOS / name) as photo:
        return picture_to_jpeg(photo.convert("RGB"))


class ThumbnailTests(PageTestCase):
    def setUp(self):
        super().setUp()
        self.upload = make_run(image=stored())
        self.address = f"/uploads/{self.upload.id}/thumbnail"

    def kept(self) -> bytes | None:
        return Upload.objects.values_list("image_small", flat=True).get(pk=self.upload.pk)

    def test_it_is_a_small_webp_of_the_same_picture(self):
        response = self.client.get(self.address)
        self.assertEqual(response.headers["Content-Type"], "image/webp")
        self.assertLess(len(response.content), len(stored()) / 4)
        small, whole = Image.open(io.BytesIO(response.content)), Image.open(io.BytesIO(stored()))
        self.assertEqual(small.size, (256, 171))
        same = whole.resize(small.size)
        worst = max(
            abs(a - b)
            for place in ((40, 40), (128, 85), (200, 150))
            for a, b in zip(small.convert("RGB").getpixel(place), same.getpixel(place), strict=True)
        )
        self.assertLess(worst, 30)

    def test_it_is_made_once(self):
        first = self.client.get(self.address).content
        self.assertEqual(bytes(self.kept()), first)
        with mock.patch.object(thumbnails, "_make", side_effect=AssertionError("made again")):
            self.assertEqual(self.client.get(self.address).content, first)

    def test_it_is_cached_for_good(self):
        response = self.client.get(self.address)
        self.assertEqual(response.headers["Cache-Control"], "private, max-age=3600")
        with self.assertNumQueries(1):
            again = self.client.get(self.address, headers={"if-none-match": response.headers["ETag"]})
        self.assertEqual((again.status_code, again.content), (304, b""))

    def test_a_picture_that_is_gone_has_none(self):
        self.upload.delete()
        self.assertEqual(self.client.get(self.address).status_code, 404)

    def test_the_whole_picture_stands_in_where_memory_is_short_or_it_cannot_be_read(self):
        with mock.patch.object(thumbnails.ROOM, "take", side_effect=Busy("Many large pictures.")):
            self.assertRedirects(self.client.get(self.address), f"/uploads/{self.upload.id}/image")
        Upload.objects.update(image=b"no JPEG")
        self.assertRedirects(self.client.get(self.address), f"/uploads/{self.upload.id}/image")
        self.assertIsNone(self.kept())

    def test_it_is_made_within_the_memory_for_pictures(self):
        with mock.patch.object(thumbnails.ROOM, "take", wraps=thumbnails.ROOM.take) as take:
            self.client.get(self.address)
        take.assert_called_once_with(thumbnails.MEMORY)

    def test_a_small_picture_stays_as_large_as_it_is(self):
        small = make_run()
        response = self.client.get(f"/uploads/{small.id}/thumbnail")
        self.assertEqual(Image.open(io.BytesIO(response.content)).size, (60, 40))


class BackfillTests(PageTestCase):
    def call(self, **options) -> str:
        out = io.StringIO()
        call_command("make_thumbnails", stdout=out, stderr=io.StringIO(), **options)
        return out.getvalue()

    def test_it_makes_those_that_are_missing(self):
        for _ in range(3):
            make_run(image=stored())
        made = make_run(image_small=b"there already")
        broken = make_run(image=b"no JPEG")
        self.assertIn("3 thumbnails made; 1 pictures could not be read.", self.call(batch=2))
        rest = Upload.objects.filter(image_small=None)
        self.assertEqual([upload.pk for upload in rest], [broken.pk])
        made.refresh_from_db(fields=["image_small"])
        self.assertEqual(bytes(made.image_small), b"there already")
        self.assertIn("0 thumbnails made; 1 pictures", self.call())


@override_settings(CLIP_MODEL="standin")
class ListsTests(BrowserTestCase):
    def test_history_home_and_the_question_before_deleting_show_thumbnails(self):
        self.own(self.page.context)
        for _ in range(3):
            make_run(image=stored())
        for address in ("/history/", "/"):
            sizes: list[int] = []
            page = self.visitor()
            self.own(page.context)
            page.on("response", lambda answer, sizes=sizes: self.weigh(answer, sizes))
            page.goto(address)
            pictures = page.locator(".card img")
            expect(pictures).to_have_count(3)
            for picture in pictures.all():
                self.assertTrue(picture.evaluate("img => img.decode().then(() => img.naturalWidth === 256)"))
            self.assertLess(sum(sizes), len(stored()))  # three of them weigh less than one whole picture
        self.page.goto(f"{Upload.objects.first().get_absolute_url()}delete")
        self.assertIn("/thumbnail", self.page.locator(".strip img").get_attribute("src"))

    def weigh(self, answer, sizes: list[int]) -> None:
        self.assertNotRegex(answer.url, "/image$")
        if "/thumbnail" in answer.url:
            sizes.append(len(answer.body()))
