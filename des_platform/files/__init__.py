"""One file's original bytes, wherever they live now."""

from des_platform.files.reader import FileReader, codec_of, member, verified

__all__ = ["FileReader", "codec_of", "member", "verified"]
