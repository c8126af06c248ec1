"""How gunicorn serves the application, on a dyno and by script/server. https://docs.gunicorn.org/en/stable/settings.html"""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
# One process holds one model; threads share it. Heroku sets WEB_CONCURRENCY to 2 on 512 MB, which is a guess made for
# applications without a model, so it counts only where a person set it. No preload: a fork after torch's threads
# have started hangs.
workers = int(os.environ.get("WEB_CONCURRENCY", "1")) if "WEB_CONCURRENCY_SET_BY" not in os.environ else 1
worker_class = "gthread"
threads = 16  # mostly waiting for slow clients; how many classify at a time is decided in the application
timeout = 60  # seconds without a sign of life before a worker is replaced
graceful_timeout = 25  # seconds; Heroku kills 30 s after SIGTERM
keepalive = 5  # seconds
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a heartbeat on a busy disk can stall
accesslog = None
