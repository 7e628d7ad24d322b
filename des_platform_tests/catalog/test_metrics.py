from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog.metrics import Counts, samples

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog


def values(catalog: Catalog) -> dict[tuple[str, ...], float]:
    with catalog.begin() as connection:
        return {(sample.metric, *sorted(sample.labels.values())): sample.value for sample in samples(connection)}


def test_increments_of_many_transactions_add_up(catalog: Catalog) -> None:
    def count(_number: int) -> None:
        counts = Counts()
        counts.add("des_ingest_messages_total", 3, source="b")
        counts.add("des_ingest_messages_total", 2, source="a")
        with catalog.begin() as connection:
            counts.write(connection)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(40)))

    assert values(catalog) == {
        ("des_ingest_messages_total", "a"): 80,
        ("des_ingest_messages_total", "b"): 120,
    }


def test_what_is_rolled_back_is_not_counted(catalog: Catalog) -> None:
    counts = Counts()
    counts.add("des_marker_dlq_entries_total")
    with catalog.begin() as connection:
        counts.write(connection)
        connection.rollback()

    assert values(catalog) == {}


def test_a_histogram_counts_each_value_in_every_bucket_that_holds_it(catalog: Catalog) -> None:
    counts = Counts()
    for rows in (1, 7, 100_000):
        counts.observe("des_marker_batch_size", rows)
    with catalog.begin() as connection:
        counts.write(connection)

    found = values(catalog)
    assert found["des_marker_batch_size_bucket", "1"] == 1
    assert found["des_marker_batch_size_bucket", "10"] == 2
    assert found["des_marker_batch_size_bucket", "10000"] == 2
    assert found["des_marker_batch_size_bucket", "+Inf"] == 3
    assert found["des_marker_batch_size_count",] == 3
    assert found["des_marker_batch_size_sum",] == 100_008


def test_a_gauge_shows_what_was_set_last(catalog: Catalog) -> None:
    for rate in (5.0, 2.5):
        counts = Counts()
        counts.set("des_marker_rate_limit_ops_per_sec", rate)
        with catalog.begin() as connection:
            counts.write(connection)

    assert values(catalog) == {("des_marker_rate_limit_ops_per_sec",): 2.5}


@pytest.mark.parametrize("labels", [{}, {"queue": "a"}, {"source": "a", "more": "b"}])
def test_a_metric_is_refused_with_other_labels_than_it_declares(labels: dict[str, str]) -> None:
    with pytest.raises(KeyError, match="source"):
        Counts().add("des_ingest_messages_total", 1, **labels)


def test_an_undeclared_metric_is_refused() -> None:
    with pytest.raises(KeyError, match="des_typo_total"):
        Counts().add("des_typo_total")
