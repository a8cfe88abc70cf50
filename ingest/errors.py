"""The one error tree. Failures of a request are exceptions; failures of a document are values.

IngestError
├─ ConfigError             a setting, rule or file that stops the start (exit code 1)
├─ RequestError            refuses one HTTP request; carries the answer's status and type
│  ├─ MalformedRequest     400  the body cannot be framed: broken JSON array, damaged gzip
│  ├─ NotFound             404  no such path or route
│  ├─ SlowSender           408  less than `min_body_bytes_per_s`
│  ├─ BodyTooLarge         413  an array or object over one buffer, or a decompression limit
│  ├─ UnsupportedMedia     415  content type or encoding that is not read here
│  ├─ Shed                 429  no buffer or no room for pending bytes; carries Retry-After
│  ├─ HeadTooLarge         431  the head of the request
│  └─ Unavailable          503  draining, or the outcome is not known yet; carries Retry-After
└─ DocumentRefused         one document can not go on; the parser makes a `model.Rejection` of it
"""

from copy import copy
from typing import ClassVar, Self


class IngestError(Exception):
    """Root of everything that this program raises on purpose."""


class ConfigError(IngestError):
    """A configuration that the service can not start with; the text names file, key and reason."""


class RequestError(IngestError):
    """Refuses a request. `status` is the HTTP status, `type` the machine-readable kind."""

    status: ClassVar[int] = 400
    type: ClassVar[str] = "bad_request"
    retry_after_s: int | None = None

    def __init__(self, reason: str, *, type: str | None = None, retry_after_s: int | None = None):
        super().__init__(reason)
        self.reason = reason
        self.kind = type or self.type
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    def anew(self) -> Self:
        """What to raise of an error that is kept: the one that is raised holds on to the frames
        that it passes, and to the bodies in them."""
        return copy(self)


class MalformedRequest(RequestError):
    """The request can not be read as HTTP or its body can not be framed into documents."""

    type = "malformed_request"


class NotFound(RequestError):
    """No such path, or no route of that name."""

    status = 404
    type = "not_found"


class SlowSender(RequestError):
    """The sender stayed below `min_body_bytes_per_s` and gives its buffer up."""

    status = 408
    type = "slow_sender"


class BodyTooLarge(RequestError):
    """What must be held at once is larger than a buffer, or decompresses beyond a limit."""

    status = 413
    type = "body_too_large"


class UnsupportedMedia(RequestError):
    """A content type or encoding that this service does not read."""

    status = 415
    type = "unsupported_media_type"


class Shed(RequestError):
    """No room within `buffer_wait_s`: the request is refused so that memory stays bounded."""

    status = 429
    type = "overloaded"
    retry_after_s = 1


class HeadTooLarge(RequestError):
    """The request's head does not fit into what is kept for it."""

    status = 431
    type = "head_too_large"


class Unavailable(RequestError):
    """The service can not answer for these documents now; the same request may succeed later."""

    status = 503
    type = "unavailable"
    retry_after_s = 1


class DocumentRefused(IngestError):
    """One document can not go on, its neighbours can. Never leaves the parser's loop."""

    def __init__(self, type: str, reason: str, status: int = 400):
        super().__init__(reason)
        self.type = type
        self.reason = reason
        self.status = status
