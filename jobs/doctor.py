"""Check the installation: versions, machine, GPU, disks, write access, credentials, the hub, Ray.

One line a finding, PASS, WARN or FAIL, with the way to mend it. What is written for a test is deleted again; secrets
are never shown. The exit status is 1 when a check fails.
"""

import argparse
import sys

from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank doctor                                                    with the settings of every job
  tilebank doctor --store s3://bucket/prefix --tracking http://mlflow:5000
  tilebank doctor --dataset mystudy --encoder dinov2-small --set encoder.checkpoint=/weights/dinov2-small
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.doctor.doctor import examine

    return examine(settings_of(args))


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share("dataset", "encoder", "root", "store", "tracking")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
