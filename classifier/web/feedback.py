"""Whether the top label was right, and which one is: over whatever labels ranked the picture."""

from collections.abc import Sequence

from classifier.engine.imagenet import imagenet_labels
from classifier.models import Classification, Prediction
from classifier.services.labels import IMAGENET
from classifier.web.forms import FeedbackForm

OTHERS = 10  # labels offered as a click
LISTED = 1000  # labels of a list to pick from; a longer one weighs more than its page


def labels_of_run(run: Classification, predictions: Sequence[Prediction]) -> Sequence[str]:
    """Those that one of can be right; of a set that was deleted since, those that it found."""
    if run.label_set == IMAGENET:
        return imagenet_labels()
    return run.saved_set.label_list if run.saved_set else [each.label for each in predictions]


def feedback_context(run: Classification, predictions: Sequence[Prediction], form: FeedbackForm | None = None) -> dict:
    """For whoever may say so, of a run that is done."""
    labels = labels_of_run(run, predictions)
    return {
        "feedback_form": form or FeedbackForm(labels=labels, top=predictions[0].label),
        "labels_number": len(labels),
        "labels": labels if len(labels) <= LISTED else [],
        "others": predictions[1 : OTHERS + 1],
        "learning_set": run.saved_set if run.saved_set and run.saved_set.learns else None,
    }
