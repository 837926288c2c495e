"""Which release of PVE the node stands for: the one that is made from its Debian."""

from __future__ import annotations

import platform

from pve_lab.model.version import PVE8, PVE9

_CODENAME = platform.freedesktop_os_release()["VERSION_CODENAME"]
RELEASE = next(version for version in (PVE8, PVE9) if version.codename == _CODENAME)
