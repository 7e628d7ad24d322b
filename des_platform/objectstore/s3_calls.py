"""What obstore cannot ask of S3, asked through boto3: parts by number, conditions on a completion, checksums.

Retries and time-outs are the client's own; what goes wrong becomes one of the errors of `errors.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from des_platform.objectstore.errors import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEADERS = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
    "storage-class": "StorageClass",
}
_CHECKSUM = "x-amz-checksum-sha256"


class S3Calls:
    """Asks about the objects of one bucket.

    Args:
        bucket: the bucket's name.
        connect: gives the boto3 S3 client, made when it is first asked for.
    """

    def __init__(self, bucket: str, connect: Callable[[], Any]) -> None:
        self._bucket = bucket
        self._connect = connect

    def call(self, key: str, verb: str, /, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
        """Ask something about a key."""
        with translated(self._bucket, key, writing=True):
            answer: dict[str, Any] = getattr(self._connect(), verb)(Bucket=self._bucket, Key=key, **arguments)
            return answer

    def pages(self, verb: str, name: str, key: str, **arguments: str) -> list[dict[str, Any]]:
        """Ask for a list, page by page, and return what stands under `name` in all of them."""
        with translated(self._bucket, key):
            pages = self._connect().get_paginator(verb).paginate(Bucket=self._bucket, **arguments)
            return [entry for page in pages for entry in page.get(name, ())]


def as_arguments(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Attributes as boto3 takes them: what obstore makes a header of is one here too."""
    headers = {_HEADERS[name.lower()]: value for name, value in attributes.items() if name.lower() in _HEADERS}
    return headers | {"Metadata": {name: value for name, value in attributes.items() if name.lower() not in _HEADERS}}


def sign_checksum_alone(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
    """Before a body is signed: where its SHA-256 stands in a header, the signature of the headers covers the body.

    Over plain HTTP botocore would hash the body again: 0.15 s of CPU for 256 MiB. Over TLS it does not.
    """
    if _CHECKSUM in request.headers:
        from botocore.config import Config

        alone = Config(s3={"payload_signing_enabled": False})
        request.context["client_config"] = request.context["client_config"].merge(alone)
