"""What programs sent without an API key belongs to nobody: whoever comes without a session finds none of it."""

from django.test import TestCase, override_settings
from PIL import Image

from classifier.tests import colour_engine
from classifier.tests.colour_engine import ColourEngine
from classifier.tests.services.test_uploads import png_of

# Every page and address that lists something of whoever asks.
LISTS = ("/", "/history/", "/history/map", "/history/search?q=red", "/history/export.json", "/history/export.csv",
         "/batches/")  # fmt: skip


@override_settings(RATE_LIMIT_PER_MINUTE=0)
class NobodysTests(TestCase):
    def setUp(self):
        self.enterContext(colour_engine.serve(ColourEngine()))
        self.sent = [self.send(colour) for colour in ("red", "blue")]

    def send(self, colour: str) -> str:
        picture = png_of(Image.new("RGB", (60, 40), colour))
        picture.name = f"{colour}.png"
        answer = self.client_class().post("/api/v1/uploads", {"image": picture})
        self.assertEqual(answer.status_code, 201, answer.content)
        return answer.json()["id"]

    def seen(self, address: str) -> str:
        answer = self.client_class().get(address)
        self.assertEqual(answer.status_code, 200, address)
        return answer.getvalue().decode()

    def test_no_list_names_it(self):
        for address in LISTS:
            with self.subTest(address=address):
                self.assertEqual([key for key in self.sent if key in self.seen(address)], [])

    def test_its_own_page_names_no_other(self):
        first, second = self.sent
        page = self.seen(f"/uploads/{first}/")
        self.assertIn(first, page)
        self.assertNotIn(second, page)

    def test_nobody_may_change_it(self):
        for path in ("delete", "classify", "feedback", "relabel", "live"):
            answer = self.client_class().post(f"/uploads/{self.sent[0]}/{path}", {"labels": "a, b", "answer": "yes"})
            self.assertEqual(answer.status_code, 403, path)

    def test_the_api_asks_who_one_is(self):
        first = self.sent[0]
        for method, path in (
            ("get", "/api/v1/uploads"),
            ("get", f"/api/v1/uploads/{first}/similar"),
            ("get", "/api/v1/search?q=red"),
            ("delete", f"/api/v1/uploads/{first}"),
            ("post", f"/api/v1/uploads/{first}/classifications"),
        ):
            with self.subTest(path=path):
                body = {"data": {"candidate_labels": ["a", "b"]}, "content_type": "application/json"}
                answer = getattr(self.client_class(), method)(path, **(body if method == "post" else {}))
                self.assertEqual(answer.status_code, 401)
