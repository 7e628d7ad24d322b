"""Lists in pages: the body is a plain list, `X-Total-Count` says how many there are, `Link` leads to the next page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, Request, Response

from des_platform.services.lake_api.models import BIGGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")

MOST: Final = 1000
HEADERS: Final[dict[str, Any]] = {
    "X-Total-Count": {"description": "How many there are on all pages.", "schema": {"type": "integer", "minimum": 0}},
    "Link": {
        "description": "Where the next page is (rel=next), unless this is the last.",
        "schema": {"type": "string"},
    },
}
PAGED: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "One page.", "headers": HEADERS}}
"""The `responses` of an endpoint that answers with a page."""


class Page:
    """Which part of a list was asked for.

    Attributes:
        limit: most items on the page.
        offset: items before it.
    """

    def __init__(self, request: Request, response: Response, limit: int, offset: int) -> None:
        self.limit, self.offset = limit, offset
        self._request, self._response = request, response

    def of(self, items: Sequence[_T], total: int) -> list[_T]:
        """Tell the total and the next page in the response's headers, and return the items."""
        following = self.offset + len(items)
        self._response.headers["X-Total-Count"] = str(total)
        if items and following < total:
            url = self._request.url.include_query_params(limit=self.limit, offset=following)
            self._response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return list(items)


async def _asked(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    offset: Annotated[int, Query(ge=0, le=BIGGEST)] = 0,
) -> Page:
    return Page(request, response, limit, offset)


PageOf = Annotated[Page, Depends(_asked)]
"""An endpoint's argument of this type is the page that was asked for."""
