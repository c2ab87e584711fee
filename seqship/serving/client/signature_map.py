"""Contracts out of the `SignatureDefMap` that a server answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqship.errors import DataError
from seqship.pipelines.spec import BATCH, TIME, Field
from seqship.serving.client.contract import SignatureContract
from seqship.wire.dtypes import numpy_name, tensorflow_name
from seqship.wire.messages import Proto

SIGNATURE_DEF = "signature_def"
"""The one field of the metadata that TensorFlow Serving has (`get_model_metadata_impl.cc`)."""


def read_signatures(signature_map: Proto) -> dict[str, SignatureContract]:
    """Returns the signatures of a model by name.

    Args:
        signature_map: A `SignatureDefMap`. An element type that cannot travel is kept by TensorFlow's name.
    """
    return {name: _contract(name, definition) for name, definition in sorted(signature_map.signature_def.items())}


def _contract(name: str, definition: Proto) -> SignatureContract:
    unchecked: set[str] = set()
    for infos in (definition.inputs, definition.outputs):
        unchecked |= {key for key, info in infos.items() if info.tensor_shape.unknown_rank}
    inputs, outputs = _fields(definition.inputs), _fields(definition.outputs)
    return SignatureContract(name, definition.method_name, inputs, outputs, frozenset(unchecked))


def _fields(infos: Mapping[str, Any]) -> tuple[Field, ...]:
    return tuple(_field(key, infos[key]) for key in sorted(infos))


def _field(name: str, info: Proto) -> Field:
    try:
        dtype = numpy_name(info.dtype)
    except DataError:
        dtype = tensorflow_name(info.dtype)
    names = {0: BATCH, 1: TIME}
    sizes = [dim.size for dim in info.tensor_shape.dim]
    shape = tuple(names.get(axis, f"axis{axis}") if size < 0 else int(size) for axis, size in enumerate(sizes))
    return Field(name, dtype, shape)
