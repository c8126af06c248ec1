from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("classifier", "0008_say_what_fits"),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="image_small",
            field=models.BinaryField(
                editable=False,
                help_text="WebP, longest side at most 256 pixels; made when it is first asked for",
                null=True,
            ),
        ),
    ]
