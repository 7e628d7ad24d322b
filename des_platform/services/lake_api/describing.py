"""The API's OpenAPI document: the framework's, made as exact as what the endpoints really take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from des_platform.services.lake_api import problems

if TYPE_CHECKING:
    from fastapi import FastAPI


def described(app: FastAPI) -> dict[str, Any]:
    """Return the document, made at the first call."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document["components"]["schemas"]
        schemas["Problem"] = problems.SCHEMA
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        _close(document)
        app.openapi_schema = document
    return app.openapi_schema


def _close(part: object) -> None:
    """Say of each object whose keys have a pattern that it has no other keys: the models refuse them."""
    if isinstance(part, dict):
        if "patternProperties" in part:
            part.setdefault("additionalProperties", False)
        for inner in part.values():
            _close(inner)
    elif isinstance(part, list):
        for inner in part:
            _close(inner)
