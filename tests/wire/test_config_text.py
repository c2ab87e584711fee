"""The server's text files are read as TensorFlow Serving reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqship.errors import DataError
from seqship.wire.config_text import parse_text, read_text
from seqship.wire.messages import BatchingParameters, ModelServerConfig, MonitoringConfig, SSLConfig

MODELS = """
model_config_list {  # two models
  config {
    name: 'ecg'
    base_path: "/models/ecg"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: 'stable' value: 1 }
    version_labels { key: 'canary' value: 2 }
    logging_config { sampling_config { sampling_rate: 0.5 } log_collector_config { type: "x" filename_prefix: "y" } }
  }
  config: < name: 'other', base_path: '/models/other', model_type: TENSORFLOW; model_version_policy: { all: {} } >
}
"""


def test_models() -> None:
    config = parse_text(MODELS, ModelServerConfig)
    ecg, other = config.model_config_list.config
    assert (ecg.name, ecg.base_path, ecg.model_platform) == ("ecg", "/models/ecg", "tensorflow")
    assert list(ecg.model_version_policy.specific.versions) == [1, 2]
    assert dict(ecg.version_labels) == {"stable": 1, "canary": 2}
    assert ecg.logging_config.sampling_config.sampling_rate == 0.5
    assert other.model_version_policy.WhichOneof("policy_choice") == "all"
    assert other.model_type == 1
    latest = parse_text(
        "model_config_list { config { model_version_policy { latest { num_versions: 3 } } } }", ModelServerConfig
    )
    assert latest.model_config_list.config[0].model_version_policy.latest.num_versions == 3


def test_batching_tells_unset_from_zero() -> None:
    text = """
        max_batch_size { value: 128 }  batch_timeout_micros { value: 0 }  max_enqueued_batches { value: 1000000 }
        num_batch_threads { value: 8 }  thread_pool_name { value: "pool" }  pad_variable_length_inputs: true
        allowed_batch_sizes: 32  allowed_batch_sizes: 128  enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 64 }
    """
    batching = parse_text(text, BatchingParameters)
    assert (batching.max_batch_size.value, batching.num_batch_threads.value) == (128, 8)
    assert batching.HasField("batch_timeout_micros")
    assert batching.batch_timeout_micros.value == 0
    assert list(batching.allowed_batch_sizes) == [32, 128]
    assert batching.pad_variable_length_inputs
    assert batching.enable_large_batch_splitting.value
    assert batching.max_execution_batch_size.value == 64
    assert batching.thread_pool_name.value == "pool"
    assert not parse_text("", BatchingParameters).HasField("max_batch_size")


def test_monitoring_and_ssl() -> None:
    monitoring = parse_text('prometheus_config { enable: true, path: "/metrics" }', MonitoringConfig)
    assert (monitoring.prometheus_config.enable, monitoring.prometheus_config.path) == (True, "/metrics")
    ssl = parse_text('server_key: "k\\nl" server_cert: "c" custom_ca: "a" client_verify: false', SSLConfig)
    assert (ssl.server_key, ssl.server_cert, ssl.custom_ca, ssl.client_verify) == ("k\nl", "c", "a", False)


@pytest.mark.parametrize(
    ("text", "message", "reason"),
    [
        ("max_batch_size: 3", BatchingParameters, r"the text is no BatchingParameters: 1:17 : .*"),
        ("\nmodels {}", ModelServerConfig, r'the text is no ModelServerConfig: 2:1 : .*no field named "models"\.'),
        ("server_key: [", SSLConfig, r"the text is no SSLConfig: 1:1\d : .*"),
        (
            "custom_model_config {} model_config_list {}",
            ModelServerConfig,
            r"the text is no ModelServerConfig: .*oneof.*",
        ),
    ],
)
def test_a_wrong_text_is_refused_in_one_line(text: str, message: Any, reason: str) -> None:
    with pytest.raises(DataError, match=f"^{reason}$") as caught:
        parse_text(text, message)
    assert "\n" not in str(caught.value)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(MODELS)
    assert read_text(tmp_path / "models.config", ModelServerConfig) == parse_text(MODELS, ModelServerConfig)
    with pytest.raises(DataError, match=r"^cannot read \S+/none: no such file or directory$"):
        read_text(tmp_path / "none", SSLConfig)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"^\S+/binary is not UTF-8 text: invalid start byte at byte 0$"):
        read_text(tmp_path / "binary", SSLConfig)
    (tmp_path / "wrong").write_text("x: 1")
    with pytest.raises(DataError, match=r"^\S+/wrong is no SSLConfig: 1:1 : "):
        read_text(tmp_path / "wrong", SSLConfig)
