"""Every worker also answers on a socket of its own.

The workers of one application share a listening socket, so nobody can choose who answers there.
The sockets `RUN_DIR/worker-PID.sock` are how a load makes one worker hot, and how a test asks each
for its truth.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Blueprint

routes = Blueprint("workers", __name__, url_prefix="/workers")


@routes.get("")
def workers() -> dict[str, Any]:
    """Those that listen, and how many there are to be: they start one after the other."""
    return {
        "configured": int(os.environ.get("WORKERS", 1)),
        "workers": [{"pid": pid, "socket": str(path)} for pid, path in sorted(sockets())],
    }


def sockets() -> Iterator[Any]:
    run_dir = os.environ.get("RUN_DIR")
    for path in Path(run_dir).glob("worker-*.sock") if run_dir else ():
        yield int(path.stem[len("worker-") :]), path.absolute()


def socket_path(run_dir: str, pid: object) -> str:
    return os.path.join(run_dir, f"worker-{pid}.sock")
