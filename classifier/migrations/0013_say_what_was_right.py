from django.db import migrations, models

import classifier.words
from classifier.words import words_of


def repeat(apps, schema_editor):
    """Fill the new fields from what was said so far, all of it of ImageNet's labels."""
    for said in apps.get_model("classifier", "Feedback").objects.select_related("upload").defer("upload__image"):
        runs = said.upload.classifications.filter(label_set="imagenet", status="done", created__lte=said.created)
        run = runs.order_by("-created", "-id").first()
        top = run and run.predictions.filter(rank=1).first()
        if not top:
            continue
        said.predicted, said.label_set, said.model = top.label, run.label_set, run.model
        said.save(update_fields=["predicted", "label_set", "model"])
        upload = said.upload
        if upload.label_set == run.label_set and upload.top_label and (said.label or upload.top_label == top.label):
            upload.verdict = "right" if said.label == upload.top_label else "wrong"
            upload.right_label = said.label
            if upload.verdict == "wrong" and said.label:
                upload.words += words_of(said.label)
            upload.save(update_fields=["verdict", "right_label", "words"])


class Migration(migrations.Migration):
    dependencies = [
        ("classifier", "0012_label_examples"),
    ]

    operations = [
        migrations.AddField(
            model_name="feedback",
            name="label_set",
            field=models.CharField(blank=True, help_text="Its name", max_length=100),
        ),
        migrations.AddField(
            model_name="feedback",
            name="model",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name="feedback",
            name="predicted",
            field=models.CharField(blank=True, help_text="The top label of which it was said", max_length=255),
        ),
        migrations.AddField(
            model_name="upload",
            name="right_label",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, help_text="As its owner says", max_length=255
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="verdict",
            field=models.CharField(
                blank=True,
                choices=[("right", "right"), ("wrong", "wrong")],
                db_default="",
                default="",
                editable=False,
                help_text="What its owner says of the top label; empty where nothing was said of these labels",
                max_length=5,
            ),
        ),
        migrations.AlterField(
            model_name="feedback",
            name="label",
            field=models.CharField(blank=True, help_text="Empty: not the predicted one", max_length=255),
        ),
        migrations.AlterField(
            model_name="upload",
            name="words",
            field=classifier.words.WordsField(
                blank=True, editable=False, help_text="Of file name, top label and the right one, for the search"
            ),
        ),
        migrations.AddIndex(
            model_name="feedback",
            index=models.Index(fields=["-created", "-id"], name="feedback_newest"),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["verdict", "-created", "-id"], name="upload_verdict"),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["fits", "-created", "-id"], name="upload_fits"),
        ),
        migrations.RunPython(repeat, migrations.RunPython.noop),
    ]
