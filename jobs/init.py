"""Write the configuration of a new dataset: afterwards --dataset NAME is enough in every job.

Looks at the label table and at a few files, says what it saw, and writes datasets/NAME.yaml into your configuration
folder ($TILEBANK_CONF, else ./conf). Nothing else is written, and no image is decoded.
"""

import argparse
import sys

from tilebank.flows.reporting.job import Summary, job_parser, run_job

EXAMPLES = """examples:
  tilebank init mystudy --root ~/dicoms --labels labels.csv
  tilebank init mystudy --root ~/dicoms --labels labels.csv --exam-key study_uid --licence CC-BY-4.0 --redistributable
  tilebank init embed-emory --adapter embed --root s3://my-bucket/embed
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.init.init import InitRequest, init_dataset

    names = ("name", "root", "labels", "adapter", "exam_key", "licence", "redistributable", "force")
    return init_dataset(InitRequest(**{name: getattr(args, name) for name in names}))


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="what to call the dataset")
    parser.add_argument("--root", required=True, metavar="URI", help="folder or s3:// prefix that holds the images")
    parser.add_argument("--labels", default="", metavar="CSV", help="breast_id, or exam_id and laterality; then facts")
    parser.add_argument("--adapter", default="folder", metavar="NAME", help="folder, or the public dataset it is")
    parser.add_argument(
        "--exam-key",
        choices=["accession_number", "study_uid"],
        help="the tag that holds the labels' exam_id (default: the one that fits the labels)",
    )
    parser.add_argument("--licence", default="", metavar="NAME", help="the data's licence (default unknown)")
    parser.add_argument("--redistributable", action="store_true", help="vectors and heads made from it may be shared")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
