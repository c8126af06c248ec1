from django.db import migrations

import classifier.words


def unindex_words(apps, schema_editor):
    """The one that migration 0002 made on PostgreSQL alone, and that Django knew nothing of."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX upload_words")


def reindex_words(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        vector = classifier.words.VECTOR.format(column="words")
        schema_editor.execute(f"CREATE INDEX upload_words ON classifier_upload USING gin ({vector})")


class Migration(migrations.Migration):
    dependencies = [
        ("classifier", "0004_search"),
    ]

    operations = [
        migrations.RunPython(unindex_words, reindex_words),
        migrations.AddIndex(
            model_name="upload",
            index=classifier.words.WordsIndex(fields=["words"], name="upload_words_begin"),
        ),
    ]
