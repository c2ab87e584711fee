"""Which of the versions below a base path are to be served."""

from __future__ import annotations

from collections.abc import Collection

from seqship.wire.messages import Proto


def aspired_versions(policy: Proto, versions: Collection[int]) -> tuple[int, ...]:
    """Returns the versions to serve, the newest first.

    Args:
        policy: `ServableVersionPolicy`; an empty one is that of the newest version.
        versions: The versions that there are.
    """
    newest = sorted(versions, reverse=True)
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return tuple(newest)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        return tuple(version for version in newest if version in wanted)
    return tuple(newest[: max(policy.latest.num_versions, 1)])
