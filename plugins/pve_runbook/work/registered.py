"""Which commands are known: the registered probes, and their families about subjects of the right form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pve_runbook.work import detection, families, probes
from pve_runbook.work.probe import Probe, ProbeFamily

PROBES: tuple[Probe[object], ...] = (*probes.registry(), *detection.PROBES)
FAMILIES: tuple[ProbeFamily[object], ...] = (*families.registry(), detection.TOOL)
_BY_ARGV = frozenset(p.argv for p in PROBES)


def is_registered(argv: Sequence[str]) -> bool:
    """Whether this is a probe, or a probe of a family: nothing that changes a node is."""
    return _is_registered(tuple(argv))


@lru_cache(maxsize=16_384)
def _is_registered(argv: tuple[str, ...]) -> bool:
    return argv in _BY_ARGV or any(family.matches(argv) for family in FAMILIES)


def is_passive(argv: Sequence[str]) -> bool:
    """Whether it is registered, and does not even mount or import what is not there yet."""
    return tuple(argv) != probes.PVESM.argv and is_registered(argv)
