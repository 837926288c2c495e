"""How the model says that something cannot be done."""

from __future__ import annotations

import errno
import os


class Hung(Exception):
    """The call never returns: the storage behind the path does not answer."""


def os_error(code: int, path: str) -> OSError:
    """An OSError (PermissionError, FileNotFoundError, ...) with the text that coreutils print."""
    text = "Transport endpoint is not connected" if code == errno.ENOTCONN else os.strerror(code)
    return OSError(code, text, path)


def no_such_file(path: str) -> OSError:
    """ENOENT for a path."""
    return os_error(errno.ENOENT, path)
