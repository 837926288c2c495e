#!/bin/bash
# Written by pve-runbook, run once as a unit of its own, because logins by key fail while /etc/pve is not mounted.
# Until the stage "standalone", a step that fails puts the node back as it was.
# arguments: FOLDER NAME ...   (the work's folder on this node; what this attempt calls its own files in there)
set -u
export LC_ALL=C LANG=C TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin
# corosync's unit counts, not its script of SysV: systemctl would sync that with Perl, and have systemd reload for it.
export SYSTEMCTL_SKIP_SYSV=1
B=$1 W=$1/$2
shift 2
DB=/var/lib/pve-cluster/config.db
COUNT_CONF="SELECT count(*) FROM tree WHERE parent=0 AND name='corosync.conf'"
COUNT_GUESTS="SELECT count(*) FROM tree WHERE name GLOB '[1-9]*.conf'"

say() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$W.log"; }

finish() {
  say "$*"
  # The script's last word, which the tool waits for.
  printf '%s\n' "$*" >"$W.status.new"
  sync
  mv -f "$W.status.new" "$W.status"
  sync
  exit 0
}

# Show a command, run it with its output in the log, and give its exit status.
run() {
  say "+ $*"
  "$@" >>"$W.log" 2>&1
}

must() { run "$@" || fail "$*"; }

# Wait until no pmxcfs lives and nothing is mounted on /etc/pve: at most 15 s.
pmxcfs_gone() {
  local n=0
  while pgrep -x pmxcfs >/dev/null || findmnt -n /etc/pve >/dev/null; do
    n=$((n + 1))
    [ "$n" -gt 150 ] && return 1
    sleep 0.1
  done
}

# Wait until /etc/pve is mounted once and takes writes: at most 15 s.
pmxcfs_writable() {
  local n=0
  while [ "$(findmnt -n /etc/pve | wc -l)" -ne 1 ] || [ "$(stat -c %a /etc/pve/local 2>/dev/null)" != 755 ]; do
    n=$((n + 1))
    [ "$n" -gt 150 ] && return 1
    sleep 0.1
  done
}

# Put the node back as it was.
fail() {
  local step=$1
  trap '' TERM INT HUP
  say "failed: $step"
  if [ "$STAGE" = standalone ]; then
    finish "forward $step"
  fi
  if [ "$STAGE" != before ]; then
    # Nothing may use the database while it is put back.
    run pkill -TERM -x pmxcfs
    # A pmxcfs that crashed leaves its mount behind.
    pmxcfs_gone || run umount -l /etc/pve
    pmxcfs_gone || finish "stuck after '$step': pmxcfs does not end"
    # This attempt's own copy: an edited database would have a higher version, and overwrite the peers' on the next join;
    # an earlier attempt's copy would be a step back in time.
    if [ "$COPIED" = yes ]; then
      run rm -f "$DB-wal" "$DB-shm" "$DB.new" "${ADDED[@]}"
      { run cp -p "$W.db" "$DB.new" && sync && run mv -f "$DB.new" "$DB"; } || finish "stuck after '$step': config.db could not be put back"
      run cp -a "$W.corosync/." /etc/corosync/ || finish "stuck after '$step': /etc/corosync could not be put back"
    fi
    # As it was before the script.
    [ "$MASKED" = yes ] || run systemctl unmask --runtime "${UNITS[@]}"
    # It was masked while the script had it stopped.
    run systemctl unmask --runtime pve-cluster.service
    # /etc/pve and logins by key come back.
    run systemctl start pve-cluster.service || finish "stuck after '$step': pve-cluster does not start"
  fi
  finish "rolled-back $step"
}

# Stop what uses the database, and keep a copy of all that is changed after this.
stop_and_copy() {
  [ ! -e /run/watchdog-mux.active ] || fail "a watchdog client is active: HA could reset this node"
  STAGE=stopping
  # Nothing may use the database while it is copied; guests run on without /etc/pve.
  must systemctl stop pve-cluster.service
  # This node says no more to the others.
  must systemctl stop "${UNITS[@]}"
  # Half of Proxmox's units want them, and so would start them in here; a power cut drops these masks.
  must systemctl mask --runtime pve-cluster.service "${UNITS[@]}"
  # One of those units may have started them between the stop and the mask.
  must systemctl stop pve-cluster.service "${UNITS[@]}"
  # A pmxcfs that was started by hand is not the unit's own.
  if pgrep -x pmxcfs >/dev/null; then run pkill -TERM -x pmxcfs; fi
  # A pmxcfs that was killed leaves its mount behind.
  pmxcfs_gone || run umount -l /etc/pve
  pmxcfs_gone || fail "pmxcfs does not end"

  [ ! -e "$DB-wal" ] || fail "the database was not closed cleanly: $DB-wal is there"
  # A copy of all that is changed from here on, on the disk before the first change.
  must cp -a /etc/corosync "$W.corosync"
  must cp -p "$DB" "$W.db.new"
  sync
  must mv -f "$W.db.new" "$W.db"
  sync
  COPIED=yes
}

start_pve_cluster() {
  local n=0
  # It was masked while the script had it stopped.
  must systemctl unmask --runtime pve-cluster.service
  # Without pve-cluster there is no /etc/pve and no login by key: try again.
  until run systemctl start pve-cluster.service; do
    n=$((n + 1))
    [ "$n" -ge 5 ] && fail "systemctl start pve-cluster.service, five times"
    run systemctl reset-failed pve-cluster.service
    sleep 2
  done
}

STAGE=before
COPIED=no
ADDED=()
MASKED=no
UNITS=(corosync.service)
if systemctl cat corosync-qdevice.service >/dev/null 2>&1; then UNITS=(corosync-qdevice.service corosync.service); fi
trap 'fail "ended by a signal"' TERM INT HUP
case $(systemctl is-enabled corosync.service 2>/dev/null) in masked*) MASKED=yes ;; esac
