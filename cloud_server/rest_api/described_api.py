"""The application whose OpenAPI document says where a token is asked for."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_TOKEN = "token"
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "Where the server has tokens: one of them, of a scope that the route asks for.",
}
# Whether this server has tokens may change while it runs, and the document does not.
_SECURITY: list[dict[str, list[str]]] = [{_TOKEN: []}, {}]


class DescribedApi(FastAPI):
    """FastAPI; what may be answered with 401 is what takes a token."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["securitySchemes"] = {_TOKEN: _SCHEME}
            for path in document["paths"].values():
                for operation in path.values():
                    if "401" in operation["responses"]:
                        operation["security"] = _SECURITY
        assert self.openapi_schema is not None
        return self.openapi_schema
