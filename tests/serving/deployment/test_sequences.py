"""In whatever order: numbers are new, labels name versions that are there, and one is always served."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seqship.errors import SeqshipError
from seqship.export.bundle import read_bundle
from seqship.serving.deployment import label, push, rollback, versions
from seqship.serving.server.layout import find_versions
from seqship.serving.server.version_policy import aspired_versions
from seqship.wire.config_text import read_text
from seqship.wire.messages import ModelServerConfig
from tests.serving.deployment.plain_bundle import names, plain_bundle

LABELS = st.sampled_from(["stable", "canary", "next"])


class Deployment(RuleBasedStateMachine):
    """Pushes, rollbacks and labels of one root."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.pushed = plain_bundle(
            self.folder / "bundle", files={"model.onnx": b"1", "saved_model/saved_model.pb": b"2"}
        )
        self.root = self.folder / "root"
        self.used: set[int] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def there(self) -> list[int]:
        return [one.number for one in versions(self.root) if not one.withdrawn]

    @rule(keep=st.integers(1, 4), labels=st.lists(LABELS, max_size=2), skip=st.integers(0, 2))
    def push(self, keep: int, labels: list[str], skip: int) -> None:
        version = max(self.used, default=0) + 1 + skip if skip else None
        pushed = push(self.pushed, self.root, keep=keep, labels=labels, version=version)
        assert pushed.version > max(self.used, default=0)
        assert pushed.version == version or not skip
        self.used.add(pushed.version)
        found = {one.number: one.labels for one in versions(self.root) if not one.withdrawn}
        assert set(found) >= {number for number, names in found.items() if names}
        assert set(labels) <= set(found[pushed.version])
        assert not set(pushed.removed) & set(found)

    @precondition(lambda self: bool(self.used))
    @rule(to=st.none() | st.integers(1, 12))
    def rollback(self, to: int | None) -> None:
        before = self.there()
        try:
            rolled = rollback(self.root, to=to)
        except SeqshipError:
            assert len(before) < 2 if to is None else to not in before
            return
        assert self.there() == [number for number in before if number <= rolled.version]

    @precondition(lambda self: bool(self.used))
    @rule(name=LABELS, version=st.integers(1, 12))
    def label(self, name: str, version: int) -> None:
        there = version in self.there()
        try:
            assert label(self.root, {name: version}).labels[name] == version
        except SeqshipError:
            assert not there

    @precondition(lambda self: bool(self.used))
    @rule(name=LABELS)
    def remove_label(self, name: str) -> None:
        carried = any(name in one.labels for one in versions(self.root))
        try:
            assert name not in label(self.root, remove=[name]).labels
        except SeqshipError:
            assert not carried

    @invariant()
    def a_server_can_serve_it(self) -> None:
        if not getattr(self, "used", None):
            return
        model = read_text(self.root / "models.config", ModelServerConfig).model_config_list.config[0]
        found = find_versions(self.root)
        served = aspired_versions(model.model_version_policy, found)
        assert served
        assert max(found) in served
        assert set(model.version_labels.values()) <= set(served)
        assert set(found) <= self.used
        for path in found.values():
            assert read_bundle(path).equivalent
        assert not [name for name in names(self.root) if name.startswith(".push")]


TestDeployment = Deployment.TestCase
TestDeployment.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
