"""`POST /v1/feedback`: a client's own verdict on an answer of its session. It is answered here and never forwarded."""

from __future__ import annotations

from extproc.errors import BadRequestError
from extproc.facts.fields import invalid_field, missing_field, read_int
from extproc.facts.json_body import read_object
from extproc.protocol import names
from extproc.protocol.client_headers import MAX_CHARACTERS
from extproc.protocol.events import RequestReady

_MOST_ATTEMPTS = 1_000_000


def is_feedback(request: RequestReady) -> bool:
    """Tell whether the request is for this endpoint, whatever its method."""
    path = request.path
    return path.startswith(names.FEEDBACK_PATH) and path.partition("?")[0].rstrip("/") == names.FEEDBACK_PATH


def read_feedback(request: RequestReady) -> tuple[str, int | None, bool]:
    """Read `{"session": …, "attempt": …, "correct": …}`: session, number of the attempt or None, and the verdict.

    Raises:
        BadRequestError: Another method, or a body that cannot be understood.
        BodyTooLargeError: The body holds too many arrays and objects.
    """
    if request.method != "POST":
        raise BadRequestError(
            f"`{names.FEEDBACK_PATH}` takes POST, got {request.method[:20]}.", reason="wrong-method"
        )
    document = read_object(request.body)
    session = document.get("session")
    if session is None:
        raise missing_field("session", f"the name sent as `{names.SESSION}`")
    if type(session) is not str or not 0 < len(session) <= MAX_CHARACTERS:
        raise invalid_field("session", f"a string of 1 to {MAX_CHARACTERS} characters", session)
    correct = document.get("correct")
    if correct is None:
        raise missing_field("correct", "true or false")
    if type(correct) is not bool:
        raise invalid_field("correct", "true or false", correct)
    return session, read_int(document, "attempt", minimum=1, maximum=_MOST_ATTEMPTS), correct
