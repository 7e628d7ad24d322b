from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from des_platform.objectstore import InvalidKey, check_key
from des_platform.sources.messages.chunk_manifest import ChunkedFile, chunk_manifest, chunked_file
from des_platform.sources.messages.events import (
    MAX_BODY_BYTES,
    FileEvent,
    MalformedMessage,
    ParsedMessage,
    parse_message,
    s3_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WHEN = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def record(
    key: object = "a/b.csv", *, event: object = "ObjectCreated:Put", bucket: object = "incoming", **stored: object
) -> dict[str, Any]:
    return {
        "eventName": event,
        "eventTime": "2026-03-01T12:30:15.250Z",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 7, "eTag": "abc", **stored}},
    }


def notification(*records: object) -> str:
    return json.dumps({"Records": list(records)})


def eventbridge(name: str = "Object Created", **changes: object) -> dict[str, Any]:
    return {
        "version": "0",
        "detail-type": name,
        "source": "aws.s3",
        "time": "2026-03-01T12:30:15Z",
        "detail": {"bucket": {"name": "incoming"}, "object": {"key": "a b+c%20.csv", "size": 5, "etag": "b1946ac9"}},
        **changes,
    }


def sns(message: object, kind: str = "Notification") -> str:
    return json.dumps({"Type": kind, "TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": message})


def parse(body: str, default_bucket: str | None = None) -> ParsedMessage:
    return parse_message(body, default_bucket=default_bucket)


def reason(body: str, default_bucket: str | None = None) -> str:
    with pytest.raises(MalformedMessage) as caught:
        parse(body, default_bucket)
    text = str(caught.value)
    text.encode()
    assert "\0" not in text
    assert len(text) < 5_000
    return text


def test_an_s3_notification_gives_one_event_per_record_with_decoded_keys() -> None:
    parsed = parse(
        notification(
            record("my+file%2B1%C3%A9.csv", eTag='"abc"'),
            record("x/y.csv", event="ObjectCreated:CompleteMultipartUpload"),
        )
    )
    assert parsed.problems == []
    assert parsed.events == [
        FileEvent("incoming", "my file+1é.csv", 7, "abc", WHEN, "s3", "created"),
        FileEvent("incoming", "x/y.csv", 7, "abc", WHEN, "s3", "created"),
    ]


def test_a_doubly_encoded_key_is_decoded_once() -> None:
    assert parse(notification(record("a%252Fb"))).events[0].key == "a%2Fb"


def test_event_names_with_the_prefix_of_minio_are_understood() -> None:
    assert parse(notification(record(event="s3:ObjectCreated:Put"))).events[0].kind == "created"


@pytest.mark.parametrize(
    "event", ["ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete"]
)
def test_a_removal_is_an_event_of_its_own_kind_without_size(event: str) -> None:
    removed = record(event=event)
    removed["s3"]["object"] = {"key": "gone.csv", "sequencer": "1"}
    assert parse(notification(removed)).events == [
        FileEvent("incoming", "gone.csv", None, None, WHEN, "s3", "removed", "1")
    ]


def test_eventbridge_keys_are_taken_as_they_are() -> None:
    when = WHEN.replace(microsecond=0)
    assert parse(json.dumps(eventbridge())).events == [
        FileEvent("incoming", "a b+c%20.csv", 5, "b1946ac9", when, "eventbridge", "created")
    ]


def test_an_eventbridge_deletion_is_a_removal() -> None:
    detail = {"bucket": {"name": "incoming"}, "object": {"key": "a"}, "deletion-type": "Delete Marker Created"}
    (event,) = parse(json.dumps(eventbridge("Object Deleted", detail=detail))).events
    assert (event.kind, event.key, event.size) == ("removed", "a", None)


@pytest.mark.parametrize("inner", [notification(record("a+b")), json.dumps(eventbridge())])
def test_what_sns_wraps_is_understood_and_marked(inner: str) -> None:
    (direct,), (wrapped,) = parse(inner).events, parse(sns(inner)).events
    assert wrapped.source == "sns"
    assert (wrapped.bucket, wrapped.key, wrapped.size, wrapped.etag) == (
        direct.bucket,
        direct.key,
        direct.size,
        direct.etag,
    )


def test_a_file_message_takes_the_default_bucket() -> None:
    body = json.dumps({"ID": "6c84fb90", "file_name": "stock market+%20_20260301_120000.json"})
    expected = FileEvent(
        "landing", "stock market+%20_20260301_120000.json", None, None, None, "file-message", "created"
    )
    assert parse(body, "landing").events == [expected]


@pytest.mark.parametrize("wrap", [lambda body: body, sns])
def test_the_test_event_of_s3_announces_nothing_and_is_no_error(wrap: Callable[[str], str]) -> None:
    body = json.dumps(
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-01T00:00:00Z", "Bucket": "incoming"}
    )
    assert parse(wrap(body)) == ParsedMessage([], [])


def test_a_hostile_record_never_costs_the_good_ones() -> None:
    parsed = parse(notification(record("good1"), record("..%2F..%2Fetc/passwd"), "not a record", record("good2")))
    assert [event.key for event in parsed.events] == ["good1", "good2"]
    assert len(parsed.problems) == 2
    assert parsed.problems[0].startswith("record 1: key '../../etc/passwd' is refused")
    assert parsed.problems[1].startswith("record 2: record is text")


def test_thousands_of_bad_records_are_counted_not_listed() -> None:
    parsed = parse(notification(*[{}] * 5_000, record("good")))
    assert [event.key for event in parsed.events] == ["good"]
    assert len(parsed.problems) == 21
    assert parsed.problems[-1] == "and 4980 more records that could not be understood"
    assert "4980 more" in reason(notification(*[{}] * 5_000))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"key": ""}, "it is empty"),
        ({"key": None}, "'key' of the object is missing"),
        ({"key": 7}, "'key' of the object is an integer"),
        ({"key": "a/%2E%2E/b"}, "segment '.' or '..'"),
        ({"key": "a/./b"}, "segment '.' or '..'"),
        ({"key": ".."}, "segment '.' or '..'"),
        ({"key": "%2Fetc/passwd"}, "starts with '/'"),
        ({"key": "a%00b"}, "control character"),
        ({"key": "a%0Ab"}, "control character"),
        ({"key": "a%7Fb"}, "control character"),
        ({"key": "a%C2%85b"}, "control character"),
        ({"key": "a%5Cb"}, "backslash"),
        ({"key": "folder/"}, "ends with '/'"),
        ({"key": "a//b"}, "empty segment"),
        ({"key": "x" * 1025}, "1025 bytes"),
        ({"key": "%C3%A9" * 513}, "1026 bytes"),
        ({"key": "a%FFb"}, "not URL-encoded UTF-8"),
        ({"key": "a\ud800"}, "not valid Unicode"),
        ({"size": -1}, "size is -1"),
        ({"size": 1 << 63}, "size is 9223372036854775808"),
        ({"size": "7"}, "size is '7', expected an integer"),
        ({"size": 7.0}, "size is 7.0"),
        ({"size": True}, "size is True"),
        ({"size": [1]}, "size is a list"),
        ({"eTag": 7}, "etag is 7"),
        ({"eTag": "a\0"}, "etag is"),
        ({"eTag": ""}, "etag is ''"),
    ],
)
def test_a_hostile_object_is_refused_with_a_precise_reason(stored: dict[str, Any], expected: str) -> None:
    assert expected in reason(notification(record(**stored)))


@pytest.mark.parametrize(
    "bucket", ["", "ab", "Upper", "a_b", "../x", "a..b", "-ab", "ab.", "a/b", "x" * 64, "abc\n", None, 7]
)
def test_a_bad_bucket_name_is_refused(bucket: object) -> None:
    assert "bucket" in reason(notification(record(bucket=bucket)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "body is not JSON"),
        ("hello", "body is not JSON"),
        ("[1]", "body is a list, expected an object"),
        ("null", "body is missing"),
        ("NaN", "body is a fraction"),
        ("{}", "no known shape"),
        ('{"foo": 1}', "no known shape, fields 'foo'"),
        ('{"Records": []}', "'Records' is an empty list"),
        ('{"Records": {}}', "'Records' is an object"),
        ('{"Records": null}', "'Records' is missing"),
        ('{"n": ' + "9" * 5_000 + "}", "endless number"),
        (notification(record(event="ObjectTagging:Put")), "'ObjectTagging:Put' neither creates nor removes"),
        (notification({"eventName": "ObjectCreated:Put"}), "'s3' is missing"),
        (notification({"eventSource": "aws:ses"}), "'eventName' of the record is missing"),
        (notification({**record(), "eventTime": "yesterday"}), "event time is 'yesterday'"),
        (notification({**record(), "eventTime": "0001-01-01T00:00:00+23:59"}), "event time is"),
        (notification({**record(), "eventTime": 5}), "event time is 5"),
        (json.dumps(eventbridge("Object Restore Completed")), "'Object Restore Completed', expected 'Object Created'"),
        (json.dumps(eventbridge(source="aws.ec2")), "'aws.ec2', expected 'aws.s3'"),
        (json.dumps(eventbridge(detail=None)), "'detail' is missing"),
        (sns("hello"), "'Message' is not JSON"),
        (sns(5), "'Message' of the SNS notification is an integer"),
        (sns("[]"), "'Message' is a list"),
        (sns(sns(notification(record()))), "nested too deep"),
        (sns("You have chosen to subscribe", "SubscriptionConfirmation"), "confirm the topic's subscription"),
    ],
)
def test_a_message_of_no_known_meaning_is_refused_with_a_precise_reason(body: str, expected: str) -> None:
    assert expected in reason(body)


@pytest.mark.parametrize(
    ("message", "bucket", "expected"),
    [
        ({"ID": "1", "file_name": "a"}, None, "no default bucket"),
        ({"ID": "1", "file_name": "a"}, "Bad Bucket", "bucket name 'Bad Bucket'"),
        ({"ID": "1", "file_name": "../a"}, "landing", "segment '.' or '..'"),
        ({"ID": "1", "file_name": 5}, "landing", "'file_name' of the file message is an integer"),
        ({"file_name": "a"}, "landing", "'ID' of the file message is missing"),
        ({"ID": "", "file_name": "a"}, "landing", "'ID' of the file message is empty"),
        ({"ID": "1", "file_name": "a", "file_total_chunk": 3}, "landing", "'shard_id' of the manifest"),
    ],
)
def test_a_bad_file_message_is_refused(message: dict[str, object], bucket: str | None, expected: str) -> None:
    assert expected in reason(json.dumps(message), bucket)


@pytest.mark.parametrize("bomb", ["[" * 200_000, '{"a":' * 100_000, '{"Records":' + "[" * 900 + "]" * 900 + "}"])
def test_deep_nesting_is_a_malformed_message_not_a_crash(bomb: str) -> None:
    reason(bomb)
    reason(sns(bomb))


@pytest.mark.parametrize("place", ["size", "eTag", "key"])
@pytest.mark.parametrize("depth", [200, 600, 900, 940])
def test_a_value_nested_just_below_the_parsers_limit_is_refused_too(place: str, depth: int) -> None:
    body = notification(record(**{place: "BOMB"})).replace('"BOMB"', "[" * depth + "]" * depth)
    reason(body)


def test_a_body_over_the_limit_of_the_queue_is_refused_by_its_bytes() -> None:
    body = notification(record())
    fitting = body + " " * (MAX_BODY_BYTES - len(body))
    assert len(parse(fitting).events) == 1
    assert "larger than 1048576 bytes" in reason(fitting + " ")
    assert "larger than 1048576 bytes" in reason('{"k": "' + "é" * (MAX_BODY_BYTES // 2) + '"}')


def test_times_are_turned_into_utc() -> None:
    assert parse(notification({**record(), "eventTime": "2026-03-01T14:30:15.250+02:00"})).events[0].event_time == WHEN
    moment = parse(notification({**record(), "eventTime": "2026-03-01T12:30:15.250"})).events[0].event_time
    assert moment == WHEN
    untimed = record()
    del untimed["eventTime"]
    assert parse(notification(untimed)).events[0].event_time is None


def test_the_written_notification_has_the_form_of_s3() -> None:
    moment = datetime(2026, 3, 1, 14, 30, 15, 250_999, tzinfo=timezone(timedelta(hours=2)))
    written = json.loads(s3_event("incoming", "a b/c+d é.csv", 7, '"abc"', moment))["Records"][0]
    assert written["eventVersion"] == "2.1"
    assert written["eventSource"] == "aws:s3"
    assert written["eventName"] == "ObjectCreated:Put"
    assert written["eventTime"] == "2026-03-01T12:30:15.250Z"
    assert written["s3"]["bucket"]["arn"] == "arn:aws:s3:::incoming"
    stored = written["s3"]["object"]
    assert (stored["key"], stored["size"], stored["eTag"]) == ("a+b/c%2Bd+%C3%A9.csv", 7, "abc")


def test_a_later_put_has_a_greater_sequencer() -> None:
    bodies = [s3_event("incoming", "a", 1, "e", WHEN + timedelta(microseconds=step)) for step in (0, 1, 10**9)]
    sequencers = [json.loads(body)["Records"][0]["s3"]["object"]["sequencer"] for body in bodies]
    assert sequencers == sorted(set(sequencers))


def test_a_time_without_zone_is_refused_when_writing() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        s3_event("incoming", "a", 1, "e", datetime(2026, 3, 1))  # noqa: DTZ001 - the point


def accepted(key: str) -> bool:
    try:
        check_key(key)
    except InvalidKey:
        return False
    return True


KEYS = st.text(min_size=1, max_size=60).filter(accepted)


@settings(max_examples=150, deadline=None)
@example(key="+ %2B/&?#~*'é漢😀", size=0, moment=datetime(1970, 1, 1))  # noqa: DTZ001
@given(
    key=KEYS,
    size=st.integers(min_value=0, max_value=(1 << 63) - 1),
    moment=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31)),  # noqa: DTZ001
)
def test_a_written_notification_reads_back_as_it_was(key: str, size: int, moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    (event,) = parse(s3_event("incoming", key, size, "abc-2", aware)).events
    milliseconds = aware.replace(microsecond=aware.microsecond // 1000 * 1000)
    assert event == FileEvent("incoming", key, size, "abc-2", milliseconds, "s3", "created", event.sequencer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["Records", "Type", "Message", "detail-type", "source", "detail", "ID", "file_name", "Event", "time"]
)
SAYS = st.sampled_from(["Notification", "Object Created", "aws.s3", "s3:TestEvent", "../x", "{}"])


@settings(max_examples=200, deadline=None)
@given(
    message=st.dictionaries(FIELDS, JSON | SAYS, max_size=5)
    | st.fixed_dictionaries(
        {"Records": st.lists(st.fixed_dictionaries({"eventName": st.just("ObjectCreated:Put"), "s3": JSON}))}
    )
    | st.builds(lambda **parts: {"Records": [record(**parts)]}, key=JSON, size=JSON, eTag=JSON, bucket=JSON),
)
def test_no_json_whatsoever_does_anything_but_parse_or_be_refused(message: object) -> None:
    try:
        parsed = parse(json.dumps(message), "landing")
    except MalformedMessage as error:
        str(error).encode()
    else:
        assert all(accepted(event.key) for event in parsed.events)


@pytest.mark.parametrize(("sequencer", "kept"), [("0055AED6DCD90281E5", "0055AED6DCD90281E5"), ("?", None), (7, None)])
def test_a_sequencer_is_kept_where_it_is_one_and_costs_no_file_where_it_is_not(
    sequencer: object, kept: str | None
) -> None:
    (event,) = parse(notification(record(sequencer=sequencer))).events
    assert (event.key, event.sequencer) == ("a/b.csv", kept)


@pytest.mark.parametrize("wrap", [lambda body: body, sns])
def test_a_written_manifest_of_a_chunked_file_reads_back_as_it_was(wrap: Callable[[str], str]) -> None:
    file = ChunkedFile("7a1c", "a/ä.csv", "shardId-000000000001", (9, 10, 10**55), ("bz2", "zstd"), 30, 70, "0f" * 32)
    assert chunked_file(wrap(chunk_manifest(file))) == file


@pytest.mark.parametrize(
    "body", ['{"ID": "1", "file_name": "a"}', "not JSON", notification(record("file_total_chunk"))]
)
def test_what_announces_no_chunked_file_is_none(body: str) -> None:
    assert chunked_file(body) is None
