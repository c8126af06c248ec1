"""The REST API's description of itself."""

import uuid

from classifier.services.keys import upload_secret
from classifier.tests.api.calls import UPLOADS, ZERO_SHOT, ApiTestCase


class DocsTests(ApiTestCase):
    def test_the_description_lists_every_operation(self):
        schema = self.client.get("/api/v1/openapi.json").json()
        operations = [f"{method} {path}" for path, methods in schema["paths"].items() for method in methods]
        self.assertEqual(
            sorted(operations),
            [
                "delete /api/v1/batches/{batch_id}",
                "delete /api/v1/label-sets/{label_set_id}",
                "delete /api/v1/uploads/{upload_id}",
                "get /api/v1/batches/{batch_id}",
                "get /api/v1/batches/{batch_id}/results",
                "get /api/v1/label-sets",
                "get /api/v1/label-sets/{label_set_id}",
                "get /api/v1/search",
                "get /api/v1/uploads",
                "get /api/v1/uploads/{upload_id}",
                "get /api/v1/uploads/{upload_id}/classifications",
                "get /api/v1/uploads/{upload_id}/explanation",
                "get /api/v1/uploads/{upload_id}/similar",
                "post /api/v1/batches",
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
