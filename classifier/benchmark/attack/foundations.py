"""Servers that were considered for this application, each as its manual would start it: `script/attack --foundation`.

waitress, granian and hypercorn come with requirements-benchmark.txt, nginx from the system.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from classifier.benchmark.server import Server

THREADS = "24"  # as many as gunicorn.conf.py has
APPLICATION = "heroku_clip.wsgi:application"


class Foundation(Server):
    """The application on another server."""

    program = ""

    def command(self) -> list[str]:
        return [str(Path(sys.executable).with_name(self.program)), *self.arguments()]

    def arguments(self) -> list[str]:
        raise NotImplementedError


class GThread(Foundation):
    program = "gunicorn"

    def arguments(self) -> list[str]:
        return ["--worker-class=gthread", "heroku_clip.wsgi"]


class Waitress(Foundation):
    program = "waitress-serve"

    def arguments(self) -> list[str]:
        return [
            f"--listen=127.0.0.1:{self.port}",
            f"--threads={THREADS}",
            "--connection-limit=1000",
            "--channel-timeout=20",
            "--recv-bytes=262144",
            "--inbuf-overflow=65536",
            "--asyncore-use-poll",
            "--max-request-body-size=28000000",
            APPLICATION,
        ]


class Granian(Foundation):
    program = "granian"

    def arguments(self) -> list[str]:
        return [
            "--interface=wsgi",
            "--host=127.0.0.1",
            f"--port={self.port}",
            f"--blocking-threads={THREADS}",
            "--http1-header-read-timeout=15000",
            "--respawn-failed-workers",
            "--workers-kill-timeout=25",
            APPLICATION,
        ]


class Hypercorn(Foundation):
    program = "hypercorn"

    def arguments(self) -> list[str]:
        return [
            f"--bind=127.0.0.1:{self.port}",
            "--workers=1",
            "--read-timeout=20",
            "--graceful-timeout=25",
            f"wsgi:{APPLICATION}",
        ]


NGINX = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 2048; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    limit_conn_zone $binary_remote_addr zone=address:1m;
    server {{
        listen 127.0.0.1:{port}; limit_conn address 64;
        client_max_body_size 28m; client_header_timeout 15s; client_body_timeout 10s; send_timeout 20s;
        large_client_header_buffers 4 8k;
        location / {{ proxy_pass http://unix:{folder}/socket; proxy_set_header Host $http_host; proxy_http_version 1.1;
                      proxy_read_timeout 60s; proxy_max_temp_file_size 1024m; }}
    }}
}}
"""


class Nginx(Foundation):
    """nginx before gunicorn's own threaded worker, as heroku-buildpack-nginx starts the two: either's end ends both."""

    def command(self) -> list[str]:
        self.folder = tempfile.mkdtemp(prefix="nginx-")
        user = "" if os.geteuid() else "user root;"  # else another user's, who cannot reach the socket
        Path(self.folder, "nginx.conf").write_text(NGINX.format(folder=self.folder, port=self.port, user=user))
        gunicorn = Path(sys.executable).with_name("gunicorn")
        script = f"""
            {gunicorn} --worker-class=gthread --bind=unix:{self.folder}/socket heroku_clip.wsgi & app=$!
            nginx -c {self.folder}/nginx.conf & front=$!
            trap 'kill -QUIT $front; kill -TERM $app; wait $app; status=$?; wait $front; exit $status' TERM
            wait -n; exit 1
        """
        return ["bash", "-c", script]

    def stop(self, timeout: float = 40) -> int | None:
        status = super().stop(timeout)
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


FOUNDATIONS: dict[str, type[Server]] = {
    "procfile": Server,
    "gthread": GThread,
    "nginx": Nginx,
    "waitress": Waitress,
    "granian": Granian,
    "hypercorn": Hypercorn,
}
