"""The message classes of the wire, made from the committed descriptors.

They live in a descriptor pool of their own: TensorFlow registers the same names in protobuf's default pool, and two
registrations of one name in one pool are an error. Messages of the two pools parse each other's bytes, nothing else:
`CopyFrom` from one to the other is refused by protobuf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

Proto: TypeAlias = Any
"""A message. Its fields are those of the .proto files, which no type checker sees."""


def _load() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    data = Path(__file__).with_name("protos").joinpath("descriptors.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _load()
"""Holds the descriptors. Whatever reads or writes an `Any` as JSON or text needs it as `descriptor_pool`."""


def message_class(name: str) -> Proto:
    """Returns the class of a message by its full name, such as "tensorflow.serving.PredictRequest".

    Raises:
        KeyError: No such message is part of the wire.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


def _core(name: str) -> Proto:
    return message_class(f"tensorflow.{name}")


def _serving(name: str) -> Proto:
    return message_class(f"tensorflow.serving.{name}")


TensorProto: Proto = _core("TensorProto")
TensorShapeProto: Proto = _core("TensorShapeProto")
TensorInfo: Proto = _core("TensorInfo")
SignatureDef: Proto = _core("SignatureDef")
Feature: Proto = _core("Feature")
Example: Proto = _core("Example")

ModelSpec: Proto = _serving("ModelSpec")
PredictRequest: Proto = _serving("PredictRequest")
PredictResponse: Proto = _serving("PredictResponse")
Input: Proto = _serving("Input")
Class: Proto = _serving("Class")
Classifications: Proto = _serving("Classifications")
ClassificationResult: Proto = _serving("ClassificationResult")
ClassificationRequest: Proto = _serving("ClassificationRequest")
ClassificationResponse: Proto = _serving("ClassificationResponse")
Regression: Proto = _serving("Regression")
RegressionResult: Proto = _serving("RegressionResult")
RegressionRequest: Proto = _serving("RegressionRequest")
RegressionResponse: Proto = _serving("RegressionResponse")
InferenceTask: Proto = _serving("InferenceTask")
InferenceResult: Proto = _serving("InferenceResult")
MultiInferenceRequest: Proto = _serving("MultiInferenceRequest")
MultiInferenceResponse: Proto = _serving("MultiInferenceResponse")

SignatureDefMap: Proto = _serving("SignatureDefMap")
GetModelMetadataRequest: Proto = _serving("GetModelMetadataRequest")
GetModelMetadataResponse: Proto = _serving("GetModelMetadataResponse")
StatusProto: Proto = _serving("StatusProto")
GetModelStatusRequest: Proto = _serving("GetModelStatusRequest")
ModelVersionStatus: Proto = _serving("ModelVersionStatus")
GetModelStatusResponse: Proto = _serving("GetModelStatusResponse")
ReloadConfigRequest: Proto = _serving("ReloadConfigRequest")
ReloadConfigResponse: Proto = _serving("ReloadConfigResponse")
PredictionLog: Proto = _serving("PredictionLog")

ModelConfig: Proto = _serving("ModelConfig")
ModelServerConfig: Proto = _serving("ModelServerConfig")
BatchingParameters: Proto = _serving("BatchingParameters")
MonitoringConfig: Proto = _serving("MonitoringConfig")
SSLConfig: Proto = _serving("SSLConfig")

HealthCheckRequest: Proto = message_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse: Proto = message_class("grpc.health.v1.HealthCheckResponse")
