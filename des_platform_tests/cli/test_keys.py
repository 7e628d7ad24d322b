from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from des_platform_tests.cli.commands import complaint, des_here

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform


def test_a_key_is_shown_once_listed_without_itself_and_revoked(platform: Platform) -> None:
    made = des_here("keys", "create", "me", "--scope", "lake:read", "--scope", "lake:write")
    key = made.stdout.strip()
    assert (made.returncode, key.startswith("des_")) == (0, True)

    listed = des_here("keys", "ls")

    assert "lake:read lake:write, me" in listed.stdout
    assert key not in listed.stdout
    assert complaint(des_here("keys", "create", "me", "--scope", "lake:read"))
    assert des_here("keys", "revoke", "me").stdout == "me is revoked\n"
    assert complaint(des_here("keys", "revoke", "you"))


def test_the_lake_api_is_served_to_whoever_has_a_key(platform: Platform) -> None:
    key = des_here("keys", "create", "me", "--scope", "lake:read").stdout.strip()
    command = [sys.executable, "-c", "from des_platform.cli.main import main; main()", "serve", "lake", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
            request = urllib.request.Request(f"{url}api/v1/tables/", headers={"Authorization": f"Bearer {key}"})
            with urllib.request.urlopen(request) as answer:
                assert answer.read() == b"[]"
            with pytest.raises(HTTPError, match="401"):
                urllib.request.urlopen(f"{url}api/v1/tables/")
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 0


def test_without_keys_it_is_not_served_to_other_machines(platform: Platform) -> None:
    assert "--open" in complaint(des_here("serve", "lake", "--open", "--host", "0.0.0.0"))  # noqa: S104 - refused
