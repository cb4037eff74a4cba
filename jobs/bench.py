"""Time the platform's parts on this machine: every ratio is to a variant of the same run, on the same input.

phantom   writing the study: one process, one a core
read      from bytes to tiles, stage by stage
encode    the encoder alone, at several batch sizes
extract   a whole extraction through Ray, a plain loop over the same images
store     commits and reads, plain .npy files
search    many heads in one pack, in packs side by side, one after another
"""

import argparse
import sys
from dataclasses import fields

from tilebank.flows.bench import PARTS, BenchSizes, bench_parts
from tilebank.flows.command import Summary, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/bench.py                                    everything, less than five minutes on two cores
  python jobs/bench.py search --heads 72 --json bench.json
  python jobs/bench.py encode extract --encoder dinov2-small --exams 4
"""


def flow(args: argparse.Namespace) -> Summary:
    sizes = BenchSizes(**{field.name: getattr(args, field.name) for field in fields(BenchSizes)})
    return bench_parts(settings_of(args), args.parts, sizes=sizes)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all of them)")
    for field in fields(BenchSizes):
        flag, what = f"--{field.name.replace('_', '-')}", f"{field.metadata['what']} (default {field.default})"
        parser.add_argument(flag, type=int, default=field.default, metavar="N", help=what)
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
