"""A process that leases a naming node and mints, told what to do line by line: `python -m`, URL and clock offset."""

from __future__ import annotations

import sys
import time
from datetime import date

import sqlalchemy as sa

from des_platform.catalog.database import Catalog
from des_platform.catalog.nodes import leased_node
from des_platform.naming import NameMinter


def main(url: str, offset_ms: int) -> None:
    """Say the node, then mint as many names as each line of standard input asks for, and print them."""
    catalog = Catalog(sa.create_engine(url))
    with leased_node(catalog) as leased:
        sys.stdout.write(f"{leased.node}\n")
        sys.stdout.flush()
        minter = NameMinter(
            "DES", leased.node, clock_ms=lambda: time.time_ns() // 1_000_000 + offset_ms, reserve=leased.reserve
        )
        for line in sys.stdin:
            sys.stdout.write("".join(f"{name}\n" for name in minter.mint_many(date(2026, 3, 1), int(line))))
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
