"""Where a Kinesis stream is, and its client. Retries, back-off and time-outs are the client's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


class StreamAddress(BaseModel):
    """Where a stream is.

    Attributes:
        stream: the stream's name.
        endpoint: base URL of a Kinesis-compatible server; empty for AWS.
        region: AWS region.
        timeout_seconds: how long the server may take to answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    endpoint: str = ""
    region: str = "us-east-1"
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0


def kinesis_client(endpoint: str, region: str, timeout_seconds: float) -> KinesisClient:
    """A client of Kinesis or of a server that speaks its protocol.

    Args:
        endpoint: base URL of the server; empty for AWS.
        region: AWS region.
        timeout_seconds: how long the server may take to answer.
    """
    import boto3
    from botocore.config import Config

    return boto3.client(
        "kinesis",
        region_name=region,
        endpoint_url=endpoint or None,
        config=Config(
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=min(5.0, timeout_seconds),
            read_timeout=timeout_seconds,
        ),
    )
