from __future__ import annotations

from des_platform_tests.bench.ingest_claims import Scale, measure


def test_claims_are_counted_beside_those_of_one_worker_and_their_shards_told() -> None:
    found = {measurement.id: measurement for measurement in measure(Scale(pending=4000, seconds=0.2, rounds=1))}

    assert list(found) == ["claims", "claims_shards", "claims_local"]
    assert all(measurement.value > 0 and measurement.peer_value > 0 for measurement in found.values())
    assert found["claims_shards"].value <= 256
