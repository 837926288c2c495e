
# Makes this node the cluster member again that it was before a run: its own database and /etc/corosync, as that run
# backed them up. Corosync stays stopped and masked: no node joins before all of them are checked.
# The other arguments: SHA-256 of config.db and of system.tar.gz, which lie beside this script.

# Wait until /etc/pve is mounted once: at most 15 s.
pmxcfs_mounted() {
  local n=0
  while [ "$(findmnt -n /etc/pve | wc -l)" -ne 1 ]; do
    n=$((n + 1))
    [ "$n" -gt 150 ] && return 1
    sleep 0.1
  done
}

NEW_DB=$W.new.db NEW_SYSTEM=$W.new.tar.gz
say "restore of $(hostname)"
case $(sha256sum "$NEW_DB") in "$1 "*) ;; *) fail "the database to be restored is not the one of the record" ;; esac
case $(sha256sum "$NEW_SYSTEM") in "$2 "*) ;; *) fail "the archive to be restored is not the one of the record" ;; esac
stop_and_copy

STAGE=restoring
ADDED=(/etc/corosync/corosync.conf /etc/corosync/authkey)
# They belong to the database that goes.
must rm -f "$DB-wal" "$DB-shm"
# The database first: after a power cut in between the node is half dismantled and read-only, and is known as that.
must install -m 0600 "$NEW_DB" "$DB.new"
sync
must mv -f "$DB.new" "$DB"
# The corosync.conf and the authkey that the members share.
must tar -C / -xzf "$NEW_SYSTEM" etc/corosync
sync
for f in "${ADDED[@]}"; do
  [ -e "$f" ] || fail "$f was not in the archive"
done
[ "$(sqlite3 -readonly "file:$DB?immutable=1" "$COUNT_CONF")" = 1 ] || fail "the database has no corosync.conf"

start_pve_cluster
pmxcfs_mounted || fail "/etc/pve is not mounted after the start of pve-cluster"
# Both were put there for this script only.
must rm -f "$NEW_DB" "$NEW_SYSTEM"
finish "done"
