"""How gunicorn serves the application, on a dyno and by script/server. https://gunicorn.org/reference/settings/"""

import ctypes
import os
import sys
import threading
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from gunicorn.arbiter import Arbiter

from heroku_clip.worker import BufferingWorker, Logger


def env(name: str, default: str) -> str:
    """A variable of the environment; an empty one counts as unset, as in settings.py."""
    return os.environ.get(name, "").strip() or default


def env_count(name: str, default: int) -> int:
    """A whole number from 1 on; anything else ends the start with a sentence."""
    value = env(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        sys.exit(f"{name} is {value!r}; it must be a whole number, 1 or more.")
    return int(value)


bind = f"0.0.0.0:{env('PORT', '8000')}"
# One process holds one model; threads share it. Heroku sets WEB_CONCURRENCY to 2 on 512 MB, which is a guess made for
# applications without a model, so it counts only where a person set it. No preload: a fork after torch's threads
# have started hangs.
workers = 1 if env("WEB_CONCURRENCY_SET_BY", "") else env_count("WEB_CONCURRENCY", 1)
os.environ["SERVER_PROCESSES"] = str(workers)  # which share the memory that there is
worker_class = BufferingWorker
# More than CLIP_SLOTS and CLIP_QUEUE together, so that pages are served while pictures wait.
threads = env_count("WEB_THREADS", 24)
worker_connections = 512  # clients that are sending, waiting, reading or keeping a connection open
timeout = 60  # seconds without a sign of life before a worker is replaced
graceful_timeout = 25  # seconds; Heroku kills 30 s after SIGTERM
keepalive = 5  # seconds
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a heartbeat on a busy disk can stall
control_socket_disable = True  # nobody uses it
logger_class = Logger
accesslog = None
secure_scheme_headers = {}  # who is believed about X-Forwarded-Proto is Django's to decide: see TRUSTED_PROXIES

# Seconds after which a statement is given up and the visitor told to come back; commands wait for ever.
os.environ["DATABASE_SECONDS"] = env("DATABASE_SECONDS", "10")

# torch's threads, where it has several, would spin while they wait for each other, on the cores that decode pictures.
os.environ["OMP_WAIT_POLICY"] = env("OMP_WAIT_POLICY", "PASSIVE")

# --- Memory ------------------------------------------------------------------------------------------------------

# https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def memory_tune() -> None:
    """Keep glibc from hoarding. By itself it makes eight arenas per core, of which each keeps what it once held, and
    raises the size from which memory is given back at once to 32 MB as soon as such a block was freed.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # not glibc
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024)
    mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024)


memory_tune()  # the workers inherit it

# --- A worker's life ---------------------------------------------------------------------------------------------


def post_fork(server: Arbiter, worker: BufferingWorker) -> None:
    """Keep torch from loading what it needs to compile models and never to run them: 17 MB of Python. And have threads
    that run Python take turns five times as often: else the main loop waits for each of them, 5 ms at a time.
    """
    sys.setswitchinterval(0.001)  # seconds
    name = "torch._meta_registrations"
    sys.modules.setdefault(name, types.ModuleType(name))


def post_worker_init(worker: BufferingWorker) -> None:
    """The port is bound and requests are taken; the model loads meanwhile."""
    from classifier.services import upkeep

    threading.Thread(target=upkeep.run, name="upkeep", daemon=True).start()
