"""Every bucket of the configured object store, with the clients' retries, time-outs and addressing set in one place.

Credentials come from the standard `AWS_*` environment variables, which obstore and boto3 read by themselves. On
`file://` a bucket is a folder in the store's folder and comes into being when it is first asked for; on S3 it must
exist.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, S3Store

from des_platform.objectstore.deletes import delete_s3_version
from des_platform.objectstore.errors import translated
from des_platform.objectstore.folder import FolderSinks
from des_platform.objectstore.keys import check_bucket
from des_platform.objectstore.listing import list_folder, list_s3
from des_platform.objectstore.multipart import S3Sinks
from des_platform.objectstore.s3_calls import S3Calls, sign_checksum_alone
from des_platform.objectstore.store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import ClientConfig, RetryConfig

    from des_platform.objectstore.objects import ObjectInfo
    from des_platform.settings import Settings

_MAX_RETRIES = 8
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
# A whole request: one part of 8 MiB at 28 KiB/s.
_REQUEST_SECONDS = 300
_RETRIES: RetryConfig = {
    "max_retries": _MAX_RETRIES,
    # The client signs a request once, so this stays well below the five minutes that a signature lives.
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
}


class Buckets:
    """The object store of the settings, bucket by bucket; safe to share between threads.

    Args:
        settings: `store_url`, `bucket`, `s3_endpoint` and `s3_region` are used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stores: dict[str, ObjectStore] = {}
        self._lock = Lock()

    @property
    def own(self) -> ObjectStore:
        """The platform's own bucket."""
        return self.bucket(self._settings.bucket)

    def bucket(self, name: str) -> ObjectStore:
        """One bucket; the same object for the same name.

        Raises:
            InvalidKey: a name that S3 does not allow.
        """
        check_bucket(name)
        with self._lock:
            if name not in self._stores:
                self._stores[name] = self._open(name)
            return self._stores[name]

    def create(self, name: str) -> ObjectStore:
        """Make a bucket where there is none yet, and open it.

        Raises:
            StoreUnavailable: the store refused; the name may belong to somebody else.
        """
        if not self._folder:
            region = self._settings.s3_region
            # AWS refuses us-east-1 as a location: it is the default.
            placed = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            with translated(check_bucket(name), ""):
                client = self._s3_client
                with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                    client.create_bucket(Bucket=name, **placed)
        return self.bucket(name)

    def _open(self, name: str) -> ObjectStore:
        folder = self._folder
        if folder:
            with translated(name, ""):
                client = LocalStore(folder / name, mkdir=True, automatic_cleanup=True)
                staging = LocalStore(folder, mkdir=True)
            url = f"{self._settings.store_url}/{name}"
            listing = partial(list_folder, folder, name)
            return ObjectStore(name, url, client, listing, FolderSinks(name, folder, staging), staging=staging)
        s3 = self._s3_store(name)
        calls = S3Calls(name, lambda: self._s3_client)
        sinks = S3Sinks(name, self._settings.s3_endpoint or "s3", s3, calls)
        listing = partial(self._list_s3, name)
        delete = partial(self._delete_version, name)
        return ObjectStore(name, f"s3://{name}", s3, listing, sinks, delete_version=delete, s3=calls)

    @cached_property
    def _folder(self) -> Path | None:
        url = urlsplit(self._settings.store_url)
        return Path(unquote(url.path)) if url.scheme == "file" else None

    def _s3_store(self, name: str) -> S3Store:
        endpoint = self._settings.s3_endpoint
        options: ClientConfig = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=_READ_SECONDS),
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
        }
        addressing: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        return S3Store(
            name,
            region=self._settings.s3_region,
            # A certificate for *.s3.REGION.amazonaws.com does not cover a name with a dot.
            virtual_hosted_style_request=not endpoint and "." not in name,
            # Free: the signature needs the same digest.
            checksum_algorithm="SHA256",
            client_options=options,
            retry_config=_RETRIES,
            **addressing,
        )

    def _list_s3(self, name: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        return list_s3(self._s3_client, name, prefix, start_after)

    def _delete_version(self, name: str, key: str, etag: str) -> None:
        delete_s3_version(self._s3_client, name, key, etag)

    @cached_property
    def _s3_client(self) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        import boto3
        from botocore.config import Config

        client = boto3.Session().client(
            "s3",
            endpoint_url=self._settings.s3_endpoint or None,
            region_name=self._settings.s3_region,
            config=Config(
                retries={"total_max_attempts": _MAX_RETRIES + 1, "mode": "standard"},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                max_pool_connections=32,
                s3={"addressing_style": "path" if self._settings.s3_endpoint else "auto"},
            ),
        )
        for verb in ("PutObject", "UploadPart"):
            client.meta.events.register(f"before-sign.s3.{verb}", sign_checksum_alone)
        return client
