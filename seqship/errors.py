"""What seqship raises, and the exit code that the command line gives it.

```
SeqshipError               exit code 2
├── DataError              a data file, folder or array breaks the rules of its layout
├── ModelError             a model cannot be read, built or exported
├── OutputError            the output cannot be written where it was asked for
├── DependencyError        a feature needs a package of an extra that is not installed
├── BundleError            a path is no bundle, or its manifest cannot be read
│   └── TamperedError      exit code 1: a file of the bundle is not the one its manifest names
├── ProofError             exit code 1: the runtimes do not compute the same
└── ServiceError           a server did not answer a request; .code is gRPC's name of why
    ├── UnavailableError   it cannot be reached, or has no room: asking again may help
    ├── DeadlineError      it did not answer in time
    └── RejectedError      it refused the request, which fails again as it stands
```

Every message is one line: the rule, the value met, the way out.
"""

from __future__ import annotations


class SeqshipError(Exception):
    """Base of all errors that a caller can act on."""

    exit_code = 2


class DataError(SeqshipError):
    """A data file, folder or array breaks the rules of its layout."""


class ModelError(SeqshipError):
    """A model cannot be read, built or exported."""


class OutputError(SeqshipError):
    """The output cannot be written where it was asked for."""


class DependencyError(SeqshipError):
    """A feature needs a package that is not installed."""


class BundleError(SeqshipError):
    """A path is no bundle, or its manifest cannot be read."""


class TamperedError(BundleError):
    """A file of the bundle is missing or is not the one its manifest names."""

    exit_code = 1


class ProofError(SeqshipError):
    """The runtimes do not compute the same."""

    exit_code = 1


class ServiceError(SeqshipError):
    """A server did not answer a request.

    Attributes:
        code: gRPC's name of the failure, such as "NOT_FOUND"; "UNKNOWN" for an answer that is none of the API's.
        http_status: Status of the HTTP response; None without one.
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status


class UnavailableError(ServiceError):
    """A server cannot be reached, or has no room for the request now.

    Attributes:
        retry_after: Seconds that the server asks to wait; None where it does not.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNAVAILABLE",
        http_status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, http_status=http_status)
        self.retry_after = retry_after


class DeadlineError(ServiceError):
    """A server did not answer in time."""


class RejectedError(ServiceError):
    """A server refused a request, which fails again as it stands."""
