"""What no server may answer, and every server must survive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from seqship.errors import RejectedError, ServiceError
from seqship.serving.client.address import Address
from seqship.serving.client.api import Api, Asking
from seqship.serving.client.client import connect
from seqship.serving.client.contract import SignatureContract
from seqship.serving.client.deadline import Deadline
from seqship.serving.client.tls import Tls
from seqship.wire.signature_names import SERVING_DEFAULT

_NOBODY = "seqship_no_such_name"
_SECONDS = 60.0


def wrong_requests(address: Address) -> Iterator[str]:
    """Yields what is wrong with how a server takes wrong requests: it must refuse them, and go on."""
    with closing(connect(address, Tls(), {})) as api:
        for what, signature in {"input": SERVING_DEFAULT, "signature": _NOBODY}.items():
            try:
                _ask(api, signature)
            except RejectedError:
                continue
            except ServiceError as error:
                yield f"a request with an unknown {what} is not refused as such: {error}"
            else:
                yield f"a request with an unknown {what} is answered"
        try:
            states = [one.state for one in api.status(_asking())]
        except ServiceError as error:
            yield f"after a wrong request it does not answer: {error}"
        else:
            if "AVAILABLE" not in states:
                yield f"after a wrong request no version is AVAILABLE: {', '.join(states) or 'there is none'}"


def _ask(api: Api, signature: str) -> None:
    contract = SignatureContract(signature, "", (), ())
    api.predict({_NOBODY: np.zeros(1, np.float32)}, contract, (), _asking())


def _asking() -> Asking:
    return Asking(Deadline.after(_SECONDS), {})
