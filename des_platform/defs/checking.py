"""How checks of partitioned assets report: each partition of a run by itself.

Dagster records one evaluation per check and run, without a partition where the run covers a range; the partitions' own
state would stay unknown then.
"""

from collections.abc import Callable

import dagster as dg

from des_platform.defs.resources import PlatformResource

PROBLEMS_SHOWN = 20
"""How many problems a check names."""

Evaluate = Callable[[PlatformResource, str], dg.AssetCheckResult]


def partition_check(
    asset: dg.AssetKey,
    partitions_def: dg.PartitionsDefinition[str],
    *,
    description: str,
    blocking: bool = False,
    name: str | None = None,
) -> Callable[[Evaluate], dg.AssetChecksDefinition]:
    """Make the check of one partition, by its key, a check of an asset.

    Args:
        asset: the asset.
        partitions_def: its partitions.
        description: what holds where the check passes.
        blocking: whether nothing downstream goes on where it does not.
        name: the check's; the function's if None.
    """

    def checked(evaluate: Evaluate) -> dg.AssetChecksDefinition:
        @dg.asset_check(
            name=name or evaluate.__name__,
            asset=asset,
            partitions_def=partitions_def,
            blocking=blocking,
            description=description,
        )
        def check(context: dg.AssetCheckExecutionContext, platform: PlatformResource) -> dg.AssetCheckResult:
            return _verdict(context, lambda key: evaluate(platform, key))

        return check

    return checked


def _verdict(
    context: dg.AssetCheckExecutionContext, evaluate: Callable[[str], dg.AssetCheckResult]
) -> dg.AssetCheckResult:
    """The only partition's result, or a summary of the range's, which are recorded one by one."""
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
        metadata={"partitions": len(keys), "failed_partitions": failed[:PROBLEMS_SHOWN]},
    )
