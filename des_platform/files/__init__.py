"""One file's original bytes, wherever they live now."""

from des_platform.files.reader import FileReader, member, unpacked_member, verified

__all__ = ["FileReader", "member", "unpacked_member", "verified"]
