"""Who may read, list and delete through the REST API: keys, secrets, sessions, staff."""

import io

from django.contrib.auth import get_user_model
from django.test import Client

from classifier.models import ApiKey, LabelSet, Upload
from classifier.services.keys import KEY_PREFIX, SECRET_PREFIX
from classifier.tests.api.calls import UPLOADS, ApiTestCase, bearer, issue, photo
from classifier.tests.people import staff

SETS = "/api/v1/label-sets"


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
        self.client.force_login(staff("view_upload", "delete_upload"))
        self.assertEqual(self.client.get(UPLOADS).json()["items"], [])
        self.assertEqual(self.client.get(UPLOADS, {"all": "true"}).json()["items"][0]["id"], created["id"])
        self.assertEqual(self.client.delete(f"{UPLOADS}/{created['id']}").status_code, 204)

    def test_staff_may_what_their_permissions_say(self):
        created, path = self.create(), f"{UPLOADS}/"
        own = {"candidate_labels": ["red", "blue"]}
        self.client.force_login(staff(name="nobody"))
        answers = (
            self.client.get(UPLOADS, {"all": "true"}),
            self.client.get("/api/v1/search", {"all": "true", "q": "red"}),
            self.client.delete(path + created["id"]),
            self.client.post(f"{path}{created['id']}/classifications", own, content_type="application/json"),
        )
        for answer in answers:
            self.assertProblem(answer, 403, "forbidden")
        body = {"name": "Colours", "labels": ["red", "blue"]}
        self.assertProblem(self.client.post(SETS, body, content_type="application/json"), 401, "unauthorized")
        self.assertEqual(self.client.post(f"/uploads/{created['id']}/delete").status_code, 403)
        self.assertEqual(self.client.post(f"/uploads/{created['id']}/feedback", {"none": "1"}).status_code, 403)
        self.client.force_login(staff("view_upload", name="viewer"))
        self.assertEqual(self.client.get(UPLOADS, {"all": "true"}).status_code, 200)
        self.assertProblem(self.client.delete(path + created["id"]), 403, "forbidden")
        self.client.force_login(staff("add_labelset", name="editor"))
        self.assertEqual(self.client.post(SETS, body, content_type="application/json").status_code, 201)
        self.assertEqual(self.client.delete(f"{SETS}/{LabelSet.objects.get().pk}").status_code, 401)

    def test_others_do_not(self):
        self.client.force_login(get_user_model().objects.create_user("visitor"))
        self.assertProblem(self.client.get(UPLOADS, {"all": "true"}), 403, "forbidden")
