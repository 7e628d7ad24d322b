"""Snapshots that change a table's files and not its rows, which pyiceberg 0.12 has no call for.

Both are `replace` snapshots, as the Iceberg specification calls them, so a reader of changes sees none. They go
through `lake.commit`, where rivals are met:

* A writer that got in before a rewrite and dropped one of its files wins; the rewrite is refused as a whole.
* A writer that comes after it finds the files that it meant to drop gone, and plans again on the new ones.
* Rows that were added meanwhile stay beside the rewritten ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.exceptions import ValidationException
from pyiceberg.manifest import ManifestContent
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _MergeAppendFiles, _OverwriteFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table import Transaction


class Outdated(Exception):
    """The table is not any more what the rewrite was made from; it was given up, and nothing was changed."""


def stage_rewrite(
    transaction: Transaction, old: Iterable[DataFile], new: Iterable[DataFile], properties: Mapping[str, str]
) -> None:
    """Stage the replacement of data files by others that hold the same rows.

    Args:
        transaction: over fresh metadata.
        old: files to drop; all of them must be in the table now.
        new: files to add, written under the table's current partitioning.
        properties: written into the snapshot's summary.

    Raises:
        Outdated: a file was dropped, or rows of it deleted, or the table partitioned anew since.
    """
    rewrite = _Rewrite(Operation.OVERWRITE, transaction, transaction._table.io, snapshot_properties=dict(properties))  # noqa: SLF001 - as update_snapshot does it
    for file in old:
        rewrite.delete_data_file(file)
    for file in new:
        rewrite.append_data_file(file)
    try:
        rewrite.refuse_if_changed()
        rewrite.commit()
    except ValidationException as error:
        raise Outdated(str(error)) from error


def stage_merge(transaction: Transaction, properties: Mapping[str, str]) -> None:
    """Stage the merging of the current snapshot's manifests into as few as their target size allows."""
    merge = _Merge(Operation.APPEND, transaction, transaction._table.io, snapshot_properties=dict(properties))  # noqa: SLF001 - as update_snapshot does it
    merge.commit()


class _Rewrite(_OverwriteFiles):
    def refuse_if_changed(self) -> None:
        metadata = self._transaction.table_metadata
        if any(file.spec_id != metadata.default_spec_id for file in self._added_data_files):
            raise ValidationException("the table was partitioned anew since the files were written")
        snapshot = metadata.snapshot_by_name(self._target_branch)
        if any(
            manifest.content == ManifestContent.DELETES
            for manifest in (snapshot.manifests(self._io) if snapshot else ())
        ):
            raise ValidationException("rows of the table were deleted one by one since the files were read")

    def _validate_concurrency(self) -> None:
        # Instead of pyiceberg's own, which counts every row that was added anywhere as a conflict. That the old files
        # are still there is looked at in each attempt, by _validate_required_deletes.
        self.refuse_if_changed()

    def _existing_manifests(self) -> list[ManifestFile]:
        # Without those that only tell of files dropped earlier, which pyiceberg would carry along for good.
        return [
            found for found in super()._existing_manifests() if found.has_added_files() or found.has_existing_files()
        ]

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        return _replaced(super()._summary(snapshot_properties or {}))


class _Merge(_MergeAppendFiles):
    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        self._merge_enabled, self._min_count_to_merge = True, 1
        return super()._process_manifests(manifests)

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        return _replaced(super()._summary(snapshot_properties or {}))


def _replaced(summary: Summary) -> Summary:
    # pyiceberg counts the totals for no other operation than its own three.
    return Summary(operation=Operation.REPLACE, **summary.additional_properties)
