"""A throwaway PostgreSQL in a temporary folder, on a Unix socket only."""

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class Cluster:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rb-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        # PostgreSQL refuses to run as root.
        self._as_postgres: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            identity = ("--reuid=postgres", "--regid=postgres", "--clear-groups")
            self._as_postgres = ["setpriv", *identity]

    def start(self) -> None:
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync")
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c shared_buffers=32MB"
        self._run(
            "pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """A new, empty database, and its address."""
        self._run("createdb", "-h", self.folder, "-U", "postgres", name)
        return self.address(name)

    def address(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_postgres, binary(program), *map(str, arguments)]
        # Not a pipe: the server would inherit it, and its end would never come.
        with open(os.devnull, "w") as nowhere:
            subprocess.run(command, check=True, cwd="/", stdout=nowhere, timeout=60)


def binary(program: str) -> str:
    """Debian keeps the server's programs out of PATH."""
    folder = os.environ.get("PG_BIN")
    found = [os.path.join(folder, program)] if folder else []
    found += sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"), reverse=True)
    found += [path for path in [shutil.which(program)] if path]
    if not found:
        raise RuntimeError(f"no {program} of PostgreSQL found: set PG_BIN to its folder")
    return found[0]
