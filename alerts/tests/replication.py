"""Replicas, replication slots, subscriptions and the archiving of WAL."""

from .case import alert, case, firing, no_alert, silent


def primaries(*servers):
    """Servers that accept writes, each by its labels and system identifier."""
    series = {}
    for number, (labels, identifier) in enumerate(servers, 1):
        at = f"instance=db{number}:8001" + (f", {labels}" if labels else "")
        series |= {
            f"pg_replication_cluster_info{{{at}, system_identifier={identifier}}}": "1x60",
            f"pg_postmaster_start_time_seconds{{{at}}}": f"{number}000x60",
            f"pg_replication_is_replica{{{at}}}": "0x60",
        }
    return series


CASES = [
    alert("ReplicationLag", "warning", "", {
        "pg_replication_lag_seconds": "0.2x9 95x9 0.2x9",
        "pg_replication_is_replica": "1x29",
    }, pending="14m", over="22m", fires={
        "15m 21m": "Replica at app1:8001 is 1m 35s behind its primary.",
    }),

    alert("ReplicaNotReceiving", "warning", "", {
        "pg_replication_is_replica": "1x60",
        "pg_stat_wal_receiver_last_msg_receipt_time{slot_name=r1, status=streaming, upstream_host=db1}": "0+60x9 _x15 1500+60x30",
    }, pending="12m", over="27m", fires={
        "13m 26m": "Replica at app1:8001 is not connected to its primary, "
                   "or has received nothing from it for 2 minutes. Its data grows old.",
    }),

    alert("ServerRoleChanged", "info", "", {
        "pg_replication_is_replica": "1x9 0x30",
    }, pending="10m", over="14m", fires={
        "11m 13m": "PostgreSQL at app1:8001 is now a primary.",
    }),

    alert("TwoPrimaries", "critical", "instance=, system_identifier=7", {
        "pg_replication_cluster_info{instance=db1:8001, system_identifier=7}": "1x60",
        "pg_replication_cluster_info{instance=db2:8001, system_identifier=7}": "1x60",
        "pg_replication_cluster_info{system_identifier=7}": "1x60",
        "pg_postmaster_start_time_seconds{instance=db1:8001}": "1000x60",
        "pg_postmaster_start_time_seconds{instance=db2:8001}": "2000x60",
        "pg_postmaster_start_time_seconds": "1000x60",
        "pg_replication_is_replica{instance=db1:8001}": "0x60",
        "pg_replication_is_replica": "0x60",
        "pg_replication_is_replica{instance=db2:8001}": "1x9 0x14 1x20",
    }, pending="10m", over="27m", fires={
        "11m 26m": "In job poolwatch, 2 primaries have the system identifier 7. Each accepts writes that the other does not have.",
    }),

    alert("ReplicationSlotInactive", "warning", "database=redditbot, slot_name=analytics", {
        "pg_replication_slots_active{slot_name=analytics, database=redditbot}": "1x9 0x39 1x9",
    }, pending="39m", over="52m", fires={
        "40m 51m": "Replication slot analytics at app1:8001 has 0 readers.",
    }),

    alert("ReplicationSlotRetainsWal", "warning", "database=redditbot, slot_name=debezium", {
        "pg_replication_slots_pg_wal_lsn_diff{slot_name=debezium, database=redditbot}": "1e9x9 60e9x19 1e9x20",
    }, pending="19m", over="32m", fires={
        "20m 31m": "Replication slot debezium at app1:8001 keeps 60GB of WAL.",
    }),

    alert("ReplicationSlotLosingWal", "warning", "slot_name=analytics, slot_type=logical, wal_status=unreserved", {
        "pg_replication_slots_wal_status{slot_name=analytics, slot_type=logical, wal_status=reserved}": "1x8 stale _x8 1x8",
        "pg_replication_slots_wal_status{slot_name=analytics, slot_type=logical, wal_status=unreserved}": "_x9 1x9 stale",
    }, pending="13m", over="21m", fires={
        "14m 20m": "The WAL of replication slot analytics at app1:8001 is unreserved.",
    }),

    alert("SubscriptionErrors", "warning", "subname=orders", {
        "pg_stat_subscription_apply_errors_total{subname=orders}": "0x9 1+1x14 15x20",
    }, pending="11m", over="27m", fires={
        "12m": "Subscription orders at app1:8001 failed 3 times in the last 4 minutes.",
        "26m": "Subscription orders at app1:8001 failed 1 times in the last 4 minutes.",
    }),

    alert("WalArchivingFailing", "warning", "", {
        "pg_stat_archiver_failed_count": "0x9 3+3x24 75x17",
    }, pending="24m", over="37m", fires={
        "25m": "PostgreSQL at app1:8001 failed to archive WAL 9 times in the last 3 minutes.",
        "36m": "PostgreSQL at app1:8001 failed to archive WAL 5 times in the last 3 minutes.",
    }),

    alert("WalArchivingHangs", "warning", "", {
        "pg_stat_wal_bytes_total": "0+10e6x120",
        "pg_stat_archiver_archived_count": "0+1x9 9x60 10+1x40",
    }, pending="42m", over="1h12m", fires={
        "43m 1h11m": "PostgreSQL at app1:8001 wrote 300MB of WAL in the last 30 minutes and archived none of it.",
    }),

    case("a primary has no lag, whatever the figure says", {
        "up": "1x60",
        "pg_replication_lag_seconds": "0+60x60",
        "pg_replication_is_replica": "0x60",
    }, no_alert("1h")),

    case("replicas which read an archive alone, and copies of slots, raise nothing", {
        "up": "1x90",
        "pg_replication_is_replica": "1x90",
        "pg_replication_archive_only": "1x90",
        "pg_replication_slots_active{slot_name=copied, database=redditbot}": "0x90",
        "pg_replication_slots_synced{slot_name=copied}": "1x90",
    }, no_alert("80m")),

    case("the primaries of two clusters under one job are no two primaries of one", primaries(("", 7), ("", 8)),
         silent("TwoPrimaries", "5m 30m")),

    case("a copy of a cluster that is labelled as another is no second primary", primaries(
        ("cluster=production", 7), ("cluster=staging", 7),
    ), silent("TwoPrimaries", "5m 30m")),

    case("two primaries of one labelled cluster page with its label", primaries(
        ("cluster=production", 7), ("cluster=production", 7), ("cluster=staging", 7),
    ), firing("TwoPrimaries", "critical", "instance=, cluster=production, system_identifier=7", "5m",
              "In job poolwatch, cluster production, 2 primaries have the system identifier 7. "
              "Each accepts writes that the other does not have.")),
]
