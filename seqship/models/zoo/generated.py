"""What recipes without files of their own say to `--data`."""

from __future__ import annotations

from seqship.errors import DataError
from seqship.models.recipe import LoadOptions


def generated_alone(options: LoadOptions, family: str) -> None:
    """Refuses a file, or columns of one, where data is generated.

    Args:
        options: What the data is to be read by.
        family: What the recipes are called together.

    Raises:
        DataError: There is a path, or there are columns.
    """
    if options.path is not None:
        raise DataError(f"the {family} recipes generate their data, met the file {options.path}; leave --data out")
    if options.columns:
        raise DataError(f"the {family} recipes generate their data, met columns; leave --column out")
