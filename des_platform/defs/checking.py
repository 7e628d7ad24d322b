"""How checks of partitioned assets report: each partition of a run by itself.

Dagster records one evaluation per check and run, without a partition where the run covers a range; the partitions' own
state would stay unknown then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Callable

_SHOWN = 20


def verdict(
    context: dg.AssetCheckExecutionContext, evaluate: Callable[[str], dg.AssetCheckResult]
) -> dg.AssetCheckResult:
    """Evaluate a check for every partition of the run.

    Args:
        context: of a check that is partitioned like its asset.
        evaluate: the check of one partition, by its key.

    Returns:
        The only partition's result, or a summary of the range's, which are recorded one by one.
    """
    keys = list(context.partition_keys)
    results = [evaluate(key) for key in keys]
    if len(results) == 1:
        return results[0]
    check_key = next(iter(context.op_execution_context.assets_def.check_keys))
    for key, result in zip(keys, results, strict=True):
        evaluation = dg.AssetCheckEvaluation(
            asset_key=check_key.asset_key,
            check_name=check_key.name,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            partition=key,
        )
        # It takes evaluations too; its annotation lags behind.
        context.op_execution_context.log_event(evaluation)  # type: ignore[arg-type]
    failed = [key for key, result in zip(keys, results, strict=True) if not result.passed]
    return dg.AssetCheckResult(
        passed=not failed,
        severity=results[0].severity,
        metadata={"partitions": len(keys), "failed_partitions": failed[:_SHOWN]},
    )
