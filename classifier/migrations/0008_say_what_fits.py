from django.db import migrations, models
from django.db.models import Case, OuterRef, Q, Subquery, Value, When


def judge(apps, schema_editor):
    """Fill the new field of what is stored already, by the rule of services/fit.py as it was then."""
    Upload = apps.get_model("classifier", "Upload")
    Prediction = apps.get_model("classifier", "Prediction")
    best = Prediction.objects.filter(classification=OuterRef("latest"), rank=1).values("similarity")[:1]
    done = Upload.objects.filter(status="done", top_score__isnull=False).alias(cosine=Subquery(best))
    judged_by_cosine = Q(model="ViT-B/32", cosine__isnull=False)
    fits = Case(
        When(judged_by_cosine & Q(cosine__gte=0.25), then=Value(True)),
        When(judged_by_cosine & Q(cosine__lt=0.20), then=Value(False)),
        When(top_score__gte=0.20, then=Value(True)),
        default=Value(False),
    )
    done.update(fits=fits)


class Migration(migrations.Migration):
    dependencies = [
        ("classifier", "0007_occlusion"),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="fits",
            field=models.BooleanField(
                blank=True,
                editable=False,
                help_text="Whether the top label means something; empty until a run is done",
                null=True,
            ),
        ),
        migrations.RunPython(judge, migrations.RunPython.noop),
    ]
