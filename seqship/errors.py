"""What seqship raises, and the exit code that the command line gives it.

```
SeqshipError               exit code 2
├── DataError              a data file, folder or array breaks the rules of its layout
├── ModelError             a model cannot be read, built or exported
├── OutputError            the output cannot be written where it was asked for
├── DependencyError        a feature needs a package of an extra that is not installed
├── BundleError            a path is no bundle, or its manifest cannot be read
│   └── TamperedError      exit code 1: a file of the bundle is not the one its manifest names
└── ProofError             exit code 1: the runtimes do not compute the same
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
