"""Talks to the workers, each on its own Unix socket; only this machine is ever contacted."""

import http.client
import ipaddress
import json
import socket
import threading
import time
from typing import Any, Optional
from urllib.parse import urlsplit

FAILURES = (OSError, http.client.HTTPException, ValueError)


class Refused(Exception):
    """The application answered, but not with 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Address:
    """Where an application or one of its workers answers: `unix:/path` or `http://127.0.0.1:8000`."""

    def __init__(self, address: str) -> None:
        self.path: Optional[str] = None
        if address.startswith("unix:"):
            self.path = address[len("unix:") :]
            return
        parts = urlsplit(address if "//" in address else f"http://{address}")
        if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
            raise ValueError(
                f"{address!r} is neither unix:/path nor an http address of this machine's loopback"
            )
        self.host, self.port = parts.hostname or "", parts.port or 80

    def ask(self, method: str, path: str, timeout: float = 60) -> dict[str, Any]:
        """One request on a connection of its own: none is left that the application could close."""
        connection = self.connection(timeout)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            body: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise Refused(response.status, body.get("message", ""))
        return body

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        if self.path:
            return UnixConnection(self.path, timeout)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Worker(Address):
    """One worker process."""

    def __init__(self, pid: int, path: str) -> None:
        super().__init__(f"unix:{path}")
        self.pid = pid

    def capacity(self) -> int:
        """The most connections its pool gives out; the usual number where there is no limit."""
        return int(self.ask("GET", "/health/database/pool", timeout=10).get("capacity", 20))


class Application:
    """All workers of one application."""

    def __init__(self, target: Address) -> None:
        self.target = target

    def workers(self) -> list[Worker]:
        """The workers there are now: they come and go."""
        return self._workers()[0]

    def _workers(self) -> tuple[list[Worker], bool]:
        answer = self.target.ask("GET", "/workers", timeout=10)
        workers = [Worker(worker["pid"], worker["socket"]) for worker in answer["workers"]]
        return workers, len(workers) >= answer["configured"]

    def wait_for_workers(self, seconds: float, stop: threading.Event) -> list[Worker]:
        """The workers, once all are up; those that are when time is over, which may be none."""
        workers: list[Worker] = []
        until = time.monotonic() + seconds
        while not stop.is_set() and time.monotonic() < until:
            try:
                workers, complete = self._workers()
            except (*FAILURES, Refused):
                workers, complete = [], False
            if complete:
                break
            stop.wait(0.2)
        return workers

    def put_right(self) -> None:
        """Give back what is leaked or held and restore indexes, also for a load that was killed."""
        for worker in self.workers():
            try:
                worker.ask("POST", "/troubles/release", timeout=2)
            except FAILURES:
                continue  # Gone meanwhile, and with it what it kept.
        for name in self.target.ask("GET", "/troubles", timeout=5)["missing_indexes"]:
            self.target.ask("POST", f"/troubles/indexes/{name}/restore")
