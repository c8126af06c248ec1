"""What an upload costs on our server beside another one, in turns: `script/attack --beside gthread`."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from classifier.benchmark.load import photos, upload_many
from classifier.benchmark.server import Server, processes

ROUNDS = 7
UPLOADS = 96  # in each turn
CLIENTS = (1, 8)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Turns:
    """Of one server, a number for each turn."""

    rates: list[float] = field(default_factory=list)  # uploads a second
    cpu: list[float] = field(default_factory=list)  # milliseconds of processor time an upload


def compared(ours: Server, other: Server) -> str:
    """Two lines, for one client and for several: medians, and the median ratio of the turns side by side."""
    lines = []
    for clients in CLIENTS:
        turns = {id(ours): Turns(), id(other): Turns()}
        for number in range(ROUNDS + 1):
            for server in (ours, other) if number % 2 else (other, ours):
                _turn(server, clients, turns[id(server)], kept=number > 0)  # the first round warms both
        lines.append(_line(clients, turns[id(ours)], turns[id(other)]))
    return "\n".join(lines)


def _turn(server: Server, clients: int, turns: Turns, *, kept: bool) -> None:
    before = _cpu(server)
    result = upload_many(server, list(photos().values()), clients=clients, uploads=UPLOADS)
    if set(result.answers) != {302}:
        raise RuntimeError(f"uploads were answered {dict(result.answers)}")
    if kept:
        turns.rates.append(result.rate)
        turns.cpu.append(1000 * (_cpu(server) - before) / UPLOADS)


def _cpu(server: Server) -> float:
    """Seconds of processor time of the server's processes so far."""
    total = 0
    for pid in processes(server.process.pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _line(clients: int, ours: Turns, other: Turns) -> str:
    rate, cpu = (
        statistics.median(mine / theirs for mine, theirs in zip(one, two, strict=True))
        for one, two in ((ours.rates, other.rates), (ours.cpu, other.cpu))
    )
    medians = [statistics.median(values) for values in (ours.rates, other.rates, ours.cpu, other.cpu)]
    who = "1 client" if clients == 1 else f"{clients} clients"
    rates = f"{medians[0]:.1f} and {medians[1]:.1f} uploads a second, ratio {rate:.2f}"
    return f"{who}: {rates}; {medians[2]:.1f} and {medians[3]:.1f} ms of processor time, ratio {cpu:.2f}"
