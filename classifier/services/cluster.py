"""The bulk core on many machines: a Ray Data job whose actors have an engine each, and take a group at a time.

What goes through Ray are names and counts. An actor reads its group's files from where they lie, and writes its shard
to where it shall lie: no picture and no embedding passes through Ray's object store, and a shard that is there is
whole. What an actor, a machine or the job is killed over is not there, and done again.

https://docs.ray.io/en/latest/data/data.html
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from classifier.engine import Config, ModelInfo, get_engine
from classifier.errors import ClusterError, ModelUnavailable, PackageMissing
from classifier.services.bulk import Tally, cores
from classifier.services.finding import name_escaped
from classifier.services.outputs import Output, Row
from classifier.services.remote import reason_of

if TYPE_CHECKING:
    from classifier.engine import Engine
    from classifier.services.groups import Group

LOCAL = "local"  # the address of this machine alone
STORE = 100_000_000  # bytes of the object store on this machine: names and counts need little
CORES = 4  # of an actor, where its machine has as many
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
TRIES = 3  # of a group whose actor is lost


@dataclass
class Report:
    """What became of a group. Goes to whoever began the job."""

    number: int
    tally: Tally = field(default_factory=Tally)
    errors: list[tuple[str, str]] = field(default_factory=list)  # (name, why)
    trouble: str = ""  # why there is no shard


@dataclass(frozen=True)
class Job:
    """What every actor is told."""

    config: Config
    info: ModelInfo  # of the model that began the job
    output: Output[object]
    lanes: int = 1

    def engine(self) -> Engine:
        """This process's. Raises ModelUnavailable where its machine has not prepared the same."""
        loaded = get_engine(self.config)
        mine, wanted = ((each.weights_sha256, each.precision) for each in (loaded.info, self.info))
        if mine != wanted:
            raise ModelUnavailable(f"{socket.gethostname()} has another model or precision: run prepare_model there.")
        return loaded

    def do(self, group: Group, loaded: Engine) -> Report:
        """Compute a group and write its shard. Whatever is wrong with it is told, and others go on."""
        report, rows = Report(group.number), []
        try:
            for result in self.output.results(group.sources(), loaded, self.lanes):
                report.tally.add(result)
                if not result.passed_over:
                    rows.append(Row(name_escaped(result.source.name), result.value, result.error))
            if rows:
                counts = {"done": report.tally.done, "failed": report.tally.failed}
                self.output.write(group.number, rows, {**group.facts, **counts})
        except Exception as error:  # of the disk, the network, or of any of fsspec's stores
            return Report(group.number, trouble=reason_of(error))
        report.errors = [(row.name, row.error) for row in rows if row.error]
        return report


class Actor:
    """What Ray starts."""

    def __init__(self, job: Job) -> None:
        self.job, self.loaded = job, job.engine()

    def __call__(self, batch: dict[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        return {"report": [pickle.dumps(self.job.do(pickle.loads(group), self.loaded)) for group in batch["group"]]}


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Ray, on this machine for as long as the block lasts, or as a client of a cluster. Raises PackageMissing,
    ClusterError."""
    ray = _ray()
    here = {"num_cpus": cores(), "object_store_memory": STORE, "include_dashboard": False, "address": LOCAL}
    try:
        ray.init(**(here if address == LOCAL else {"address": address}), log_to_driver=False, logging_level="CRITICAL")
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(f"No Ray cluster at {address}: {str(error).strip()}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if any(map(os.environ.get, TOKENS)) or Path("~/.ray/auth_token").expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # a cluster finds its token by itself, a client has to be told
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise PackageMissing("--ray needs Ray; run: pip install -r requirements-ray.txt") from error
    for name in ("ray", "ray.data"):  # what is worth knowing is raised, and said in a line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = TRIES
    context.max_errored_blocks = -1  # what has killed its actor `TRIES` times is left out
    module: ModuleType = ray
    return module


@dataclass(frozen=True)
class Pool:
    """How many actors, and the cores and cards of each."""

    actors: int
    cores: int
    cards: float

    @classmethod
    def of(cls, nodes: Sequence[Mapping[str, float]], actors: int | None, *, cards: bool) -> Pool:
        """`actors` of them, or as many of `CORES` cores as the machines hold."""
        most = int(max(node.get("CPU", 0) for node in nodes))
        if actors is None:
            each = max(1, min(CORES, most))
            actors = sum(int(node.get("CPU", 0)) // each for node in nodes) or 1
        else:
            each = max(1, min(most, int(sum(node.get("CPU", 0) for node in nodes)) // actors))
        found = sum(node.get("GPU", 0) for node in nodes) if cards else 0
        return cls(actors, each, min(1.0, found / actors))


def pool_of(ray: ModuleType, actors: int | None, config: Config) -> Pool:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Pool.of(nodes, actors, cards=config.device != "cpu")


def job_run(ray: ModuleType, job: Job, groups: Sequence[Group], pool: Pool) -> Iterator[Report]:
    """Each group's report, as it is done. Raises ClusterError where the job as such fails."""
    job, left = replace(job, lanes=pool.cores), {group.number for group in groups}
    # Without a limit Ray starts what kills its actor again for ever; its other way to set one is still to come.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", Warning)
    data = ray.data.from_items([{"group": pickle.dumps(group)} for group in groups], override_num_blocks=len(groups))
    reports = data.map_batches(
        Actor,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(pool.actors, len(groups))),
        num_cpus=pool.cores,
        num_gpus=pool.cards,
        max_task_retries=TRIES,
    )
    try:
        for row in reports.iter_rows():
            report: Report = pickle.loads(row["report"])
            left.discard(report.number)
            yield report
    except ray.exceptions.RayError as error:
        raise ClusterError(f"The Ray job failed; run it again to go on. {_reason(error)}") from error
    for number in sorted(left):
        yield Report(number, trouble="Its worker was lost again and again, perhaps over one of its pictures.")


def _reason(error: BaseException) -> str:
    """The last line that Ray says, which has what was raised."""
    return str(error).strip().splitlines()[-1]
