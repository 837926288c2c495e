"""Which commands a run that only reads may send: the registered probes, and their families about subjects of the right
form.

The probes are loaded when the first command is judged, so that the nodes are on their way to an answer while Python
still loads what is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from pve_runbook.probes.probe import Probe, ProbeFamily


@cache
def probes() -> tuple[Probe[object], ...]:
    """Every registered probe."""
    from pve_runbook.probes import registry, testinfra

    return (*registry.registry(), *testinfra.PROBES)


@cache
def families() -> tuple[ProbeFamily[object], ...]:
    """Every registered family of probes."""
    from pve_runbook.probes import per_subject, testinfra

    return (*per_subject.registry(), testinfra.TOOL)


@cache
def _argvs() -> frozenset[tuple[str, ...]]:
    return frozenset(probe.argv for probe in probes())


@cache
def _activating() -> tuple[str, ...]:
    from pve_runbook.probes import registry

    return registry.PVESM.argv


def is_registered(argv: Sequence[str]) -> bool:
    """Whether this is a probe, or a probe of a family: nothing that changes a node is."""
    return _is_registered(tuple(argv))


@lru_cache(maxsize=16_384)
def _is_registered(argv: tuple[str, ...]) -> bool:
    return argv in _argvs() or any(family.matches(argv) for family in families())


def is_passive(argv: Sequence[str]) -> bool:
    """Whether it is registered, and does not even mount or import what is not there yet."""
    return tuple(argv) != _activating() and is_registered(argv)


def of_a_reading_run(*, activate_storage: bool) -> Callable[[Sequence[str]], bool]:
    """What may be sent by a run that only reads, and that may mount and import or may not."""
    return is_registered if activate_storage else is_passive
