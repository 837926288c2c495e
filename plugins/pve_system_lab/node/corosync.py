"""Corosync's libraries, as far as pmxcfs needs them: libquorum and libcpg (corosync 3, quorum.h and cpg.h)."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Sequence

_OK, _TRY_AGAIN = 1, 6
_DISPATCH_ALL = 2
_TRACK_CURRENT, _TRACK_CHANGES = 1, 2
_AGREED = 2

_Handle = ctypes.c_uint64
_Words = ctypes.POINTER(ctypes.c_uint32)


class CorosyncError(Exception):
    """Corosync is not there, or went away."""


class Busy(CorosyncError):
    """Corosync forms a new membership: try again."""


class _Name(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("value", ctypes.c_char * 128))


class _Address(ctypes.Structure):
    _fields_ = (("nodeid", ctypes.c_uint32), ("pid", ctypes.c_uint32), ("reason", ctypes.c_uint32))


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


_Addresses = ctypes.POINTER(_Address)
_QuorumNotify = ctypes.CFUNCTYPE(None, _Handle, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint32, _Words)
_Deliver = ctypes.CFUNCTYPE(
    None, _Handle, ctypes.POINTER(_Name), ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t
)
_Changed = ctypes.CFUNCTYPE(
    None,
    _Handle,
    ctypes.POINTER(_Name),
    *(_Addresses, ctypes.c_size_t) * 3,
)


class _QuorumCallbacks(ctypes.Structure):
    _fields_ = (("notify", _QuorumNotify),)


class _GroupCallbacks(ctypes.Structure):
    _fields_ = (("deliver", _Deliver), ("changed", _Changed))


def _check(status: int) -> None:
    if status == _TRY_AGAIN:
        raise Busy
    if status != _OK:
        raise CorosyncError(str(status))


class Quorum:
    """votequorum's word on whether this partition has quorum."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._library = ctypes.CDLL("libquorum.so.5")
        self._handle = _Handle()
        self._notify = _QuorumNotify(lambda handle, quorate, ring, count, members: changed(bool(quorate)))
        kind = ctypes.c_uint32()
        callbacks = _QuorumCallbacks(self._notify)
        _check(self._library.quorum_initialize(ctypes.byref(self._handle), ctypes.byref(callbacks), ctypes.byref(kind)))
        _check(self._library.quorum_trackstart(self._handle, _TRACK_CURRENT | _TRACK_CHANGES))

    @property
    def fd(self) -> int:
        """Readable when there is news."""
        number = ctypes.c_int()
        _check(self._library.quorum_fd_get(self._handle, ctypes.byref(number)))
        return number.value

    def dispatch(self) -> None:
        """Call back with the news; raises CorosyncError when corosync is gone."""
        _check(self._library.quorum_dispatch(self._handle, _DISPATCH_ALL))

    def close(self) -> None:
        """End the connection."""
        self._library.quorum_finalize(self._handle)


class Group:
    """A closed process group: messages reach all members in one order."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[int, bytes], None],
        changed: Callable[[Sequence[int]], None],
    ) -> None:
        self._library = ctypes.CDLL("libcpg.so.4")
        self._handle = _Handle()
        self._deliver = _Deliver(
            lambda handle, group, nodeid, pid, message, length: deliver(nodeid, ctypes.string_at(message, length))
        )
        self._changed = _Changed(
            lambda handle, group, members, count, left, lefts, joined, joins: changed(
                [members[i].nodeid for i in range(count)]
            )
        )
        callbacks = _GroupCallbacks(self._deliver, self._changed)
        _check(self._library.cpg_initialize(ctypes.byref(self._handle), ctypes.byref(callbacks)))
        own = ctypes.c_uint()
        _check(self._library.cpg_local_get(self._handle, ctypes.byref(own)))
        self.nodeid = own.value
        self._name = _Name(len(name), name.encode())
        self._unsent: deque[bytes] = deque()

    def join(self) -> None:
        """Become a member; raises Busy while a membership forms."""
        _check(self._library.cpg_join(self._handle, ctypes.byref(self._name)))

    @property
    def fd(self) -> int:
        """Readable when there is news."""
        number = ctypes.c_int()
        _check(self._library.cpg_fd_get(self._handle, ctypes.byref(number)))
        return number.value

    def send(self, message: bytes) -> None:
        """Send to all members, this one too; what corosync does not take yet waits for `send_on`."""
        self._unsent.append(message)
        self.send_on()

    def send_on(self) -> None:
        """Send what waits, in its order, as far as corosync takes it: while a membership forms it takes nothing, and
        news of that membership come while it still forms (dfsm.c tries again too)."""
        while self._unsent:
            vector = _Vector(self._unsent[0], len(self._unsent[0]))
            try:
                _check(self._library.cpg_mcast_joined(self._handle, _AGREED, ctypes.byref(vector), 1))
            except Busy:
                return
            self._unsent.popleft()

    def dispatch(self) -> None:
        """Call back with the news; raises CorosyncError when corosync is gone."""
        _check(self._library.cpg_dispatch(self._handle, _DISPATCH_ALL))

    def close(self) -> None:
        """Leave, and end the connection."""
        self._library.cpg_finalize(self._handle)
