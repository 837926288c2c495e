
# Takes this node out of its cluster. Commands: pve-docs, pvecm.adoc, "Separate a Node Without Reinstalling", with a
# check behind each. The other arguments: the names of all members.
MEMBERS=("$@")
say "window of $(hostname)"
stop_and_copy
guests=$(sqlite3 -readonly "file:$W.db?immutable=1" "$COUNT_GUESTS")
case $guests in '' | *[!0-9]*) fail "the guests in the database could not be counted" ;; esac

STAGE=local
# /etc/pve on this node alone, writable without corosync.
must pmxcfs -l
pgrep -ax pmxcfs | grep -q -e ' -l' || fail "pmxcfs does not run in local mode"
pmxcfs_writable || fail "/etc/pve is not writable in local mode"
[ "$(sqlite3 -readonly "$DB" "$COUNT_GUESTS")" = "$guests" ] || fail "not all guests' configs are there in local mode"

# With HA's files a standalone node would declare its peers dead and take over their guests.
mkdir -p "$B/parked"
for f in manager_status crm_commands resources.cfg rules.cfg groups.cfg; do
  if [ -e "/etc/pve/ha/$f" ]; then
    must cp -p "/etc/pve/ha/$f" "$B/parked/$f"
    must rm -f "/etc/pve/ha/$f"
  fi
done
for node in "${MEMBERS[@]}"; do
  if [ -e "/etc/pve/nodes/$node/lrm_status" ]; then
    must cp -p "/etc/pve/nodes/$node/lrm_status" "$B/parked/$node.lrm_status"
    must rm -f "/etc/pve/nodes/$node/lrm_status"
  fi
done

# Without this file in the database the node is in no cluster: it counts its own vote alone.
must rm -f /etc/pve/corosync.conf
[ ! -e /etc/pve/corosync.conf ] || fail "corosync.conf is still in /etc/pve"
[ "$(sqlite3 -readonly "$DB" "$COUNT_CONF")" = 0 ] || fail "corosync.conf is still in the database"
# Without them corosync does not start, and finds no other node; the backup has them.
must rm -f /etc/corosync/corosync.conf /etc/corosync/authkey
must rm -rf /etc/corosync/qdevice

# The end of local mode.
run pkill -TERM -x pmxcfs
pmxcfs_gone || fail "pmxcfs does not leave local mode"
# What corosync remembers of the rings it was in.
rm -f /var/lib/corosync/ringid_* /var/lib/corosync/ev_tracking
sync

STAGE=standalone
# From here on there is no way back but the whole cluster's.
start_pve_cluster
pmxcfs_writable || fail "/etc/pve is not writable after the start of pve-cluster"
# A standalone node needs no corosync: it stays off after every boot.
must systemctl unmask --runtime --no-reload "${UNITS[@]}"
# systemd reads its units anew after this one.
must systemctl disable "${UNITS[@]}"
finish "done"
