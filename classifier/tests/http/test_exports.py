"""What spreadsheets make of an export, whichever sign they separate by."""

import csv
import io

from django.test import SimpleTestCase, TestCase

from classifier.http.exports import cell_safe
from classifier.tests.test_models import make_upload

NAMES = (
    "a;=HYPERLINK(1).jpg",
    "=1+1",
    "x\t@SUM(1)",
    'a;"=1".jpg',
    "b; +1",
    "naïve – 猫.jpg",
    'he said "hi".jpg',
    "a-b.jpg",
)


class FormulaTests(TestCase):
    def setUp(self):
        session = self.client.session
        session["owner"] = "me"
        session.save()
        for name in NAMES:
            make_upload("me", name=name)
        self.bytes = self.client.get("/history/export.csv").getvalue()

    def test_no_cell_is_a_formula_whatever_separates_them(self):
        for delimiter in ",;\t|":
            for row in csv.reader(io.StringIO(self.bytes.decode("utf-8-sig"), newline=""), delimiter=delimiter):
                for cell in row:
                    self.assertNotIn(cell.lstrip(' "\xa0')[:1], tuple("=+@-"), (delimiter, cell))

    def test_excel_reads_it_as_utf_8(self):
        self.assertTrue(self.bytes.startswith(b"\xef\xbb\xbf"))

    def test_every_cell_is_quoted_and_plain_names_come_back_as_they_were(self):
        text = self.bytes.decode("utf-8-sig")
        self.assertTrue(all(line.startswith('"') and line.endswith('"') for line in text.split("\r\n") if line))
        names = {row["file"] for row in csv.DictReader(io.StringIO(text, newline=""))}
        self.assertLessEqual({"naïve – 猫.jpg", 'he said "hi".jpg', "a-b.jpg"}, names)


class CellTests(SimpleTestCase):
    def test_numbers_stay_numbers(self):
        self.assertEqual([cell_safe(-0.25), cell_safe(3)], [-0.25, 3])
