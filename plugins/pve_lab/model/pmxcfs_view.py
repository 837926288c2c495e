"""/etc/pve as pmxcfs shows it: generated files, links, modes that follow quorum.

Formats from pve-cluster's src/pmxcfs (status.c, cfs-plug-link.c) and as recorded on PVE 8.3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from bashkit import FileSystem

from pve_lab.formats import corosync_conf, texts
from pve_lab.model.corosync import Corosync
from pve_lab.model.database import DIRECTORY, Database, is_guest
from pve_lab.model.file_answers import Stat, no_such_file
from pve_lab.model.host import Host

Stamp = tuple[int, float]
"""Size in bytes, and when it was last written (seconds since the epoch): a file's content is the one known, or not."""


class PmxcfsView:
    """The state of one node's pmxcfs, and what processes of the node read from it."""

    def __init__(self, host: Host, corosync: Corosync, of_all: Callable[[], Iterable[PmxcfsView]]) -> None:
        self.host = host
        self.corosync = corosync
        self.of_all = of_all
        """The pmxcfs of every node of the cluster, the own one too."""
        self.database = Database(host.files.database_directory / "config.db")
        self.pid = 0
        self.started = 0.0
        self.nodename = host.hostname
        """The node's name as it was when the process started."""
        self.ends: float | None = None
        self.clustered = False
        self.corosync_seen = False
        self.quorate = False
        self.busy_until = 0.0
        self.peers_seen: set[str] = set()
        self.members_version = 0
        self.synced: dict[str, bytes | str | None] = {}
        self.stamps: dict[str, Stamp] = {}
        self._hidden: dict[str, bytes] = {}

    # -- state -------------------------------------------------------------------------------

    @property
    def mounted(self) -> bool:
        """Whether /etc/pve is mounted (it is as long as the process lives)."""
        return self.pid != 0

    @property
    def hung(self) -> bool:
        """Whether nothing that asks it gets an answer."""
        return "/etc/pve" in self.host.files.hung

    @property
    def in_cluster(self) -> bool:
        """Whether it runs in cluster mode beside a running corosync."""
        return self.mounted and self.clustered and self.corosync.runtime is not None

    @property
    def local_mode(self) -> bool:
        """Whether it was started with -l."""
        return self.mounted and self.host.processes.table[self.pid].argv[-1] == "-l"

    def conf(self) -> corosync_conf.CorosyncConf | None:
        """corosync.conf of the database, None without one."""
        data = self.database.data("corosync.conf") if self.mounted else None
        return None if data is None else corosync_conf.parse(data.decode(errors="replace"))

    # -- the view that processes of the node have --------------------------------------------

    def real_path(self, path: str) -> str:
        """A path with the links of /etc/pve (local, qemu-server, lxc) resolved."""
        first, _, rest = path.partition("/")
        target = self.links.get(first)
        return path if target is None or not rest else f"{target}/{rest}"

    @property
    def links(self) -> dict[str, str]:
        """The symbolic links that pmxcfs shows in its root."""
        own = f"nodes/{self.nodename}"
        return {
            "local": own,
            "qemu-server": f"{own}/qemu-server",
            "lxc": f"{own}/lxc",
            "openvz": f"{own}/openvz",
        }

    def special(self, path: str) -> str | None:
        """The generated files."""
        if path == ".members":
            return self.members_text()
        if path == ".vmlist":
            return self.vmlist_text()
        if path == ".version":
            return f'{{\n"starttime": {int(self.host.clock.epoch + self.started)},\n"clusterlog": 0\n}}\n'
        if path == ".clusterlog":
            return '{\n"data": [\n]\n}\n'
        return None

    def lstat(self, path: str) -> Stat:
        """Modes follow quorum: 755/640 with, 555/440 without; priv is root's alone."""
        now = self.host.wall
        if path == "":
            return Stat("directory", 0, 0o755, now)
        link = self.links.get(path)
        if link is not None:
            return Stat("symlink", 0, 0o755 if self.quorate else 0o555, now, link)
        text = self.special(path)
        if text is not None:
            return Stat("file", len(text), 0o440, now)
        row = self.database.get(path)
        if row is None:
            raise no_such_file(f"/etc/pve/{path}")
        private = path == "priv" or path.startswith("priv/") or "/priv" in path
        if row.type == DIRECTORY:
            mode = (0o700 if self.quorate else 0o500) if private else (0o755 if self.quorate else 0o555)
            return Stat("directory", 0, mode, row.mtime)
        mode = (0o600 if self.quorate else 0o400) if private else (0o640 if self.quorate else 0o440)
        return Stat("file", len(row.data or b""), mode, row.mtime)

    def read(self, path: str) -> bytes:
        """The bytes of a file of /etc/pve."""
        text = self.special(path)
        if text is not None:
            return text.encode()
        data = self.database.data(path)
        if data is None:
            raise no_such_file(f"/etc/pve/{path}")
        return data

    def names(self, path: str) -> list[str]:
        """The names in a directory of /etc/pve."""
        found = set(self.database.names(path))
        if not path:
            found.update(self.links, (".members", ".vmlist", ".version", ".clusterlog"))
        return sorted(found)

    def guests(self) -> list[tuple[int, str, str, int]]:
        """All guests of the database: vmid, owner, qemu or lxc, version of the config."""
        return self.database.guests()

    def members_text(self) -> str:
        """.members (pve-cluster status.c; recorded on PVE 8.3)."""
        conf = self.conf()
        if not self.clustered or not self.corosync_seen or conf is None:
            return texts.no_members(self.nodename)
        online = self.online()
        known = {m.name: m.ring0_addr for m in conf.members if m.name in self.peers_seen}
        return texts.members(self.nodename, self.members_version, conf, online, known, quorate=self.quorate)

    def online(self) -> set[str]:
        """Who is in the process group of this pmxcfs: itself, and the members whose own one runs too (status.c)."""
        runtime = self.corosync.runtime
        members = runtime.members if runtime is not None else ()
        return {self.host.name} | {p.host.name for p in self.of_all() if p.is_of(members)}

    def is_of(self, members: Collection[int]) -> bool:
        """Whether it is in the group of a membership of corosync."""
        runtime = self.corosync.runtime
        return self.in_cluster and runtime is not None and runtime.nodeid in members

    def vmlist_text(self) -> str:
        """.vmlist (recorded on PVE 8.3); its order is a hash table's, not sorted."""
        return self.database.once("vmlist", lambda: texts.vmlist(self.guests()))

    # -- the same view for the shell's own redirections, globs and tests -----------------------

    def _mount(self) -> None:
        config = self.host.files.config
        self._hidden = {path: config.read_file(path) for path in stamps_of(config)}
        clear(self.host.files.config)
        self.synced = {}

    def _unmount(self) -> None:
        clear(self.host.files.config)
        for path, data in self._hidden.items():
            self.host.files.put(f"/etc/pve{path}", data)
        self.synced = {}

    def wanted(self, *, with_guests: bool = True) -> dict[str, bytes | str | None]:
        """Everything /etc/pve shows now: bytes of files, None for directories, targets of links. Without guests:
        all but their configs and the list of them."""
        tree: dict[str, bytes | str | None] = {}
        for path in sorted(p for p in self.database.paths if with_guests or not is_guest(p)):
            row = self.database.rows[self.database.paths[path]]
            tree[f"/{path}"] = None if row.type == DIRECTORY else row.data or b""
        for name in (".members", *([".vmlist"] if with_guests else []), ".version"):
            tree[f"/{name}"] = (self.special(name) or "").encode()
        for name, target in self.links.items():
            tree[f"/{name}"] = target
        return tree

    def refresh(self, *, with_guests: bool = True) -> None:
        """Bring the shell's copy of /etc/pve up to date."""
        if not self.mounted:
            return
        target = self.host.files.config
        wanted = self.wanted(with_guests=with_guests)
        for path in sorted(self.synced.keys() - wanted.keys(), reverse=True):
            target.remove(path, recursive=True)
        for path, content in wanted.items():
            if path in self.synced and self.synced[path] == content:
                continue
            if content is None:
                target.mkdir(path, recursive=True)
            elif isinstance(content, bytes):
                target.write_file(path, content)
            elif path not in self.synced:
                target.symlink(content, path)
        self.synced = wanted


def stamps_of(tree: FileSystem, path: str = "") -> dict[str, Stamp]:
    """All files of a file system: size, and when it was last written."""
    found: dict[str, Stamp] = {}
    for entry in tree.read_dir(path or "/"):
        inner, metadata = f"{path}/{entry['name']}", entry["metadata"]
        if metadata["file_type"] == "directory":
            found.update(stamps_of(tree, inner))
        elif metadata["file_type"] == "file":
            found[inner] = metadata["size"], metadata["modified"]
    return found


def clear(tree: FileSystem) -> None:
    """Empty a file system."""
    for entry in tree.read_dir("/"):
        tree.remove(f"/{entry['name']}", recursive=True)
