from django.test import SimpleTestCase


class SmokeTests(SimpleTestCase):
    def test_settings_load(self):
        self.assertTrue(True)
