"""What `classify --ray` and `embed --ray` share: their arguments, and following a job on many machines."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser

from classifier.engine import ModelInfo
from classifier.errors import ClassifierError
from classifier.management import bulk as shared
from classifier.services import cluster, engines
from classifier.services.groups import Group, Listing
from classifier.services.outputs import Output

ADDRESS = re.compile(r"local|auto|(ray://)?[^/\s]+:\d+")


def ray_add(parser: CommandParser) -> None:
    parser.add_argument(
        "--ray",
        nargs="?",
        const=cluster.LOCAL,
        type=address,
        metavar="ADDRESS",
        help="as a Ray Data job, in the cluster at ADDRESS (auto, host:6379 or ray://host:10001) or on this machine; "
        "then --output is a folder, and it and paths may be addresses (s3://, gs://) and WebDataset tars",
    )
    parser.add_argument("--actors", type=shared.positive, help="with --ray, engines at work (one for each 4 cores)")


def address(text: str) -> str:
    if not ADDRESS.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no address of a Ray cluster; put --ray behind the paths.")
    return text


class Watch(shared.Watch):
    """Follows the groups of a job."""

    def __init__(self, listing: Listing, verb: str, stderr: Any) -> None:
        super().__init__(listing, verb, stderr)
        self.listing, self.pool = listing, cluster.Pool(0, 0, 0)
        self.before = listing.before
        self.tally.failed = listing.failed_before
        self.bar.update(listing.before + listing.failed_before)

    def report(self, report: cluster.Report, group: Group) -> None:
        if report.trouble:
            self.tell(f"{group.title}: {report.trouble}")
            self.tally.failed += len(group.names)
            return
        for name, error in report.errors:
            self.tell(f"{name}: {error}")
        self.tally.merge(report.tally)
        self.bar.update(report.tally.done + report.tally.failed + report.tally.passed_over)

    def rates(self) -> str:
        done, pool = self.tally.done, self.pool
        if not done:
            return ""
        read, compute = 1000 * self.tally.read / done, 1000 * self.tally.compute / done
        return (
            f" in {self.seconds:.1f} s: {done / self.seconds:.1f} a second; of processor time reading took {read:.1f} "
            f"ms each, computing {compute:.1f}; actors: {pool.actors}, cores of each: {pool.cores}"
        )


def job_follow(
    paths: list[str], options: dict[str, Any], output: Output[Any], info: ModelInfo, verb: str, stderr: Any
) -> None:
    """Run the job to its end. Raises as commands do, also where some pictures failed."""
    listing = Listing(paths, options["shard"])
    with shared.beginning(stderr):
        groups = {group.number: group for group in listing.groups(output.begin(info))}
        config = engines.engine_config()
    watch = Watch(listing, verb, stderr)
    try:
        if groups:
            with cluster.connected(options["ray"]) as ray:
                watch.pool = cluster.pool_of(ray, options["actors"], config)
                job = cluster.Job(config, info, output)
                for report in cluster.job_run(ray, job, list(groups.values()), watch.pool):
                    watch.report(report, groups[report.number])
    except ClassifierError as error:
        status = shared.SOME_FAILED if watch.tally.done else shared.NOTHING_DONE
        raise CommandError(str(error), returncode=status) from error
    watch.end()
