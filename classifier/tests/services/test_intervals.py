"""The interval of a share, by what it is defined as."""

import numpy as np
from django.test import SimpleTestCase

from classifier.services.intervals import wilson


class IntervalTests(SimpleTestCase):
    def test_the_interval_is_wilsons(self):
        for share in wilson(55, 100):  # the shares of which 55 of 100 is just 1.96 standard errors away
            self.assertAlmostEqual(abs(0.55 - share) / np.sqrt(share * (1 - share) / 100), 1.959964, places=5)
        self.assertEqual(wilson(0, 0), (0, 1))
        self.assertAlmostEqual(wilson(10, 10)[1], 1)
