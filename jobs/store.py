"""Look after the store: see what it holds, check that it is whole, keep it quick and small.

list and verify change nothing. compact, index, drop and clean hold the table's lease: they are refused while an
extraction writes the table, and with --plan they only say what they would do.
"""

import argparse
import sys
from datetime import timedelta

from tilebank.flows.maintain.store import ACTIONS, Request, maintain
from tilebank.flows.reporting.job import Summary, at_least, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/store.py list
  python jobs/store.py verify --dataset phantom --encoder texture
  python jobs/store.py compact --dataset phantom --plan
  python jobs/store.py drop --dataset phantom --fingerprint 0123456789abcdef --yes
  python jobs/store.py clean --dataset phantom --older-than 30
"""


def flow(args: argparse.Namespace) -> Summary:
    age = None if args.older_than is None else timedelta(days=args.older_than)
    request = Request(args.action, fingerprint=args.fingerprint, older_than=age, plan=args.plan, yes=args.yes)
    return maintain(settings_of(args), request)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    said = "; ".join(f"{action}: {what}" for action, what in ACTIONS.items())
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help=said)
    parser.add_argument("--fingerprint", default="", metavar="F", help="which vectors to drop")
    parser.add_argument(
        "--older-than", type=at_least(0), metavar="DAYS", help="what clean may remove (default 14 days, 0: all of it)"
    )
    parser.add_argument("--plan", action="store_true", help="look only: say what would be done")
    parser.add_argument("--yes", action="store_true", help="drop without asking")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
