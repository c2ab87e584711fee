"""Loads, swaps and unloads the versions of models.

A new version is loaded, and has answered its warm-up requests, before an old one is unloaded; one that cannot be loaded
leaves the old one serving. Requests that are under way on an old version end on it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Generator, Mapping
from pathlib import Path

from seqship.errors import SeqshipError
from seqship.serving.server.layout import find_versions, fingerprint, refuse_bare_model
from seqship.serving.server.model_config import validate_config
from seqship.serving.server.servable import Servable
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.serving.server.version_policy import aspired_versions
from seqship.serving.server.versions import LifecycleSettings, Load, State, Version, VersionStatus, load_error
from seqship.wire.messages import Proto

_log = logging.getLogger("seqship.serving.server")


class ServedModels:
    """All models of a server; many threads may ask it."""

    def __init__(self, load: Load, settings: LifecycleSettings) -> None:
        """Makes one without a model.

        Args:
            load: Loads a version and warms it up.
            settings: How versions come and go.
        """
        self._load, self._settings = load, settings
        self._models: dict[str, dict[int, Version]] = {}
        self._aspired: dict[str, tuple[int, ...]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._config: Proto | None = None
        self._changed = threading.Condition()
        self._reloading = threading.Lock()
        self._polling = threading.Lock()
        self._loading = threading.Semaphore(max(settings.load_threads, 1))
        self._stopped = threading.Event()
        self._told: dict[str, str] = {}

    def start(self, config: Proto) -> None:
        """Serves a first configuration: returns when every model has a version that answers.

        Labels are given afterwards, so that one may name a version that this loads.

        Raises:
            StatusError: The configuration is wrong, or a model cannot be loaded.
            BundleError: A base path is itself a model.
        """
        with self._reloading:
            validate_config(config, None)
            for model in config.model_config_list.config:
                refuse_bare_model(Path(model.base_path))
            self._config = config
            names = [model.name for model in config.model_config_list.config]
            self.poll()
            if self._settings.poll_seconds > 0:
                threading.Thread(target=self._poll_forever, name="poll", daemon=True).start()
            self._await(names, forever=self._settings.poll_seconds > 0)
            self._await_labelled(config)
            self._label(config)

    def reload(self, config: Proto) -> None:
        """Serves another configuration: returns when every model that is new in it has a version that answers.

        Raises:
            StatusError: The configuration is wrong, and the old one stays; or a new model cannot be loaded.
        """
        with self._reloading:
            validate_config(config, self._config)
            self._label(config)
            old = set(self._aspired)
            self._config = config
            new = {model.name for model in config.model_config_list.config}
            for name in old - new:
                self._aspire(name, {})
                self._aspired.pop(name, None)
            self.poll()
            self._await(sorted(new - old), forever=False)

    def poll(self) -> None:
        """Looks at every base path once, and begins to load and unload what has changed."""
        settle = self._settings.settle_seconds if self._settings.poll_seconds > 0 else 0
        with self._polling:
            config = None if self._stopped.is_set() else self._config
            for model in [] if config is None else config.model_config_list.config:
                try:
                    found = find_versions(Path(model.base_path), settle_seconds=settle)
                except SeqshipError as error:
                    # A file system that is away for a moment shall not take the models with it.
                    self._aspired.setdefault(model.name, ())
                    self._tell(model.name, str(error))
                    continue
                if not found:
                    self._tell(
                        model.name,
                        f"No versions of servable {model.name} found under base path {model.base_path}. Did you forget "
                        "to name your leaf directory as a number (eg. '/1/')?",
                    )
                else:
                    self._told.pop(model.name, None)
                wanted = aspired_versions(model.model_version_policy, found.keys())
                self._aspire(model.name, {version: found[version] for version in wanted})

    @contextlib.contextmanager
    def acquire(self, spec: Proto) -> Generator[tuple[str, int, Servable]]:
        """Lends the version that a ModelSpec asks for; it is not unloaded before the block ends.

        Yields:
            The model's name, the version and what is loaded.

        Raises:
            StatusError: There is no such model, version or label that answers.
        """
        version = self._acquire(spec)
        servable = version.servable
        assert servable is not None  # noqa: S101  (it is available, and stays so while it is used)
        try:
            yield str(spec.name), version.number, servable
        finally:
            with self._changed:
                version.users -= 1
                if version.state is State.UNLOADING:
                    self._changed.notify_all()

    def statuses(self, spec: Proto) -> list[VersionStatus]:
        """Returns the state of the version that a ModelSpec asks for, or of all, the newest first.

        Raises:
            StatusError: There is none.
        """
        number = self._number(spec)
        with self._changed:
            versions = self._models.get(spec.name, {})
            if number is not None and number not in versions:
                raise StatusError(Code.NOT_FOUND, f"Could not find version {number} of model {spec.name}")
            if not versions:
                raise StatusError(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
            return [
                VersionStatus(one.number, one.state, one.error)
                for one in sorted(versions.values(), key=lambda one: one.number, reverse=True)
                if number is None or one.number == number
            ]

    def unready(self) -> list[str]:
        """Returns the names of the models without a version that answers."""
        with self._changed:
            names = [] if self._config is None else [model.name for model in self._config.model_config_list.config]
            return [name for name in names if not self._available(name)]

    def stop(self) -> None:
        """Ends the polling, and unloads everything once it is used no more."""
        self._stopped.set()
        with self._changed:
            for versions in self._models.values():
                for version in versions.values():
                    version.hurry.set()
        with self._polling:  # A look that is under way would ask for them again.
            for name in list(self._models):
                self._aspire(name, {})
        with self._changed:
            self._changed.wait_for(
                lambda: all(
                    version.state is State.END for versions in self._models.values() for version in versions.values()
                ),
                timeout=60,
            )

    def _acquire(self, spec: Proto) -> Version:
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        number = self._number(spec)
        with self._changed:
            versions = self._models.get(spec.name, {})
            if number is None:
                number = max((one.number for one in versions.values() if one.state is State.AVAILABLE), default=None)
                asked = f"Latest({spec.name})"
            else:
                asked = f"Specific({spec.name}, {number})"
            found = None if number is None else versions.get(number)
            if found is None or found.state is not State.AVAILABLE:
                raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
            found.users += 1
            return found

    def _number(self, spec: Proto) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return int(spec.version.value)
        if choice != "version_label":
            return None
        number = self._labels.get(spec.name, {}).get(spec.version_label)
        if number is None:
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        return number

    def _label(self, config: Proto) -> None:
        labels: dict[str, dict[str, int]] = {}
        for model in config.model_config_list.config:
            for label, version in model.version_labels.items():
                known = self._labels.get(model.name, {}).get(label)
                free = self._settings.allow_labels_for_unavailable and known in (None, version)
                if not free and not self._is_available(model.name, version):
                    raise StatusError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {model.name}, which is not currently "
                        "available for inference",
                    )
                labels.setdefault(model.name, {})[label] = version
        self._labels = labels

    def _is_available(self, name: str, version: int) -> bool:
        with self._changed:
            return version in self._available(name)

    def _available(self, name: str) -> list[int]:
        return [one.number for one in self._models.get(name, {}).values() if one.state is State.AVAILABLE]

    def _aspire(self, name: str, wanted: Mapping[int, Path]) -> None:
        with self._changed:
            self._aspired[name] = tuple(wanted)
            versions = self._models.setdefault(name, {})
            for number, path in wanted.items():
                known, seen = versions.get(number), fingerprint(path)
                if known is None or self._is_due(known, seen):
                    versions[number] = version = Version(number, path, seen)
                    threading.Thread(
                        target=self._bring_up, args=(name, version), name=f"load-{name}-{number}", daemon=True
                    ).start()
                elif known.state in (State.START, State.LOADING) and known.seen != seen:
                    known.seen = seen
                    known.hurry.set()  # It was replaced while a retry was waited for.
            for number, version in versions.items():
                version.wanted = number in wanted
                if not version.wanted:
                    version.hurry.set()
            self._unload_superseded(name)

    def _is_due(self, known: Version, seen: tuple[int, ...]) -> bool:
        """Whether a version that ended is to be loaded again: it came back, or what failed was replaced."""
        return known.state is State.END and (known.error is None or known.seen != seen)

    def _bring_up(self, name: str, version: Version) -> None:
        path = version.path
        self._set(version, State.LOADING)
        error: StatusError | None = None
        for attempt in range(self._settings.max_num_load_retries + 1):
            if attempt:
                version.hurry.wait(max(self._settings.load_retry_interval_seconds, 0))
                version.hurry.clear()
            if self._stopped.is_set() or not version.wanted:
                error = None  # Should it be wanted again, it is loaded again.
                break
            start = time.monotonic()
            try:
                with self._loading:
                    servable = self._load(name, version.number, path)
            except Exception as failure:  # Whatever a file makes a runtime raise, the other versions go on.
                error = load_error(failure)
                _log.warning("Loading servable: {name: %s version: %d} failed: %s", name, version.number, error)
                continue
            took = time.monotonic() - start
            with self._changed:
                version.servable, version.error = servable, None
                version.state = State.AVAILABLE
                self._unload_superseded(name)
                self._changed.notify_all()
            _log.info(
                "Successfully loaded servable version {name: %s version: %d} in %.3f s", name, version.number, took
            )
            return
        with self._changed:
            version.error, version.state = error, State.END
            self._changed.notify_all()

    def _unload_superseded(self, name: str) -> None:
        """Unloads what is not wanted any more, but not before what is wanted answers."""
        versions = self._models.get(name, {})
        wanted = self._aspired.get(name, ())
        if wanted and not any(versions[number].state is State.AVAILABLE for number in wanted):
            return
        for version in versions.values():
            if not version.wanted and version.state is State.AVAILABLE:
                version.state = State.UNLOADING
                threading.Thread(
                    target=self._take_down, args=(name, version), name=f"unload-{name}-{version.number}", daemon=True
                ).start()

    def _take_down(self, name: str, version: Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: version.users == 0)
            servable, version.servable = version.servable, None
        if servable is not None:
            servable.close()
        self._set(version, State.END)
        _log.info("Done unloading servable version {name: %s version: %d}", name, version.number)

    def _set(self, version: Version, state: State) -> None:
        with self._changed:
            version.state = state
            self._changed.notify_all()

    def _await(self, names: Collection[str], *, forever: bool) -> None:
        """Waits until each model answers; a model whose wanted versions all failed never will."""

        def settled(name: str) -> bool:
            wanted = self._aspired.get(name, ())
            if self._available(name):
                return True
            versions = self._models.get(name, {})
            return bool(wanted) and all(versions[number].state is State.END for number in wanted)

        with self._changed:
            if not forever and (empty := [name for name in names if not self._aspired.get(name)]):
                raise StatusError(
                    Code.NOT_FOUND,
                    f"Unable to find a numerical version path for servable {empty[0]}; put a version below its base "
                    "path, as in BASE/1",
                )
            self._changed.wait_for(lambda: self._stopped.is_set() or all(map(settled, names)))
            failed = [name for name in names if not self._available(name)]
            if failed and not self._stopped.is_set():
                reasons = [self._reason(name) for name in failed]
                raise StatusError(
                    Code.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{', '.join(reasons)}}}"
                )

    def _await_labelled(self, config: Proto) -> None:
        """Waits until the versions that labels name are loaded, or will not be."""
        labelled = [
            (model.name, version)
            for model in config.model_config_list.config
            for version in model.version_labels.values()
        ]

        def settled(name: str, number: int) -> bool:
            version = self._models.get(name, {}).get(number)
            return version is None or version.state in (State.AVAILABLE, State.END)

        with self._changed:
            self._changed.wait_for(lambda: self._stopped.is_set() or all(settled(*one) for one in labelled))

    def _reason(self, name: str) -> str:
        versions = self._models.get(name, {})
        number = max(self._aspired.get(name, ()), default=0)
        error = versions[number].error if number in versions else None
        return f"{{{{name: {name} version: {number}}}" + (f" due to error: {error}" if error else "") + "}"

    def _poll_forever(self) -> None:
        while not self._stopped.wait(self._settings.poll_seconds):
            try:
                self.poll()
            except Exception:  # The next look may find the file system in order again.
                _log.exception("Polling the base paths failed")

    def _tell(self, name: str, message: str) -> None:
        """Logs what is wrong with a base path, once until it changes."""
        if self._told.get(name) != message:
            self._told[name] = message
            _log.warning("%s", message)
