"""When a best label means something."""

from django.test import SimpleTestCase

from classifier.services.fit import fits_well


class FitTests(SimpleTestCase):
    def assert_fits(self, expected: bool, score: float, similarity: float | None, model: str = "ViT-B/32"):
        self.assertIs(fits_well(model=model, score=score, similarity=similarity), expected)

    def test_a_clear_match_fits(self):
        self.assert_fits(True, 0.9, 0.30)

    def test_a_match_whose_probability_is_shared_fits(self):
        self.assert_fits(True, 0.08, 0.28)

    def test_the_best_of_unrelated_labels_does_not_fit(self):
        self.assert_fits(False, 0.95, 0.17)

    def test_in_between_the_probability_decides(self):
        self.assert_fits(True, 0.5, 0.22)
        self.assert_fits(False, 0.1, 0.22)

    def test_other_models_are_judged_by_probability(self):
        self.assert_fits(True, 0.5, 0.17, model="RN50")
        self.assert_fits(False, 0.1, 0.17, model="RN50")
        self.assert_fits(False, 0.1, None, model="stand-in: EfficientNet-Lite0, not CLIP")
