"""Which actions write into the tool's own places alone: its folder, its lock, its key, its own words under /run.

Nothing that is read of a node beside these tells of them, and so what was read before one goes on to hold.
"""

from __future__ import annotations

from pve_runbook.actions import registry as actions

OWN_PLACES = frozenset(
    template.name
    for template in (
        *(actions.MAKE_FOLDER, actions.TAKE_LOCK, actions.RELEASE_LOCK, actions.FORGET_OUTCOMES),
        *(actions.BACKUP_DB, actions.BACKUP_PVE, actions.BACKUP_SYSTEM, actions.PUT_CARD),
        *(actions.PUT_KEYS, actions.REMOVE_KEYS),
    )
)
"""By name. An action that failed, or of which nobody knows how it ended, is one of them too: it wrote nowhere else."""
