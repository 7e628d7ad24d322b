"""The Dataset component: a dataset in ten lines of YAML."""

from des_platform.components.dataset import Dataset

__all__ = ["Dataset"]
