from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform_tests.bench import lake_compaction

if TYPE_CHECKING:
    import pytest


def test_a_compaction_is_measured_and_watched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"_FILES": 6, "_QUICK_ROWS_EACH": 10, "_QUICK_ROUNDS": 1}.items():
        monkeypatch.setattr(lake_compaction, name, value)

    (found,) = lake_compaction.compaction(quick=True)

    assert (found.id, found.goal, found.at_most) == ("compaction", 1.3, True)
    assert found.value > 0
    assert found.peer_value > 0
    assert "looks of a reader meanwhile, each at every row" in capsys.readouterr().err
