from __future__ import annotations

import builtins
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from des_platform_tests.parquet.support import collect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

dbn = pytest.importorskip("databento_dbn")

TRADE = {"ts_event": "long", "price": "decimal(19,9)", "size": "int", "action": "string", "side": "string"}


def header(schema: Any = None, version: int = 3, *, ts_out: bool = False) -> bytes:
    metadata = dbn.Metadata(
        dataset="GLBX.MDP3", start=0, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID, ts_out=ts_out,
        schema=schema or dbn.Schema.TRADES, symbols=["ES"], partial=[], not_found=[], mappings=[], limit=None, end=1,
        version=version,
    )  # fmt: skip
    return bytes(metadata.encode())


def trade(price: int = 4_512_350_000_000, ts_event: int = 1_700_000_000_000_000_001) -> bytes:
    return bytes(dbn.TradeMsg(
        publisher_id=1, instrument_id=2, ts_event=ts_event, price=price, size=5, action=dbn.Action.TRADE,
        side=dbn.Side.ASK, depth=0, ts_recv=2**64 - 1, flags=0, ts_in_delta=0, sequence=1,
    ))  # fmt: skip


def bar() -> bytes:
    return bytes(dbn.OHLCVMsg(
        rtype=dbn.RType.OHLCV_1S, publisher_id=1, instrument_id=2, ts_event=10**9, open=10**9, high=2 * 10**9, low=1,
        close=-1, volume=7,
    ))  # fmt: skip


def read(data: bytes, columns: Mapping[str, str] = TRADE) -> tuple[Sequence[dict[str, Any]], Sequence[Any], set[str]]:
    return collect(data, "dbn", columns)


def test_every_field_arrives_without_a_loss() -> None:
    rows, rejected, extra = read(header() + trade() * 20_000)
    assert (len(rows), rejected) == (20_000, [])
    assert rows[0] == {
        "ts_event": 1_700_000_000_000_000_001,
        "price": Decimal("4512.350000000"),
        "size": 5,
        "action": "T",
        "side": "A",
    }
    assert {"ts_recv", "rtype", "instrument_id"} <= extra
    assert "length" not in extra


def test_what_dbn_calls_undefined_is_null() -> None:
    [row], _, _ = read(header() + trade(price=2**63 - 1), {"price": "decimal(19,9)", "ts_recv": "long"})
    assert row == {"price": None, "ts_recv": None}


def test_prices_below_zero_keep_their_sign() -> None:
    [row], _, _ = read(header() + trade(price=-1), {"price": "decimal(19,9)"})
    assert row == {"price": Decimal("-0.000000001")}


def test_a_timestamp_takes_times_of_whole_microseconds_alone() -> None:
    data = header() + trade(ts_event=1_700_000_000_000_001_000) + trade()
    rows, [rejected], _ = read(data, {"ts_event": "timestamp"})
    assert len(rows) == 1
    assert rejected.line == 2
    assert "is not a timestamp" in rejected.reason


def test_a_price_may_be_a_double() -> None:
    assert read(header() + trade(), {"price": "double"})[0] == [{"price": 4512.35}]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_is_read(version: int) -> None:
    assert read(header(version=version) + trade())[0][0]["size"] == 5


def test_bars_are_read() -> None:
    rows, _, _ = read(
        header(dbn.Schema.OHLCV_1S) + bar(), {"open": "double", "close": "decimal(19,9)", "volume": "long"}
    )
    assert rows == [{"open": 1.0, "close": Decimal("-0.000000001"), "volume": 7}]


def test_the_time_of_sending_is_a_column_where_there_is_one() -> None:
    record = bytearray(trade() + (77_000).to_bytes(8, "little"))
    record[0] += 2
    assert read(header(ts_out=True) + bytes(record), {"ts_out": "long"})[0] == [{"ts_out": 77_000}]


def test_a_record_of_another_kind_is_rejected_and_its_neighbours_survive() -> None:
    rows, [rejected], _ = read(header() + trade() + bar() + trade())
    assert len(rows) == 2
    assert (rejected.line, rejected.text) == (2, bar().hex())
    assert "OHLCVMsg" in rejected.reason


def test_a_truncated_file_keeps_the_records_before() -> None:
    rows, [rejected], _ = read((header() + trade() * 3)[:-1])
    assert (len(rows), rejected.line) == (2, 3)
    assert "ends within a record" in rejected.reason


def test_a_record_that_claims_nothing_ends_the_file() -> None:
    rows, [rejected], _ = read(header() + trade() + bytes(48))
    assert (len(rows), rejected.line) == (1, 2)
    assert "claims 0 bytes" in rejected.reason


def test_a_file_without_records_has_its_columns() -> None:
    rows, rejected, extra = read(header())
    assert (rows, rejected) == ([], [])
    assert "ts_recv" in extra


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "databento_dbn":
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"des-platform\[dbn\]"):
        read(header() + trade())
