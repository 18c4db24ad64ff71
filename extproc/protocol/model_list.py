"""`GET /v1/models`: what clients may ask for here, in the shape of OpenAI's list. It is answered here and never forwarded.

An instance would list its own model alone, and under none of the gateway's aliases.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from extproc.errors import ModelNotFoundError
from extproc.facts.json_body import JsonObject
from extproc.fleet.topology import Fleet
from extproc.protocol import names
from extproc.protocol.events import RequestReady

_OWNER: Final = "ttca-router"


def is_model_list(request: RequestReady) -> bool:
    """Tell whether the request asks which models there are, or about one of them."""
    path = request.path.partition("?")[0]
    return request.method == "GET" and (
        path.rstrip("/") == names.MODELS_PATH or path.startswith(f"{names.MODELS_PATH}/")
    )


def model_list(request: RequestReady, fleet: Fleet, *, created_unix_seconds: int) -> JsonObject:
    """Answer such a request: the models in the order of the fleet file, then the aliases; or the one that its path names.

    `max_model_len` is vLLM's field: the most tokens of one sequence, of an alias that of its largest model.

    Raises:
        ModelNotFoundError: There is neither a model nor an alias of that name.
    """
    wanted = unquote(request.path.partition("?")[0][len(names.MODELS_PATH) :].strip("/"))
    entries = {
        name: {
            "id": name,
            "object": "model",
            "created": created_unix_seconds,
            "owned_by": _OWNER,
            "max_model_len": most,
        }
        for name, most in _offered(fleet).items()
    }
    if not wanted:
        return {"object": "list", "data": list(entries.values())}
    found = entries.get(wanted)
    if found is None:
        raise ModelNotFoundError(
            f"The model `{wanted[:200]}` does not exist. Known here: {', '.join(sorted(entries))}.",
            reason="model-not-found",
            param="model",
        )
    return found


def _offered(fleet: Fleet) -> dict[str, int]:
    """The context length by name of everything that can be asked for."""
    models: dict[str, int] = {}
    for cluster in fleet.clusters:
        models[cluster.model] = max(cluster.max_model_len, models.get(cluster.model, 0))
    aliases = {
        alias: max((models[model] for model in meant if model in models), default=0)
        for alias, meant in fleet.aliases.items()
    }
    return models | {alias: most for alias, most in aliases.items() if most and alias not in models}
