"""TFRecord files go both ways between seqship and TensorFlow; damage is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqship.errors import DataError, OutputError
from seqship.wire.records import read_records, write_records

RECORDS = [b"", b"a", bytes(range(256)) * 3, np.random.default_rng(0).bytes(50_000)]


def test_tensorflow_reads_what_seqship_writes(tmp_path: Path) -> None:
    import tensorflow as tf

    write_records(tmp_path / "records", RECORDS)
    dataset = tf.data.TFRecordDataset(str(tmp_path / "records"))
    assert [record.numpy() for record in dataset] == RECORDS


def test_seqship_reads_what_tensorflow_writes(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    assert list(read_records(path)) == RECORDS
    write_records(tmp_path / "again", RECORDS)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    write_records(tmp_path / "records", [])
    assert list(read_records(tmp_path / "records")) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4), st.data())
def test_no_damaged_byte_goes_unseen(tmp_path: Path, records: list[bytes], data: st.DataObject) -> None:
    path = tmp_path / "records"
    write_records(path, records)
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"^record \d+ of \S+ has a wrong checksum of its (length|data); [^\n]+$"):
        list(read_records(path))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 8 + 4 + 30 + 4 - 1))
def test_a_cut_file_is_told(tmp_path: Path, size: int) -> None:
    path = tmp_path / "records"
    write_records(path, [b"x" * 30])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"^record 0 of \S+ is cut off"):
        list(read_records(path))


def test_a_huge_announced_length_is_refused_before_it_is_read(tmp_path: Path) -> None:
    from seqship.wire.records import masked_crc

    length = (2**63).to_bytes(8, "little")
    (tmp_path / "records").write_bytes(length + masked_crc(length).to_bytes(4, "little") + b"abc")
    with pytest.raises(DataError, match=rf"^record 0 of \S+ is cut off: {2**63} bytes are announced, 3 follow$"):
        list(read_records(tmp_path / "records"))


def test_records_before_the_damage_are_yielded(tmp_path: Path) -> None:
    path = tmp_path / "records"
    write_records(path, [b"good", b"bad"])
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    records = read_records(path)
    assert next(records) == b"good"
    with pytest.raises(DataError, match=r"^record 1 of "):
        next(records)


def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cannot read \S+/none: no such file or directory$"):
        list(read_records(tmp_path / "none"))
    with pytest.raises(OutputError, match=r"^cannot write \S+/no/folder: no such file or directory$"):
        write_records(tmp_path / "no" / "folder", [b""])
