"""What is for people: the page at ``/``, on ``POST /v1/faces``, and Swagger UI at ``/docs``."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.routing import Route

from splitfer.cloud_server.admission.turns import Turns
from splitfer.cloud_server.rest_api.files import FROM_HERE, TYPES, file_route

# `blob:` is the picture that was dropped. `page.js` puts text into the page as text only, to which
# Trusted Types hold it.
_POLICY = "; ".join((*FROM_HERE, "img-src 'self' blob:", "require-trusted-types-for 'script'"))
# Swagger UI's style sheet holds its pictures, and it makes elements from text.
_SWAGGER_POLICY = "; ".join((*FROM_HERE, "img-src 'self' data:"))
# The example is NASA's portrait of Eileen Collins, in the public domain.
_OURS = (
    "index.html", "docs.html", "page.css", "docs.js", "page.js", "api.js", "camera.js", "memory.js",
    "view.js", "icon.svg", "example.jpg",
)  # fmt: skip
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
_PATHS = {"index.html": "/", "docs.html": "/docs"}


def page_routes(turns: Turns) -> list[Route]:
    """The pages and what they load; each file is read once, now."""
    ours, swagger = (
        files("splitfer.cloud_server.rest_api") / "page",
        files("fastapi_swagger") / "resources",
    )
    found = [ours / name for name in _OURS] + [swagger / name for name in _SWAGGER]
    return [_route(_PATHS.get(file.name, f"/page/{file.name}"), file, turns) for file in found]


def _route(path: str, file: Traversable, turns: Turns) -> Route:
    policy = _SWAGGER_POLICY if path == "/docs" else _POLICY
    kind = TYPES[file.name[file.name.rindex(".") :]]
    return file_route(path, file.read_bytes(), kind, policy, turns)
