"""The messages are TensorFlow Serving's: the same names, numbers and types, and the same bytes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format, wrappers_pb2

from seqship.wire import messages
from seqship.wire.messages import POOL, message_class
from seqship.wire.protos import compile as proto_compile

FILES = descriptor_pb2.FileDescriptorSet.FromString(proto_compile.DESCRIPTORS.read_bytes()).file

THEIR_CORE = ("framework.tensor", "example.example", "protobuf.meta_graph", "protobuf.named_tensor", "framework.types")
THEIR_SERVING = (
    "apis.classification",
    "apis.get_model_metadata",
    "apis.get_model_status",
    "apis.inference",
    "apis.input",
    "apis.logging",
    "apis.model",
    "apis.model_management",
    "apis.model_service",
    "apis.predict",
    "apis.prediction_log",
    "apis.prediction_service",
    "apis.regression",
    "apis.session_service",
    "apis.status",
    "config.file_system_storage_path_source",
    "config.log_collector_config",
    "config.logging_config",
    "config.model_server_config",
)

LEFT_OUT = {
    "tensorflow.TensorProto": {"resource_handle_val", "variant_val"},
    "tensorflow.TensorInfo": {"composite_tensor"},
    "tensorflow.serving.PredictRequest": {"predict_streamed_options", "client_id", "request_options"},
    "tensorflow.serving.SessionRunRequest": {"options"},
    "tensorflow.serving.SessionRunResponse": {"metadata"},
    "tensorflow.serving.FileSystemStoragePathSourceConfig": {
        "servables",
        "file_system_poll_wait_seconds",
        "fail_if_zero_versions_at_startup",
        "servable_versions_always_present",
    },
}
"""Fields of theirs that no server here reads; they survive as unknown ones."""

IN_NO_PACKAGE = {"BatchingParameters", "MonitoringConfig", "PrometheusConfig", "SSLConfig"}
"""Files of the server alone: TensorFlow publishes no Python module of them."""


def walk(messages_of: Any) -> Iterator[Any]:
    for message in messages_of:
        if not message.GetOptions().map_entry:
            yield message
            yield from walk(message.nested_types)


OURS = {
    message.full_name: message
    for file in FILES
    for message in walk(POOL.FindFileByName(file.name).message_types_by_name.values())
}
CORE = sorted(name for name in OURS if name.startswith("tensorflow.") and not name.startswith("tensorflow.serving."))
SERVING = sorted(
    name for name in OURS if name.startswith("tensorflow.serving.") and name.split(".")[2] not in IN_NO_PACKAGE
)


def theirs_of(name: str) -> Any:
    """The descriptor of TensorFlow or TensorFlow Serving; skips where the latter is not installed."""
    if name.startswith("tensorflow.serving."):
        pytest.importorskip("tensorflow_serving")
        for module in THEIR_SERVING:
            importlib.import_module(f"tensorflow_serving.{module}_pb2")
    for module in THEIR_CORE:
        importlib.import_module(f"tensorflow.core.{module}_pb2")
    pool: Any = descriptor_pool.Default()
    return pool


def protos_of(message: Any) -> dict[str, Any]:
    """How a message states its fields, by their names."""
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    return {field.name: field for field in proto.field}


def contracts(message: Any) -> dict[str, tuple[Any, ...]]:
    """All that each field of a message means to the wire, to JSON and to text."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, proto in protos_of(message).items():
        field = message.fields_by_name[name]
        oneof = field.containing_oneof.name if field.containing_oneof else None
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        found[name] = (
            *(proto.number, proto.type, proto.label, proto.type_name, proto.proto3_optional, proto.default_value),
            *(field.json_name, field.has_presence, oneof, contracts(field.message_type) if entry else None),
        )
    return found


def assert_same_fields(name: str) -> None:
    ours, theirs = OURS[name], theirs_of(name).FindMessageTypeByName(name)
    expected = contracts(theirs)
    assert LEFT_OUT.get(name, set()) <= set(expected)
    assert contracts(ours) == {field: value for field, value in expected.items() if field not in LEFT_OUT.get(name, ())}
    for enum in ours.enum_types:
        assert values_of(enum) == values_of(theirs.enum_types_by_name[enum.name])


def values_of(enum: Any) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}


def fill(message: Any, random: np.random.Generator) -> Any:
    """Sets every field of a message, maps and lists twice; of a oneof the last one wins."""
    kinds: Any = descriptor_pb2.FieldDescriptorProto
    if message.DESCRIPTOR.full_name == "google.protobuf.Any":
        message.Pack(wrappers_pb2.Int64Value(value=int(random.integers(1, 9))))
        return message
    protos = protos_of(message.DESCRIPTOR)
    for field in message.DESCRIPTOR.fields:

        def value(kind: Any = field) -> Any:
            if kind.enum_type is not None:
                return int(random.choice([item.number for item in kind.enum_type.values]))
            texts = {kinds.TYPE_STRING: "é日", kinds.TYPE_BYTES: random.bytes(3), kinds.TYPE_BOOL: True}
            if kind.type in texts:
                return texts[kind.type]
            if kind.type in (kinds.TYPE_FLOAT, kinds.TYPE_DOUBLE):
                return float(np.float32(random.normal()))
            low = 0 if kind.type in (kinds.TYPE_UINT32, kinds.TYPE_UINT64) else -(2**31)
            return int(random.integers(low, 2**31 - 1))

        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of_value = field.message_type.fields_by_name["value"]
            for key in ("a", "b"):
                if of_value.message_type is None:
                    target[key] = value(of_value)
                else:
                    fill(target[key], random)
        elif protos[field.name].label == kinds.LABEL_REPEATED:
            for _ in range(2):
                if field.message_type is None:
                    target.append(value())
                else:
                    fill(target.add(), random)
        elif field.message_type is not None:
            target.SetInParent()
            fill(target, random)
        else:
            setattr(message, field.name, value())
    return message


def assert_same_bytes(name: str) -> None:
    their_class: Any = message_factory.GetMessageClass(theirs_of(name).FindMessageTypeByName(name))
    our_class: Any = message_class(name)
    ours = fill(our_class(), np.random.default_rng(0))
    theirs = their_class.FromString(ours.SerializeToString())
    for message, read in ((ours, their_class), (theirs, our_class)):
        data = message.SerializeToString(deterministic=True)
        other = read.FromString(data)
        assert other.SerializeToString(deterministic=True) == data
        # Fields unknown to the reader would not be written as text.
        assert text_format.MessageToString(other) == text_format.MessageToString(message)
        assert json_format.MessageToDict(other) == json_format.MessageToDict(message)


@pytest.mark.parametrize("name", CORE)
def test_a_core_message_is_that_of_tensorflow(name: str) -> None:
    assert_same_fields(name)
    assert_same_bytes(name)


@pytest.mark.parametrize("name", SERVING)
def test_a_serving_message_is_that_of_tensorflow_serving(name: str) -> None:
    assert_same_fields(name)
    assert_same_bytes(name)


def test_enums_are_those_of_tensorflow() -> None:
    pool = theirs_of("tensorflow.DataType")
    for name, left_out in (("tensorflow.DataType", "_REF"), ("tensorflow.error.Code", "DO_NOT_USE")):
        theirs = values_of(pool.FindEnumTypeByName(name))
        ours = values_of(POOL.FindEnumTypeByName(name))
        assert ours == {value: number for value, number in theirs.items() if left_out not in value}


def test_model_types_and_services_are_those_of_tensorflow_serving() -> None:
    pool = theirs_of("tensorflow.serving.ModelType")
    model_type = "tensorflow.serving.ModelType"
    assert values_of(POOL.FindEnumTypeByName(model_type)) == values_of(pool.FindEnumTypeByName(model_type))
    for name in ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        ours, theirs = descriptor_pb2.ServiceDescriptorProto(), descriptor_pb2.ServiceDescriptorProto()
        POOL.FindServiceByName(name).CopyToProto(ours)
        pool.FindServiceByName(name).CopyToProto(theirs)
        methods = [sorted(method.SerializeToString() for method in service.method) for service in (ours, theirs)]
        assert methods[0] == methods[1]


def test_the_committed_descriptors_are_those_of_the_proto_files() -> None:
    pytest.importorskip("grpc_tools")
    compiled = descriptor_pb2.FileDescriptorSet.FromString(proto_compile.compiled())
    assert list(compiled.file) == list(FILES)
    assert not any(file.HasField("source_code_info") for file in FILES)


def test_every_proto_file_is_in_the_set() -> None:
    assert {file.name for file in FILES} == {path.name for path in proto_compile.FOLDER.glob("*.proto")}


def test_every_message_of_the_module_is_a_class_of_its_name() -> None:
    named = {name: value for name, value in vars(messages).items() if hasattr(value, "FromString")}
    assert {"TensorProto", "PredictionLog", "HealthCheckResponse", "SSLConfig"} <= set(named)
    for name, value in named.items():
        assert value.DESCRIPTOR.name == name
        assert value() == value.FromString(b"")
    with pytest.raises(KeyError):
        message_class("tensorflow.serving.Nothing")


def test_unknown_fields_survive() -> None:
    data = b"\xd2\x0f\x03abc"  # Field 250, of bytes.
    assert messages.PredictRequest.FromString(data).SerializeToString() == data


def test_an_any_is_packed_and_written_as_json_with_the_pool() -> None:
    signatures = messages.SignatureDefMap()
    signatures.signature_def["s"].inputs["x"].dtype = 1
    response = messages.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    back = messages.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(back)
    assert back == signatures
    document = json_format.MessageToDict(response, preserving_proto_field_name=True, descriptor_pool=POOL)
    assert document["metadata"]["signature_def"] == {
        "@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap",
        "signature_def": {"s": {"inputs": {"x": {"dtype": "DT_FLOAT"}}}},
    }


@pytest.mark.parametrize("first", ["tensorflow", "seqship.wire.messages"])
def test_tensorflow_lives_beside_in_either_order(first: str) -> None:
    code = f"""
import importlib
importlib.import_module({first!r})
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto as Theirs
from seqship.wire.messages import TensorProto
assert Theirs is not TensorProto
print(Theirs.FromString(TensorProto(dtype="DT_FLOAT", float_val=[1]).SerializeToString()).float_val[0])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == "1.0\n", result.stderr
