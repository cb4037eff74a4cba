"""Maintain the store: list, verify, compact, index, drop and clean its tables.

list and verify change nothing. compact, index, drop and clean hold the table's lease: they are refused while an
extraction writes the table, and with --plan they only say what they would do.
"""

import argparse
import sys
from datetime import timedelta

from tilebank.flows.maintain.request import ACTIONS, Request
from tilebank.flows.reporting.flags import JobParser, at_least
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank store list
  tilebank store verify --dataset phantom --encoder texture
  tilebank store compact --dataset phantom --plan
  tilebank store drop --dataset phantom --fingerprint 0123456789abcdef --yes
  tilebank store clean --dataset phantom --older-than 30
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.maintain.store import maintain

    age = None if args.older_than is None else timedelta(days=args.older_than)
    request = Request(args.action, fingerprint=args.fingerprint, older_than=age, plan=args.plan, yes=args.yes)
    return maintain(settings_of(args), request)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    said = "; ".join(f"{action}: {what}" for action, what in ACTIONS.items())
    parser.what.add_argument("action", choices=ACTIONS, metavar="ACTION", help=said)
    parser.share("dataset", "encoder", "store", "tracking")
    parser.what.add_argument("--fingerprint", default="", metavar="F", help="which vectors to drop")
    what = "what clean may remove (default 14 days, 0: all of it)"
    parser.what.add_argument("--older-than", type=at_least(0), metavar="DAYS", help=what)
    parser.how.add_argument("--plan", action="store_true", help="only say what would be done")
    parser.how.add_argument("--yes", action="store_true", help="drop without asking")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
