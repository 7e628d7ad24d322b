"""A data platform on Dagster for object stores that drown in small files and bulky ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from des_platform.components.dataset import Dataset

__all__ = ["Dataset"]


def __getattr__(name: str) -> type[Dataset]:
    """Give `des_platform.Dataset`, the component of a `defs.yaml`; only who asks for it loads Dagster."""
    if name == "Dataset":
        from des_platform.components.dataset import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
