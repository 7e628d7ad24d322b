from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform


@pytest.fixture(params=["platform", "s3_platform"])
def any_platform(request: pytest.FixtureRequest) -> Platform:
    return request.getfixturevalue(request.param)


def test_every_file_comes_back_from_its_archive(any_platform: Platform) -> None:
    contents = {"empty": b"", "small.txt": b"a" * 500, "large.txt": b"abc" * 5000, "random": bytes(range(256)) * 2}
    for name, content in contents.items():
        any_platform.put(name, content)

    any_platform.run_all()

    rows = any_platform.rows()
    assert {name: any_platform.reader.read(row) for name, row in rows.items()} == contents
    assert all(row.container_id is not None for row in rows.values())
