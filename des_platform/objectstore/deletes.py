"""Deletion of one version of an object on S3: only if its etag is still the one that was seen.

obstore has no conditional deletion, so this goes through boto3.
"""

from __future__ import annotations

from typing import Any

from des_platform.objectstore.errors import UnsupportedByStore, translated


def delete_s3_version(client: Any, bucket: str, key: str, etag: str) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
    """Delete an object if its etag matches; a server that refuses the condition is asked without it.

    Raises:
        PreconditionFailed: another object stands under the key.
        StoreUnavailable: the store refused or did not answer.
    """
    try:
        with translated(bucket, key):
            client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
    except UnsupportedByStore:
        with translated(bucket, key):
            client.delete_object(Bucket=bucket, Key=key)
