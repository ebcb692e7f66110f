"""The application as it is really run: `serve`, four workers, a Unix socket."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

from redditload.workers import FAILURES, Address, Application, Refused

HERE = Path(__file__).resolve().parent.parent


class Served(Application):
    def __init__(self, database_url: str, folder: Path, **environment: str) -> None:
        self.address = f"unix:{folder}/app.sock"
        super().__init__(Address(self.address))
        self.log = folder / "log"
        settings = {"DATABASE_URL": database_url, "BIND": self.address, "RUN_DIR": str(folder)}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [HERE / "serve"],
                env={**os.environ, "VENV": sys.prefix, **settings, **environment},
                stderr=log,
                stdout=log,
            )

    def wait_until_up(self) -> None:
        wait_for(lambda: self.process.poll() is not None or self.is_up(), 30, self.log.read_text)
        assert self.process.poll() is None, self.log.read_text()

    def is_up(self) -> bool:
        try:
            return len(self.workers()) == 4
        except (*FAILURES, Refused):
            return False

    def checked_out(self) -> list[int]:
        return [pool["checked_out"] for pool in self.pools()]

    def pools(self) -> list[dict[str, Any]]:
        return [worker.ask("GET", "/health/database/pool") for worker in self.workers()]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


def wait_for(
    condition: Callable[[], bool], seconds: float, explain: Callable[[], object] = str
) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {explain()}"
        time.sleep(0.05)
