"""Label sets that are changed and deleted while they are used: what is answered was true at one moment."""

from django.test import Client

from classifier.errors import Gone, LabelError, LabelSetNotReady
from classifier.models import Classification, LabelHead, LabelSet, Upload
from classifier.services import heads, label_sets, uploads
from classifier.tests.api.calls import bearer, issue
from classifier.tests.concurrency import ConcurrencyTestCase, after_query, together
from classifier.tests.services.test_search import coloured

SETS = "/api/v1/label-sets"
BEFORE, AFTER = ("red", "green", "blue"), ("blue", "white", "red")
TEMPLATES = ("a photo of {}.",)


class ChangingTestCase(ConcurrencyTestCase):
    def setUp(self):
        super().setUp()
        self.api_key, token = issue()
        self.headers = bearer(token)
        self.label_set = label_sets.label_set_create(
            name="Colours", labels=BEFORE, templates=TEMPLATES, api_key=self.api_key
        )

    def edit(self, labels=AFTER):
        label_set = LabelSet.objects.get(pk=self.label_set.pk)
        return label_sets.label_set_update(label_set=label_set, name="Colours", labels=labels, templates=TEMPLATES)

    def delete(self):
        label_sets.label_set_delete(label_set=LabelSet.objects.get(pk=self.label_set.pk))


class EditTests(ChangingTestCase):
    """The wrong label for a picture is what comes of old vectors with new labels."""

    def rank(self, upload):
        run = uploads.upload_relabel(upload=upload, choice=label_sets.choice_make(label_set="Colours"))
        return [prediction.label for prediction in run.predictions.all()]

    def test_labels_and_vectors_are_of_one_moment(self):
        upload = coloured("red")
        with after_query("SELECT", '"classifier_labelhead"', do=self.edit):
            self.assertEqual(self.rank(upload)[0], "red")
        heads_ = heads._cache.values()
        self.assertTrue(heads_)
        for head in heads_:
            for label, row in zip(head.labels, head.weights, strict=True):
                self.assertGreater(row @ self.engine.embed([label])[0], 0.999)

    def test_the_run_says_what_it_was_ranked_with(self):
        upload = coloured("red")
        other = ("art of {}",)
        edit = lambda: label_sets.label_set_update(  # noqa: E731
            label_set=LabelSet.objects.get(), name="Paints", labels=AFTER, templates=other
        )
        choice = label_sets.choice_make(label_set="Colours")
        edit()
        run = uploads.upload_relabel(upload=upload, choice=choice)
        self.assertEqual((run.label_set, run.templates), ("Paints", other[0]))
        self.assertEqual({each.label for each in run.predictions.all()}, set(AFTER))

    def test_pictures_that_come_while_it_is_edited(self):
        shown = {colour: coloured(colour) for colour in ("red", "blue")}
        ended, wrong, right = [], [], []

        def edits():
            for number in range(30):
                self.edit((AFTER, BEFORE)[number % 2])
            ended.append(True)

        def ranks():
            while not ended:
                for colour, upload in shown.items():
                    try:
                        found = self.rank(upload)
                    except LabelSetNotReady:
                        continue
                    (right if found[0] == colour and set(found) in (set(BEFORE), set(AFTER)) else wrong).append(found)

        self.assertEqual(together(edits, ranks, ranks, ranks), [None] * 4)
        self.assertEqual(wrong, [])
        self.assertGreater(len(right), 10)

    def test_the_last_edit_wins_and_is_computed(self):
        """Two save different labels at once: the head that is left fits the labels that are left."""
        for _ in range(10):
            together(lambda: self.edit(AFTER), lambda: self.edit(BEFORE))
            self.assertEqual(label_sets.label_set_entry(self.label_set.pk).state, "ready")
            self.assertEqual(LabelHead.objects.get().digest, LabelSet.objects.get().digest)

    def test_what_is_read_of_a_set_is_of_one_moment(self):
        with after_query("SELECT", '"classifier_labelset"."labels"', do=self.edit):
            found = self.client.get(f"{SETS}/{self.label_set.pk}").json()
        self.assertEqual((tuple(found["labels"]), found["state"]), (BEFORE, "waiting"))


class DeleteTests(ChangingTestCase):
    def put(self, labels=AFTER):
        client = Client(headers=self.headers, raise_request_exception=False)
        body = {"name": self.label_set.name, "labels": labels}
        return client.put(f"{SETS}/{self.label_set.pk}", body, content_type="application/json").status_code

    def remove(self):
        client = Client(headers=self.headers, raise_request_exception=False)
        return client.delete(f"{SETS}/{self.label_set.pk}").status_code

    def test_a_deleted_set_does_not_come_back(self):
        with after_query("SELECT", '"classifier_labelset"', do=self.delete):
            self.assertEqual(self.put(), 404)
        self.assertFalse(LabelSet.objects.exists())

    def test_a_set_deleted_while_its_head_is_claimed(self):
        with after_query("SELECT", '"classifier_labelhead"', do=self.delete):
            self.assertIn(self.put(), (200, 404))
        self.assertEqual((LabelSet.objects.count(), LabelHead.objects.count()), (0, 0))

    def test_puts_and_deletes_at_once(self):
        for _ in range(8):
            self.label_set = label_sets.label_set_create(
                name="Others", labels=BEFORE, templates=TEMPLATES, api_key=self.api_key
            )
            puts = [lambda labels=labels: self.put(labels) for labels in (AFTER, BEFORE, AFTER)]
            found = together(*puts, self.remove, self.remove)
            self.assertLessEqual(set(found[:3]), {200, 404}, found)
            self.assertIn(sorted(found[3:]), ([204, 204], [204, 404]))
            self.assertFalse(LabelSet.objects.filter(pk=self.label_set.pk).exists())
            self.assertEqual(LabelSet.objects.count(), 1, "what was deleted has come back")

    def test_a_set_deleted_while_a_picture_is_ranked_keeps_the_run(self):
        upload = coloured("red")
        choice = label_sets.choice_make(label_set="Colours")
        with after_query("SELECT", '"classifier_labelhead"."vectors"', do=self.delete):
            run = uploads.upload_relabel(upload=upload, choice=choice)
        run = Classification.objects.get(pk=run.pk)
        self.assertEqual((run.status, run.label_set, run.saved_set), ("done", "Colours", None))

    def test_a_set_deleted_while_its_run_is_stored(self):
        upload = coloured("red")
        choice = label_sets.choice_make(label_set="Colours")
        with after_query("INSERT INTO", "classifier_classification", do=self.delete):
            run = uploads.upload_relabel(upload=upload, choice=choice)
        self.assertIsNone(Classification.objects.get(pk=run.pk).saved_set)
        self.assertFalse(LabelSet.objects.exists())

    def test_whoever_names_a_set_that_is_gone_is_told(self):
        upload = coloured("red")
        choice = label_sets.choice_make(label_set="Colours")
        stale = LabelSet.objects.get()
        self.delete()
        with self.assertRaisesMessage(LabelError, "There is no label set named “Colours” any more."):
            uploads.upload_relabel(upload=upload, choice=choice)
        with self.assertRaises(Gone):
            label_sets.label_set_update(label_set=stale, name="Colours", labels=AFTER, templates=TEMPLATES)
        self.assertEqual(label_sets.heads_compute(self.engine), None)
        self.assertIsNone(heads.head_claim(self.engine, stale))

    def test_a_set_and_its_pictures_deleted_at_once(self):
        for _ in range(6):
            for _ in range(10):
                self.rank(coloured("red"))
            results = together(self.delete, lambda: uploads.uploads_delete(uploads=Upload.objects.all()))
            self.assertEqual(results, [None, 10])
            self.label_set = label_sets.label_set_create(name="Colours", labels=BEFORE, templates=TEMPLATES)

    def rank(self, upload):
        uploads.upload_relabel(upload=upload, choice=label_sets.choice_make(label_set="Colours"))
