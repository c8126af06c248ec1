"""What the loaded model leaves of this server's memory, shared out among pictures and texts."""

from __future__ import annotations

import logging

from django.conf import settings

from classifier.capacity.container import LEAST, memory_left, memory_limit
from classifier.capacity.limits import decode_memory, decode_memory_set
from classifier.capacity.room import ROOM
from classifier.engine import Engine
from classifier.logs import line
from classifier.services.texts import idle

logger = logging.getLogger(__name__)


def memory_share(loaded: Engine) -> None:
    """Set how large pictures may be, how many may come together, and whether the text tower fits beside them."""
    if loaded.info.standin:
        return
    from classifier.engine.footprint import image_memory, streamed_text_memory, text_memory

    limit = memory_limit(int(settings.MEMORY_MB * 1e6) or None)
    limit = limit and limit // settings.SERVER_PROCESSES
    left = memory_left(limit, image_memory(loaded.info.manifest, settings.CLIP_SLOTS))
    if left < LEAST:
        logger.warning("%s", line(event="memory_short", left_mb=left / 1e6, limit_mb=(limit or 0) / 1e6))
    decode_memory_set(left)
    ROOM.resize(decode_memory())
    whole = text_memory(loaded.info.manifest)
    loaded.text_streamed = whole > ROOM.size
    idle.memory = min(ROOM.size, streamed_text_memory() if loaded.text_streamed else whole)
    logger.info("%s", line(event="memory_shared", room_mb=ROOM.size / 1e6, text_mb=idle.memory / 1e6))
