"""Say in one sentence why a file or table could not be read or written, whichever library failed.

pyarrow, Lance, LanceDB and boto3 each report a failed S3 request in their own words, some in hundreds of characters of
Rust. `storage_reason` recognises the usual causes and names the setting to check; the original text goes to the debug
log.
"""

import logging
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

logger = logging.getLogger(__name__)

LONGEST = 200  # characters of a message that is not recognised
KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
ENDPOINT = "AWS_ENDPOINT_URL"
RUST_PLACE = re.compile(r",? ?(?:/\S+\.rs:\d+:\d+|location: Location \{.*?\}(?:, backtrace: \w+)?)")
USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class _Cause:
    """How the libraries word one cause, and what a message says of it. final: asking again cannot help."""

    pattern: re.Pattern[str]
    sentence: str
    final: bool


def _cause(pattern: str, sentence: str, *, final: bool = True) -> _Cause:
    return _Cause(re.compile(pattern, re.DOTALL), sentence, final)


# The first that fits counts. Every message of Lance holds the words "retry_timeout" and "max_retries".
CAUSES = (
    _cause(
        "NoSuchBucket|NO_SUCH_BUCKET|^Bucket '.*' not found",
        f"there is no bucket {{bucket}} at {{endpoint}}; check the URI and {ENDPOINT}",
    ),
    _cause(
        "ExpiredToken|EXPIRED_TOKEN|TokenRefreshRequired",
        "the S3 credentials have expired; renew them (AWS_SESSION_TOKEN)",
    ),
    _cause(
        "InvalidAccessKeyId|INVALID_ACCESS_KEY_ID|SignatureDoesNotMatch|SIGNATURE_DOES_NOT_MATCH|InvalidToken"
        "|InvalidClientTokenId|UnrecognizedClient|UNRECOGNIZED_CLIENT",
        f"{{endpoint}} does not accept these credentials; check {KEYS}",
    ),
    _cause(
        "CredentialsNotLoaded|Failed to get AWS credentials|Unable to locate credentials|no providers in chain"
        "|PartialCredentials",
        f"no S3 credentials were found; set {KEYS}",
    ),
    _cause(
        "AccessDenied|ACCESS_DENIED|403 Forbidden|status: 403|AllAccessDisabled",
        f"{{endpoint}} denied access to bucket {{bucket}}; check {KEYS}, and what they are allowed to do there",
    ),
    _cause(
        "HTTP error: builder error|URL scheme is not allowed",
        "{endpoint} is not HTTPS; set AWS_ALLOW_HTTP=true to use it",
    ),
    _cause(
        "dns error|failed to lookup address|Could not resolve host|curlCode: 6,|Name or service not known",
        f"the host of {{endpoint}} is not known; check {ENDPOINT} and the network",
        final=False,
    ),
    _cause(
        "[Cc]onnection ?[Rr]efused|Could not connect to server",
        f"{{endpoint}} refused the connection; check {ENDPOINT}",
        final=False,
    ),
    _cause(
        "SlowDown|SLOW_DOWN|503 Service Unavailable|status: 503|ServiceUnavailable",
        "{endpoint} is overloaded (503); try again later",
        final=False,
    ),
    _cause(
        r"TimedOut|timed out|kind: Timeout|[Rr]ead timeout|Connect timeout|curlCode: 28|Timeout was reached",
        f"{{endpoint}} did not answer in time; check {ENDPOINT} and the network",
        final=False,
    ),
    _cause(
        'Generic S3 error|Generic (?:{ store: )?"?S3|AWS Error NETWORK_CONNECTION|Could not connect to the endpoint'
        "|HttpError|EndpointConnectionError|Connection was closed|error sending request",
        f"cannot connect to {{endpoint}}; check {ENDPOINT} and the network",
        final=False,
    ),
)


def storage_reason(error: BaseException, uri: str) -> str:
    """Why the request for `uri` failed, as the end of a message; the library's own text goes to the debug log.

    For a local path, and for a cause that is not known, it is the first lines of that text without places in code.
    """
    logger.debug("%s: %s: %s", _without_user(uri), type(error).__name__, _without_user(str(error)))
    if cause := _cause_of(error, uri):
        return cause.sentence.format(endpoint=_endpoint(), bucket=_bucket(uri))
    text = _without_user(" ".join(RUST_PLACE.sub("", str(error)).split()))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def is_failed_request(error: BaseException, uri: str) -> bool:
    """Whether a request to an object store failed, as against an answer that nothing is there."""
    return _cause_of(error, uri) is not None


def is_final(error: BaseException, uri: str) -> bool:
    """Whether the same request would fail again: wrong credentials, no permission, no such bucket."""
    cause = _cause_of(error, uri)
    return cause is not None and cause.final


def _cause_of(error: BaseException, uri: str) -> _Cause | None:
    if not uri.startswith("s3://") or isinstance(error, FileNotFoundError):
        return None
    text = str(error)
    return next((cause for cause in CAUSES if cause.pattern.search(text)), None)


def _endpoint() -> str:
    found = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not found:
        return "Amazon S3"
    parts = urlsplit(found)
    return f"the S3 endpoint {urlunsplit((parts.scheme, parts.netloc.rpartition('@')[2], parts.path, '', ''))}"


def _bucket(uri: str) -> str:
    return urlsplit(uri).netloc.rpartition("@")[2]


def _without_user(text: str) -> str:
    """`text` without what stands before the @ of an address, which may be a password."""
    return USER_INFO.sub("", text)
