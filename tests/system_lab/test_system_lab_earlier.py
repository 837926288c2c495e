"""A journal is moved into the past by its times alone; without a lab."""

from __future__ import annotations

from pve_system_lab.node.earlier import earlier

EXPORT = (
    b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795999330683460\n__MONOTONIC_TIMESTAMP=4000000\n_BOOT_ID=ab\n"
    b"MESSAGE=__REALTIME_TIMESTAMP=1795999330683460\n_SOURCE_REALTIME_TIMESTAMP=1795999330683450\n\n"
    b"__REALTIME_TIMESTAMP=1795999331000000\nMESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n\n"
)


def test_the_times_are_earlier_and_nothing_else_is_changed() -> None:
    assert earlier(EXPORT, 7200) == (
        b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795992130683460\n__MONOTONIC_TIMESTAMP=4000000\n_BOOT_ID=ab\n"
        b"MESSAGE=__REALTIME_TIMESTAMP=1795999330683460\n_SOURCE_REALTIME_TIMESTAMP=1795992130683450\n\n"
        b"__REALTIME_TIMESTAMP=1795992131000000\nMESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n\n"
    )
