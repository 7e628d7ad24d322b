"""What goes wrong between the platform and an object store; here alone the clients' exceptions become these errors.

Every verb of `ObjectStore` runs its requests inside `translated`. The message of an error names the bucket, the key
and what the store said: status, error code and the store's sentence, never the raw reply, because S3 puts the access
key's id and the string to sign into some of them. For the same reason the clients' exceptions are not chained.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS_MARK = "Server returned non-2xx status code: "
_OS_ERROR = re.compile(r"\(os error (\d+)\)$")
_STAGING_NAME = "Filenames containing trailing '/#\\d+/' are not supported"
_USER_INFO = re.compile(r"//[^/@\s]*@")
_SAID_CHARS = 300
# Not a directory, is a directory, file name too long: what a file system cannot hold and S3 can.
_UNREPRESENTABLE = frozenset({20, 21, 36})
_NOT_PARTIAL = "Received non-partial response when range requested"
_SAID_DENIED = "access was denied: check the AWS_* credentials, and what they are allowed to do here"
_DENIED_CODES = frozenset({"401", "403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_SAID_TAKEN = "the object exists already"
_SAID_NO_BUCKET = "the bucket does not exist; create it, or correct the name"


class ObjectNotFound(LookupError):
    """No object under this key.

    Attributes:
        bucket: the bucket's name.
        key: the key that was asked for.
    """

    def __init__(self, bucket: str, key: str) -> None:
        super().__init__(f"bucket {bucket!r} has no object {key!r}")
        self.bucket = bucket
        self.key = key


class PreconditionFailed(RuntimeError):
    """A conditional put or get lost: the object exists already, or is not the version that was asked for."""


class InvalidKey(ValueError):
    """A key or bucket name that the platform refuses to use; the message says why."""


class StoreUnavailable(RuntimeError):
    """The store refused or did not answer, after the client's own retries."""


class AccessDenied(StoreUnavailable):
    """The store knows us too little or not at all; asking again changes nothing."""


class UnsupportedByStore(RuntimeError):
    """This kind of store cannot do what was asked, however often it is tried."""


class IntegrityError(RuntimeError):
    """The bytes are not those announced: another length, or an object replaced while it was read."""


class SourceChanged(RuntimeError):
    """A local file changed while it was uploaded; no object appeared."""


class RangeNotSatisfiable(IntegrityError):
    """A byte range reaches past the end of its object."""


class ObjectTooLarge(IntegrityError):
    """An object is larger than the caller is ready to hold in memory."""


@contextmanager
def translated(bucket: str, key: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what obstore and botocore raise into this module's errors; anything else passes.

    Args:
        bucket: the bucket that the requests go to.
        key: the key that they are about, or the prefix of a listing.
        writing: the key is being created: a name that a file system cannot hold is then `UnsupportedByStore`, where a
            reader learns that there is no such object.
    """
    try:
        yield
    except Exception as error:
        translation = _translate(error, bucket, key, writing=writing)
        if translation is None:
            raise
        raise translation from None


def _translate(error: Exception, bucket: str, key: str, *, writing: bool) -> Exception | None:
    place = f"bucket {bucket!r}, key {key!r}"
    if type(error).__module__.startswith("botocore."):
        return _translate_boto3(error, bucket, key)
    if not isinstance(error, BaseError | OSError | NotImplementedError):
        return None
    text = str(error).partition("\n\nDebug source")[0].strip()
    code, said = _said(text)
    os_error = _OS_ERROR.search(text)
    number = int(os_error[1]) if os_error else getattr(error, "errno", None)
    unrepresentable = number in _UNREPRESENTABLE or _STAGING_NAME in text
    outcomes = (
        (isinstance(error, AlreadyExistsError), PreconditionFailed(f"{place}: {_SAID_TAKEN}")),
        (
            isinstance(error, PreconditionError) or code == "ConditionalRequestConflict",
            PreconditionFailed(f"{place}: the object is not the version asked for, or is gone ({said})"),
        ),
        (isinstance(error, NotImplementedError | NotSupportedError), UnsupportedByStore(f"{place}: {said}")),
        (
            said.startswith("416") or text.endswith("Requested range was invalid"),
            RangeNotSatisfiable(f"{place}: the range starts past the end of the object"),
        ),
        (text.endswith(_NOT_PARTIAL), UnsupportedByStore(f"{place}: the store sent the object instead of the range")),
        (
            isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError),
            AccessDenied(f"{place}: {_SAID_DENIED} ({said})"),
        ),
        (code == "NoSuchBucket", StoreUnavailable(f"{place}: {_SAID_NO_BUCKET}")),
        (unrepresentable and writing, UnsupportedByStore(f"{place}: a folder cannot hold it: {said}")),
        (unrepresentable or isinstance(error, FileNotFoundError), ObjectNotFound(bucket, key)),
    )
    return next((outcome for applies, outcome in outcomes if applies), StoreUnavailable(f"{place}: {said}"))


def _said(text: str) -> tuple[str, str]:
    """The store's error code ('' where it gave none) and a short sentence, from the text of an obstore exception."""
    before, mark, reply = text.rpartition(_STATUS_MARK)
    if not mark:
        return "", _redacted(before or reply)
    status, _, body = reply.partition(":")
    code = re.search(r"<Code>([^<]*)</Code>", body)
    message = re.search(r"<Message>([^<]*)</Message>", body)
    parts = [status.strip(), *(found[1] for found in (code, message) if found)]
    return code[1] if code else "", _redacted(": ".join(parts))


def _translate_boto3(error: Exception, bucket: str, key: str) -> Exception:
    place = f"bucket {bucket!r}, key {key!r}"
    said = _said_to_boto3(error)
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    # Of an answer without a body botocore makes the status its code.
    code = {"404": "NoSuchKey", "412": "PreconditionFailed", "501": "NotImplemented"}.get(code, code)
    outcomes = {
        # What an upload's completion with If-None-Match answers; 409 where two complete at once.
        "PreconditionFailed": PreconditionFailed(f"{place}: the object exists already, or its source was replaced"),
        "ConditionalRequestConflict": PreconditionFailed(f"{place}: another writer was at it at the same time"),
        "NoSuchKey": ObjectNotFound(bucket, key),
        "NoSuchBucket": StoreUnavailable(f"{place}: {_SAID_NO_BUCKET}"),
        "NotImplemented": UnsupportedByStore(f"{place}: {said}"),
        **dict.fromkeys(_DENIED_CODES, AccessDenied(f"{place}: {_SAID_DENIED} ({said})")),
        "InvalidRange": RangeNotSatisfiable(f"{place}: the range reaches past the end of the object"),
    }
    return outcomes.get(code, StoreUnavailable(f"{place}: {said}"))


def _said_to_boto3(error: Exception) -> str:
    reply = getattr(error, "response", {}).get("Error", {})
    if reply:
        return _redacted(f"{reply.get('Code', '')}: {reply.get('Message', '')}")
    return _redacted(str(error))


def _redacted(said: str) -> str:
    return _USER_INFO.sub("//", said)[:_SAID_CHARS]
