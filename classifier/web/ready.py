"""What the script asks before it sends pictures."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from classifier.errors import ClassifierError, LabelError
from classifier.http.owners import owner_promise
from classifier.http.problems import problem_body, told
from classifier.services import engines
from classifier.web.label_forms import LabelsForm


@require_POST
def upload_ready(request: HttpRequest) -> JsonResponse:
    """Makes a newcomer known, and says what would be wrong with every picture: the labels, or that there is no model.

    Always 200: a browser's console has no place for an answer that is as expected.
    """
    form = LabelsForm(request.POST)
    error: ClassifierError | None = None
    if not form.is_valid():
        error = LabelError(next(iter(form.errors.values()))[0])
    else:
        try:
            engines.engine_get()
        except ClassifierError as raised:
            error = raised
    problem = None if error is None else problem_body(error.status, error.code, told(error))
    response = JsonResponse({"problem": problem})
    owner_promise(request, response)
    return response
