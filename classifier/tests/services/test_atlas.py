"""The map: alike pictures lie together, near-duplicates are found, and it is computed only when something changed."""

from unittest import mock

import numpy as np
from django.test import TestCase
from PIL import Image

from classifier.errors import TextUnsupported
from classifier.models import Upload
from classifier.services import atlas, uploads
from classifier.services.atlas import atlas_obtain, groups_of, places_of
from classifier.tests import colour_engine
from classifier.tests.colour_engine import ColourEngine
from classifier.tests.services.test_uploads import png_of


class GeometryTests(TestCase):
    def test_two_clusters_lie_apart_along_the_first_axis(self):
        chance = np.random.default_rng(0)
        centres = np.eye(16, dtype=np.float32)[[3, 9]]
        rows = np.concatenate([c + 0.05 * chance.standard_normal((40, 16), np.float32) for c in centres])
        places = places_of(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        self.assertEqual((places.min(), places.max()), (0, 1))
        gap = abs(places[:40, 0].mean() - places[40:, 0].mean())
        self.assertGreater(gap, 0.7)
        self.assertLess(max(places[:40, 0].std(), places[40:, 0].std()), 0.1)

    def test_one_picture_and_equal_ones_have_a_place(self):
        for count in (1, 3):
            self.assertTrue(np.isfinite(places_of(np.ones((count, 8), np.float32))).all())

    def test_groups_are_transitive_and_cross_the_pieces(self):
        angles = np.radians([0, 90, 7, 91, 180, 14])  # 7 degrees: cosine 0.9925; 14: 0.970
        rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        for piece in (1, 2, 500):
            with mock.patch.object(atlas, "ROWS_AT_A_TIME", piece):
                self.assertEqual(groups_of(rows), [[0, 2, 5], [1, 3]])


class AtlasTests(TestCase):
    def setUp(self):
        self.enterContext(colour_engine.serve(ColourEngine()))

    def make(self, colour, owner="me", size=(60, 40)):
        picture = Image.new("RGB", size, colour)
        return uploads.upload_create(file=png_of(picture), name=f"{colour}.png", owner=owner)

    def test_ones_own_pictures_and_those_that_are_the_same(self):
        red, _, again = self.make("red"), self.make("blue"), self.make("red", size=(90, 90))
        self.make("red", owner="somebody else")
        found = atlas_obtain(owner="me")
        self.assertEqual(
            {point.upload for point in found.points}, set(Upload.objects.of_owner("me").values_list("pk", flat=True))
        )
        self.assertEqual([set(group) for group in found.groups], [{red.pk, again.pk}])
        self.assertEqual(found.left_out, 0)
        self.assertEqual(atlas_obtain(owner="nobody").points, [])

    def test_what_is_nobodys_is_on_no_map(self):
        """What programs send without a key has an empty owner, and so has whoever comes for the first time."""
        self.make("red", owner="")
        self.assertEqual(atlas_obtain(owner="").points, [])

    def test_it_is_kept_until_pictures_come_or_go(self):
        first = self.make("red")
        with mock.patch.object(atlas, "_content", wraps=atlas._content) as computed:
            atlas_obtain(owner="me")
            atlas_obtain(owner="me")
            self.assertEqual(computed.call_count, 1)
            self.make("blue")
            self.assertEqual(len(atlas_obtain(owner="me").points), 2)
            uploads.upload_delete(upload=first)
            self.assertEqual(len(atlas_obtain(owner="me").points), 1)
            self.assertEqual(computed.call_count, 3)

    def test_the_newest_where_there_are_too_many(self):
        for colour in ("red", "green", "blue"):
            newest = self.make(colour)
        with mock.patch.object(atlas, "MOST", 2):
            found = atlas_obtain(owner="me")
        self.assertEqual((len(found.points), found.left_out, found.points[0].upload), (2, 1, newest.pk))

    def test_the_stand_in_has_none(self):
        with mock.patch.object(ColourEngine, "info", mock.Mock(standin=True), create=True):
            engine = ColourEngine()
            engine.info = mock.Mock(standin=True)
            with colour_engine.serve(engine), self.assertRaises(TextUnsupported):
                atlas_obtain(owner="me")
