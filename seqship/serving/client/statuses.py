"""The state of versions out of the `GetModelStatusResponse` that a server answers with."""

from __future__ import annotations

from seqship.serving.client.contract import VersionStatus
from seqship.wire.messages import POOL, ModelVersionStatus, Proto

_CODES = POOL.FindEnumTypeByName("tensorflow.error.Code").values_by_number
_STATES = ModelVersionStatus.DESCRIPTOR.enum_types_by_name["State"].values_by_number


def version_statuses(response: Proto) -> tuple[VersionStatus, ...]:
    """Returns the state of each version, the newest first."""
    made = (
        VersionStatus(
            one.version,
            _name(_STATES, one.state),
            _name(_CODES, one.status.error_code),
            one.status.error_message,
        )
        for one in response.model_version_status
    )
    return tuple(sorted(made, key=lambda one: -one.version))


def _name(values: Proto, number: int) -> str:
    return str(values[number].name) if number in values else str(number)
