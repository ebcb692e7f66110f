"""Replication: are the replicas there, how far behind, and does anything hold the log back?"""

from .expression import or_none
from .frame import dashboard
from .panel import GREY, firing, lines, stat, table

REPLICA = "{{application_name}} {{client_addr}}"
SLOT = "{{slot_name}}"


def lag(what):
    return f"max by (application_name, client_addr) (pg_stat_replication_{what}{{@server}})"


def position(lsn):
    """How far a standby is behind what it has received, in bytes."""
    return f"max by (instance, server) (pg_stat_wal_receiver_{lsn}{{@server}})"


NOW = [
    stat("Primaries", "Servers that take writes. More than one of the same cluster is a split.", "count(pg_replication_is_replica{@server} == 0) or vector(0)",
         "short", decimals=0),
    stat("Standbys", "Servers in recovery, of those that are watched.", "count(pg_replication_is_replica{@server} == 1) or vector(0)", "short", decimals=0),
    stat("Connected replicas", "Replicas and subscribers that read the log of a primary now.", "count(pg_stat_replication_pg_wal_lsn_diff{@server}) or vector(0)",
         "short", decimals=0),
    stat("Lag", "How far replay on the slowest standby is behind its primary.", "max(pg_replication_lag_seconds{@server})", "s", ["ReplicationLag"]),
    stat("Inactive slots", "Slots that nobody reads: each holds the log back until the disk is full.",
         "count(pg_replication_slots_slot_is_active{@server} == 0) or vector(0)", "short", decimals=0),
    stat("Held back", "The most WAL that a slot holds back.", "max(pg_replication_slots_pg_wal_lsn_diff{@server})", "bytes", ["ReplicationSlotRetainsWal"]),
]

WHO = [
    table("Servers", "Each server and its part in replication.", "max by (instance, server) (pg_replication_is_replica{@server})", "short",
          {"instance": "instance", "server": "server"}, value="part", words={"part": {0: ("primary", "green"), 1: ("standby", "blue")}}, height=7),
    lines("Part of each server", "1 is a standby, 0 a primary: a step down is a failover.",
          ("max by (instance, server) (pg_replication_is_replica{@server})", "{{instance}} {{server}}"), "short", height=7, decimals=0, max=1),
    firing("Replica.*|Replication.*|TwoPrimaries|ServerRole.*|Subscription.*|Wal.*", height=7),
    table("Replicas connected", "Who reads the log, in which state, by which slot. Synchronous ones hold commits up.",
          "max by (application_name, client_addr, state, slot_name, instance, server) (pg_stat_replication_sync_standbys{@server})", "short",
          {"application_name": "replica", "client_addr": "address", "state": "state", "slot_name": "slot", "server": "server"}, width=16,
          value="kind", words={"kind": {0: ("asynchronous", GREY), 1: ("synchronous", "green")}}, height=7),
    table("Clusters", "Servers with the same identifier are one cluster.", "max by (system_identifier, instance, server) (pg_replication_cluster_info{@server})", "short",
          {"system_identifier": "cluster", "server": "server", "instance": "instance"}, height=7),
]

LAG = [
    lines("Time to write", "How long each replica took to write what it was sent: the network.", (lag("write_lag_seconds"), REPLICA), "s"),
    lines("Time to flush", "How long it took to flush it: the network and its disk. Commits wait for this with synchronous_commit = on.",
          (lag("flush_lag_seconds"), REPLICA), "s"),
    lines("Time to replay", "How long it took until queries on the replica saw it.", (lag("replay_lag_seconds"), REPLICA), "s"),
    lines("Bytes to replay", "WAL that each replica has still to replay.", (lag("pg_wal_lsn_diff"), REPLICA), "bytes", width=12),
    lines("Lag as the standby sees it", "How far replay is behind; 0 on a primary and on a standby that has replayed all it received.",
          ("max by (instance, server) (pg_replication_lag_seconds{@server})", "{{instance}} {{server}}"), "s", ["ReplicationLag"], width=12),
]

STANDBY = [
    lines("WAL received and not replayed", "Replay is slower than the network: a conflict with a query, or a slow disk.",
          ("max by (instance, server) (pg_replication_replay_lag_bytes{@server})", "{{instance}} {{server}}"), "bytes"),
    lines("WAL received", "Bytes a second that the standby receives and flushes.",
          ("sum by (instance, server) (rate(pg_stat_wal_receiver_flushed_lsn{@server}[$__rate_interval]))", "{{instance}} {{server}}"), "Bps"),
    lines("Since the last message", "How long ago the primary was last heard, and how old the last replayed transaction is.",
          [(f"time() - {position('last_msg_receipt_time')}", "{{server}} message"),
           (f"time() - {position('last_msg_send_time')}", "{{server}} sent"),
           ("max by (instance, server) (pg_replication_last_replay_seconds{@server})", "{{server}} replayed")], "s"),
    lines("Queries cancelled by replay", "Queries a minute that a standby cancelled, because replay would not wait for them: by reason.",
          [(f"60 * sum(rate(pg_stat_database_conflicts_confl_{kind}{{@database}}[$__rate_interval]))", kind)
           for kind in ("snapshot", "lock", "bufferpin", "deadlock", "tablespace", "active_logicalslot")], "short"),
    table("Receivers", "Where each standby receives from.", "max by (instance, server, upstream_host, slot_name, status) (pg_stat_wal_receiver_received_tli{@server})", "short",
          {"server": "server", "upstream_host": "primary", "slot_name": "slot", "status": "status"}, value="timeline"),
    lines("State of recovery", "1 for the state that recovery is in. Paused, a standby falls behind without end.",
          ("max by (state) (pg_stat_recovery_pause_state{@server})", "{{state}}"), "short", decimals=0, max=1),
    lines("Told to become the primary", "1 for a standby that was told so, and still is one.",
          ("max by (instance, server) (pg_stat_recovery_promote_triggered{@server})", "{{instance}} {{server}}"), "short", decimals=0, max=1),
    lines("Time in what was last received", "How long ago replay of what was last received began: high while a standby catches up.",
          ("time() - max by (instance, server) (pg_stat_recovery_current_chunk_start_timestamp_seconds{@server})", "{{instance}} {{server}}"), "s"),
    lines("Archive alone", "1 for a standby that is told of no primary and reads archived WAL alone.",
          ("max by (instance, server) (pg_replication_archive_only{@server})", "{{instance}} {{server}}"), "short", decimals=0, max=1),
]

SLOTS = [
    lines("WAL held back by slots", "WAL that each slot keeps on the disk. An inactive slot holds it back until the disk is full.",
          ("topk($top, max by (slot_name, server) (pg_replication_slots_pg_wal_lsn_diff{@server}))", SLOT), "bytes", ["ReplicationSlotRetainsWal"]),
    lines("WAL before a slot is lost", "What may still be written before the server gives the slot up (max_slot_wal_keep_size).",
          ("max by (slot_name, server) (pg_replication_slots_safe_wal_size_bytes{@server})", SLOT), "bytes"),
    lines("Inactive for", "How long nobody has read the slot.",
          ("time() - max by (slot_name, server) (pg_replication_slots_inactive_since_timestamp_seconds{@server})", SLOT), "s"),
    table("Slots", "Whether each slot is read, and whether the log that it needs is there.",
          "max by (slot_name, slot_type, wal_status, server) (pg_replication_slots_wal_status{@server} == 1) * 0 + on (slot_name, server) group_left () "
          "max by (slot_name, server) (pg_replication_slots_slot_is_active{@server})", "short",
          {"slot_name": "slot", "slot_type": "type", "wal_status": "WAL", "server": "server"}, width=12, value="read",
          words={"read": {0: ("! inactive", "orange"), 1: ("✓ active", "green")},
                 "WAL": {"reserved": ("✓ reserved", "green"), "extended": ("! extended", "orange"), "unreserved": ("✗ unreserved", "red"), "lost": ("✗ lost", "red")}}),
    lines("Unconfirmed by readers of logical slots", "WAL that the reader of an active logical slot has not confirmed.",
          ("max by (slot_name, server) (pg_replication_slots_slot_current_wal_lsn{@server} - pg_replication_slots_slot_confirmed_flush_lsn{@server})", SLOT), "bytes", width=12),
    lines("Slots that are unusable, or copies", "Slots in conflict with recovery, and those that a standby keeps as a copy for a failover.",
          [("sum by (server) (pg_replication_slots_conflicting{@server})", "{{server}} conflicting"), ("sum by (server) (pg_replication_slots_synced{@server})", "{{server}} synced")],
          "short", width=12, decimals=0),
    lines("Decoding beyond memory, copies skipped", "Times a minute that logical_decoding_work_mem did not hold a slot's changes, and that a slot was not copied.",
          [("60 * sum by (slot_name) (rate(pg_stat_replication_slots_mem_exceeded_total{@server}[$__rate_interval]))", "{{slot_name}} memory"),
           ("60 * sum by (slot_name) (rate(pg_stat_replication_slots_slotsync_skips_total{@server}[$__rate_interval]))", "{{slot_name}} skipped")], "short", width=12),
]

LOGICAL = [
    lines("Workers of subscriptions", "Workers at work for each subscription; 0 is one that does not run.",
          ("max by (subname, server) (pg_stat_subscription_workers{@server})", "{{subname}} {{server}}"), "short", decimals=0),
    lines("Since the publisher's last message", "How long ago a message came from the publisher, and when a position was last reported to it.",
          [("max by (subname, server) (pg_stat_subscription_last_message_age_seconds{@server})", "{{subname}} message"),
           ("time() - max by (subname, server) (pg_stat_subscription_latest_end_timestamp_seconds{@server})", "{{subname}} reported")], "s"),
    lines("Errors of subscriptions", "Errors a minute: changes that could not be applied, and failures of the first copy.",
          [(f"60 * sum by (subname) (rate(pg_stat_subscription_{kind}_errors_total{{@server}}[$__rate_interval]))", f"{{{{subname}}}} {kind.replace('_', ' ')}")
           for kind in ("apply", "sync", "sync_sequence")], "short"),
    lines("Conflicts of subscriptions", "Changes a minute that met a row unlike the publisher's, by kind.",
          (or_none("60 * sum by (subname, conflict) (rate(pg_stat_subscription_conflicts_total{@server}[$__rate_interval])) > 0", "conflict"), "{{subname}} {{conflict}}"),
          "short", width=24, height=6),
]

DASHBOARD = dashboard(
    "poolwatch-replication", "poolwatch / Replication", "Are the replicas there, how far behind, and does anything hold the log back?",
    [
        ("Is replication in trouble now?", NOW),
        ("Who is the primary, and who follows?", WHO),
        ("How far behind is each replica: sent, written, flushed, replayed?", LAG),
        ("Does a slot hold the log back?", SLOTS),
        ("What does the standby say?", STANDBY),
        ("Do the subscriptions keep up?", LOGICAL),
    ],
)
