"""What the transfers bench runs in a process of its own: `SIDE TASK URL FILE RCLONE` prints one JSON object.

It is started by its path, since s3fs has an environment of its own without this package: modules are imported where
they are used. `work` is the digest of everything that came, or that the server has afterwards.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BUCKET = "bucket"
OBJECT = "object"
SERVED = "served"  # nginx's folder, beside the file
STORED = "stored"  # rclone's
RANGE_BYTES = 65_536
_RANGES = 1000
_PUTS = 500
_PUT_BYTES = 16_384
_THREADS = 8  # as many as the façade uses


def ranges_of(size: int) -> list[tuple[int, int]]:
    """The ranges to read: (offset, length), the same for every side."""
    chance = random.Random(5)  # noqa: S311 - offsets
    return [(chance.randrange(size - RANGE_BYTES), RANGE_BYTES) for _ in range(_RANGES)]


def small_objects() -> list[tuple[str, bytes]]:
    """The objects to put."""
    chance = random.Random(6)  # noqa: S311 - content
    return [(f"small/{number:03d}", chance.randbytes(_PUT_BYTES)) for number in range(_PUTS)]


class Ours:
    """The façade."""

    def __init__(self, url: str, _: str) -> None:
        from des_platform.objectstore import Buckets, transfers
        from des_platform.settings import Settings

        self.transfers = transfers
        self.store = Buckets(Settings(store_url="s3://", s3_endpoint=url)).bucket(BUCKET)
        assert self.store.s3 is not None
        self.store.s3._connect()

    def ranges(self, path: Path) -> Iterable[bytes]:
        return self.store.get_ranges(OBJECT, ranges_of(path.stat().st_size))

    def puts(self, _: Path) -> None:
        self.store.put_many(small_objects())

    def upload(self, path: Path) -> None:
        self.transfers.upload(self.store, path, "upload")

    def download(self, path: Path) -> None:
        self.transfers.download(self.store, OBJECT, path)


class Boto3:
    """boto3's classic client, with as many threads as the façade."""

    def __init__(self, url: str, _: str) -> None:
        import boto3
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config

        config = Config(s3={"addressing_style": "path"}, max_pool_connections=_THREADS)
        self.client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=config)
        self.transfer = TransferConfig(preferred_transfer_client="classic")

    def ranges(self, path: Path) -> Iterable[bytes]:
        def read(wanted: tuple[int, int]) -> bytes:
            span = f"bytes={wanted[0]}-{wanted[0] + wanted[1] - 1}"
            found: bytes = self.client.get_object(Bucket=BUCKET, Key=OBJECT, Range=span)["Body"].read()
            return found

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(read, ranges_of(path.stat().st_size)))

    def puts(self, _: Path) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(
                pool.map(lambda item: self.client.put_object(Bucket=BUCKET, Key=item[0], Body=item[1]), small_objects())
            )

    def upload(self, path: Path) -> None:
        self.client.upload_file(str(path), BUCKET, "upload", Config=self.transfer)

    def download(self, path: Path) -> None:
        self.client.download_file(BUCKET, OBJECT, str(path), Config=self.transfer)


class S3fs:
    """s3fs, whose own event loop does many things at once."""

    def __init__(self, url: str, _: str) -> None:
        import s3fs  # type: ignore[import-not-found,unused-ignore]

        self.system: Any = s3fs.S3FileSystem(
            endpoint_url=url,
            client_kwargs={"region_name": "us-east-1"},
            config_kwargs={"s3": {"addressing_style": "path"}},
        )

    def puts(self, _: Path) -> None:
        self.system.pipe({f"{BUCKET}/{key}": data for key, data in small_objects()}, batch_size=_THREADS)

    def upload(self, path: Path) -> None:
        self.system.put_file(str(path), f"{BUCKET}/upload")


class Rclone:
    """rclone's command; its start is part of what it takes."""

    def __init__(self, url: str, program: str) -> None:
        self.program = program
        self.remote = f":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='{url}':{BUCKET}"

    def upload(self, path: Path) -> None:
        copy = [self.program, "copyto", "--s3-no-check-bucket", str(path), f"{self.remote}/upload", "--ignore-times"]
        subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)


SIDES: dict[str, Callable[[str, str], Any]] = {"des_platform": Ours, "boto3": Boto3, "s3fs": S3fs, "rclone": Rclone}


def run(side: str, task: str, url: str, file: str, rclone: str) -> dict[str, float | str]:
    """Do a task and tell what it took."""
    made = SIDES[side](url, rclone)
    source = Path(file)
    target = source.with_name(f"download-{side}") if task == "download" else source
    before, started = _cpu(), time.perf_counter()
    came = getattr(made, task)(target)
    wall, cpu = time.perf_counter() - started, _cpu() - before
    return {"wall": wall, "cpu": cpu, "work": _work(task, target, came)}


def _work(task: str, target: Path, came: Iterable[bytes] | None) -> str:
    """What was done, so that it can be compared."""
    found = hashlib.sha256()
    if task == "ranges":
        for data in came or ():
            found.update(data)
    elif task == "download":
        found.update(target.read_bytes())
        target.unlink()
    else:
        stored = target.with_name(STORED if task == "upload" else SERVED) / BUCKET
        names = ["upload"] if task == "upload" else [key for key, _ in small_objects()]
        for name in names:
            found.update((stored / name).read_bytes())
            (stored / name).unlink()
    return found.hexdigest()


def _cpu() -> float:
    """User and system seconds of this process and of those that it started and that ended."""
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(*sys.argv[1:6])))
