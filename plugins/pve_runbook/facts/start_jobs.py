"""What waits to start on one node, and would act once there is quorum."""

from __future__ import annotations

from collections.abc import Mapping

from pve_runbook.facts.storages import StorageFacts
from pve_runbook.parsers.systemd import Job, Unit
from pve_runbook.probes import registry as probes
from pve_runbook.probes import start_jobs


class StartJobFacts(StorageFacts):
    """Units and their jobs; every property raises UnknownFact when what it is made of is unknown."""

    @property
    def units(self) -> Mapping[str, Unit]:
        """systemd's view of Proxmox's units, by full unit name."""
        return self.get(probes.UNIT_STATES)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """systemd jobs that are queued or running."""
        return self.get(probes.JOBS)

    @property
    def jobs_waiting_for_quorum(self) -> tuple[Job, ...]:
        """Start jobs that would act the moment this node is granted quorum (recorded on PVE 8.3 and 9.1)."""
        return tuple(j for j in start_jobs.starts(self.jobs) if j.unit in start_jobs.KNOWN)

    @property
    def waiting_commits(self) -> tuple[str, ...]:
        """The units that wait for quorum to apply what is pending of the network and of the firewall."""
        return tuple(j.unit for j in self.jobs_waiting_for_quorum if j.unit in start_jobs.COMMITS)

    @property
    def unknown_starts(self) -> tuple[str, ...]:
        """The units that wait to start, and of which it is not known what they do once there is quorum."""
        return tuple(j.unit for j in start_jobs.starts(self.jobs) if not start_jobs.is_known(j.unit))

    @property
    def startall_waits(self) -> bool:
        """Whether the start of all guests waits for quorum: it runs and waits, or its job waits behind pveproxy's (30
        to 80 s after a boot; recorded on PVE 8.3 and 9.1)."""
        guests = start_jobs.GUESTS
        return self.units[guests].active == "activating" or any(j.unit == guests for j in self.jobs_waiting_for_quorum)

    @property
    def startall_is_held(self) -> bool:
        """Whether its worker is stopped by a signal: it does not see that there is quorum."""
        return bool(self.get(start_jobs.HELD))

    @property
    def startall_is_loose(self) -> bool:
        """Whether it waits, and is not held: whatever grants quorum has it start its guests."""
        return self.startall_waits and not self.startall_is_held
