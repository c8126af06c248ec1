"""How much memory there is, what a model leaves of it, and what is said where it is not enough."""

import tempfile
from pathlib import Path
from unittest import mock

from django.test import SimpleTestCase

from classifier.capacity import limits
from classifier.capacity.container import LEAST, MOST, SERVER, cgroup_limit, memory_left, memory_limit, shortage
from classifier.capacity.room import Room
from classifier.engine.checkpoint import VitShape
from classifier.engine.footprint import least_image_memory

TEXT = {"context_length": 77, "vocab_size": 49408, "text_layers": 12}
B_32 = VitShape(embed_dim=512, resolution=224, layers=12, width=768, patch=32, text_width=512, **TEXT)
L_14 = VitShape(embed_dim=768, resolution=224, layers=24, width=1024, patch=14, text_width=768, **TEXT)


class CgroupTests(SimpleTestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root, self.own = Path(directory.name) / "cgroup", Path(directory.name) / "own"

    def write(self, place, text):
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_version_2_counts_the_least_of_its_own_and_those_above(self):
        self.own.write_text("0::/app/web\n")
        self.write("app/web/memory.max", "max\n")
        self.assertIsNone(cgroup_limit(self.root, self.own))
        self.write("app/memory.max", "512000000\n")
        self.write("memory.max", "9000000000\n")
        self.assertEqual(cgroup_limit(self.root, self.own), 512_000_000)

    def test_version_1_has_the_memory_controller_apart(self):
        self.own.write_text("5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n")
        self.write("memory/memory.limit_in_bytes", "536870912\n")  # the container sees its own at the root
        self.assertEqual(cgroup_limit(self.root, self.own), 536_870_912)
        self.write("memory/memory.limit_in_bytes", "9223372036854771712\n")  # none
        self.assertIsNone(cgroup_limit(self.root, self.own))

    def test_no_cgroups_no_limit(self):
        self.assertIsNone(cgroup_limit(self.root, self.own))

    def test_the_lower_of_stated_and_found_counts(self):
        with mock.patch("classifier.capacity.container.cgroup_limit") as found:
            for stated, limit, expected in ((5, 7, 5), (7, 5, 5), (None, 5, 5), (5, None, 5), (None, None, None)):
                found.return_value = limit
                self.assertEqual(memory_limit(stated), expected)


class ShareTests(SimpleTestCase):
    def setUp(self):
        self.addCleanup(limits.decode_memory_set, MOST)

    def test_what_the_model_leaves_is_for_pictures(self):
        self.assertEqual(memory_left(None, 10**12), MOST)
        self.assertEqual(memory_left(10**12, 0), MOST)
        self.assertEqual(memory_left(512_000_000, 178_000_000), 512_000_000 - SERVER - 178_000_000)

    def test_picture_limits_shrink_with_it_and_pages_say_so(self):
        limits.decode_memory_set(MOST // 3)
        self.assertEqual(limits.pixel_limits(50_000_000)["PNG"], 10_000_000)
        self.assertEqual(limits.pixel_limits(50_000_000)["JPEG"], 50_000_000)
        self.assertEqual(limits.smaller_limits(50_000_000), "10 as PNG or BMP, 5.3 as TIFF, 4 as WebP or AVIF")
        limits.decode_memory_set(1)
        self.assertEqual(limits.decode_memory(), LEAST)

    def test_a_room_made_smaller_lets_nobody_in_until_enough_came_back(self):
        room = Room(100, timeout=0.01)
        with room.take(90):
            room.resize(40)
            self.assertEqual(room._left, -50)
        with room.take(100):  # all that there is
            self.assertEqual(room._left, 0)
        self.assertEqual((room._left, room.size), (40, 40))

    def test_a_large_model_is_refused_with_what_it_needs_and_where_it_fits(self):
        said = shortage("ViT-L/14", 512_000_000, least_image_memory(L_14, 3))
        self.assertRegex(said, r"^ViT-L/14 needs \d{3} MB to be served and there are 512: it fits a standard-2x dyno")
        self.assertIn("MEMORY_MB", said)
        self.assertEqual(shortage("ViT-L/14", 1_024_000_000, least_image_memory(L_14, 3)), "")
        self.assertEqual(shortage("ViT-L/14", None, least_image_memory(L_14, 3)), "")
        self.assertEqual(shortage("ViT-B/32", 512_000_000, least_image_memory(B_32, 3)), "")
