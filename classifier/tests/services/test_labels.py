"""Labels and templates as people give them."""

from django.test import SimpleTestCase

from classifier.errors import LabelError
from classifier.services import labels


class LabelsForOnePictureTests(SimpleTestCase):
    def test_commas_and_line_breaks_separate(self):
        for text in ("cat, dog,bird", "cat\ndog\r\nbird\n", "\n cat,\ndog,\n bird,", "cat, dog\nbird"):
            with self.subTest(text=text):
                self.assertEqual(labels.labels_from_text(text), ("cat", "dog", "bird"))

    def test_underscores_become_spaces_in_typed_labels(self):
        self.assertEqual(labels.labels_from_text("aquarium_fish, cat"), ("aquarium fish", "cat"))

    def test_a_programs_labels_stay_as_they_were_written(self):
        self.assertEqual(
            labels.labels_from_list(["a cat, asleep", "aquarium_fish"]), ("a cat, asleep", "aquarium_fish")
        )

    def test_one_label_is_too_few_and_101_are_too_many(self):
        with self.assertRaisesMessage(LabelError, "Give 2 to 100 labels; there are 1."):
            labels.labels_from_text("cat")
        with self.assertRaisesMessage(LabelError, "Give 2 to 100 labels; there are 0."):
            labels.labels_from_text(" \n ")
        with self.assertRaisesMessage(LabelError, "Give 2 to 100 labels; there are 101."):
            labels.labels_from_list([f"label {n}" for n in range(101)])

    def test_a_blank_label_is_told(self):
        with self.assertRaisesMessage(LabelError, "Label 2 is blank."):
            labels.labels_from_text("cat,,dog")

    def test_labels_that_are_the_same_to_clip_are_told(self):
        with self.assertRaisesMessage(LabelError, "Label 3 (“A  CAT”) repeats label 1."):
            labels.labels_from_list(["a cat", "dog", "A  CAT"])

    def test_labels_that_clips_own_cleaning_makes_the_same_are_told(self):
        for one, other in (
            ("potter’s wheel", "potter's wheel"),
            ("cats &amp; dogs", "cats & dogs"),
            ("&amp;lt;b", "<b"),
            ("crème", "cre\u0300me"),
            ("ﬁsh", "fish"),
            ("ＣＡＴ", "cat"),
            ("a\u00a0cat", "a cat"),
        ):
            with (
                self.subTest(one),
                self.assertRaisesMessage(LabelError, f"Label 3 (“{other}”) repeats label 1."),
            ):
                labels.labels_from_list([one, "dog", other])
        self.assertEqual(len(labels.labels_from_list(["crème", "creme", "potter's", "potters"])), 4)

    def test_templates_that_clip_reads_alike_are_told(self):
        with self.assertRaisesMessage(LabelError, "repeats template 1."):
            labels.templates_from_text("a potter’s {}\na potter's {}")

    def test_a_label_of_which_cleaning_leaves_nothing_is_blank(self):
        for blank in ("&nbsp;", "\u00a0", "&#32;"):
            with self.subTest(blank), self.assertRaisesMessage(LabelError, "Label 2 is blank."):
                labels.labels_from_list(["cat", blank])

    def test_a_label_that_is_too_long_is_told(self):
        with self.assertRaisesMessage(LabelError, "has 201 characters; 200 are the most."):
            labels.labels_from_text("cat," + "x" * 201)

    def test_a_control_character_is_told(self):
        with self.assertRaisesMessage(LabelError, "Label 2 has a control character."):
            labels.labels_from_list(["cat", "d\x00g"])


class LabelsOfASetTests(SimpleTestCase):
    def test_one_label_per_line_keeps_its_commas(self):
        self.assertEqual(
            labels.set_labels_from_text("tench, Tinca tinca\ngoldfish\n"), ("tench, Tinca tinca", "goldfish")
        )

    def test_a_single_line_is_separated_at_commas(self):
        self.assertEqual(labels.set_labels_from_text("apple, bear, bee"), ("apple", "bear", "bee"))

    def test_cifar_names_lose_their_underscores(self):
        self.assertEqual(labels.set_labels_from_text("apple\naquarium_fish\n"), ("apple", "aquarium fish"))

    def test_the_lines_of_places_365_are_understood(self):
        text = "/a/airfield 0\n/a/apartment_building/outdoor 8\n"
        self.assertEqual(labels.set_labels_from_text(text), ("airfield", "apartment building, outdoor"))

    def test_five_thousand_labels_are_the_most(self):
        lines = [f"label {n}" for n in range(5001)]
        self.assertEqual(len(labels.set_labels_from_text("\n".join(lines[:-1]))), 5000)
        with self.assertRaisesMessage(LabelError, "Give 2 to 5,000 labels; there are 5,001."):
            labels.set_labels_from_text("\n".join(lines))

    def test_the_first_few_problems_are_told_with_their_place_and_the_rest_counted(self):
        with self.assertRaises(LabelError) as caught:
            labels.set_labels_from_text("cat\n\n\ndog\n\ncat\ndog\nbird")
        self.assertEqual(
            str(caught.exception),
            "Label 2 is blank. Label 3 is blank. Label 5 is blank. Label 6 (“cat”) repeats label 1. And 1 more.",
        )

    def test_a_file_is_read_with_or_without_a_byte_order_mark(self):
        for data in ("Käse\ncat".encode(), "Käse\ncat".encode("utf-8-sig")):
            self.assertEqual(labels.set_labels_from_text(labels.text_from_bytes(data)), ("Käse", "cat"))

    def test_a_file_that_is_no_text_is_told(self):
        with self.assertRaisesMessage(LabelError, "The list is not UTF-8 text."):
            labels.text_from_bytes(b"\x89PNG\xff")
        with self.assertRaisesMessage(LabelError, "The list is 3.0 MB; the limit is 2 MB."):
            labels.text_from_bytes(b"x" * 3_000_000)

    def test_a_name_is_tidied_and_checked(self):
        self.assertEqual(labels.name_check("  CIFAR   100 "), "CIFAR 100")
        for name in ("", "x" * 61, "ImageNet", "custom", "a\x00b"):
            with self.subTest(name=name), self.assertRaises(LabelError):
                labels.name_check(name)


class TemplateTests(SimpleTestCase):
    def test_without_a_template_hugging_faces_is_used(self):
        self.assertEqual(labels.templates_from_text(" \n"), ("This is a photo of {}.",))

    def test_there_is_one_template_per_line(self):
        self.assertEqual(labels.templates_from_text("a {}.\n art of {}\n"), ("a {}.", "art of {}"))

    def test_a_template_without_a_place_for_the_label_is_told(self):
        with self.assertRaisesMessage(LabelError, "Template 2 (“a photo”) has no {}, where the label goes."):
            labels.templates_from_text("a {}\na photo")

    def test_blank_long_repeated_and_too_many_templates_are_told(self):
        for text in ("a {}\n\nb {}", "{}" + "x" * 200, "a {}\nA {}", "\n".join(f"{n} {{}}" for n in range(101))):
            with self.subTest(text=text[:20]), self.assertRaises(LabelError):
                labels.templates_from_text(text)

    def test_other_braces_in_a_template_are_text(self):
        self.assertEqual(labels.prompt("{x} {} {0.__class__}", "{y}"), "{x} {y} {0.__class__}")
