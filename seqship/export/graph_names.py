"""The names that layers leave in a TensorFlow graph."""

from __future__ import annotations

import re

# What calling a function adds to the names of what is inlined from it.
_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")


def layer_path(node: str) -> tuple[str, ...]:
    """Returns the scopes in a node's name, such as ("model", "bidirectional", "forward_lstm"), calls left out."""
    return tuple(part for part in node.split("/")[:-1] if part and not _CALL.fullmatch(part))


def layer_names(paths: list[tuple[str, ...]]) -> list[str]:
    """Returns the names of layers, each once, without the model's own scope where all are in it."""
    inner = all(len(path) > 1 for path in paths) and len({path[0] for path in paths if path}) == 1
    found: list[str] = []
    for path in paths:
        name, number = "/".join(path[1:] if inner else path) or "layer", 1
        chosen = name
        while chosen in found:
            number += 1
            chosen = f"{name}_{number}"
        found.append(chosen)
    return found
