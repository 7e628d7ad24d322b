"""The lake API over a real PostgreSQL and a real lake, asked through ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from des_platform.catalog import api_keys
from des_platform.lake.tables import Lake
from des_platform.services.lake_api.app import create_app
from des_platform.services.lake_api.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from des_platform_tests.platform import Platform


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(Context(platform.catalog, lambda: Lake(platform.settings)))


@pytest.fixture
def key(platform: Platform) -> Callable[..., str]:
    """Makes a key with the scopes that it is given."""

    def make(*scopes: str) -> str:
        with platform.catalog.begin() as connection:
            return api_keys.create(connection, "-".join(scopes).replace(":", "_"), scopes)

    return make


@pytest.fixture
def client(app: FastAPI, key: Callable[..., str]) -> Iterator[TestClient]:
    """A client that may do anything."""
    with TestClient(app, headers={"Authorization": f"Bearer {key('lake:admin')}"}) as opened:
        yield opened
