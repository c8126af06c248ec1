"""Who made a label set, so that each program changes only its own."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("classifier", "0010_atlas")]

    operations = [
        migrations.AddField(
            model_name="labelset",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                help_text="The program that made it, and may change it",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="label_sets",
                to="classifier.apikey",
                verbose_name="API key",
            ),
        ),
    ]
