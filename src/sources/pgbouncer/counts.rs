//! The servers of a (database, user) pair, as a row of SHOW POOLS counts them.

use super::table::ConsoleRow;

/// Servers that clients have taken: those that cancel count towards the size too.
pub(super) const CHECKED_OUT: [&str; 3] = ["sv_active", "sv_active_cancel", "sv_being_canceled"];
/// Servers that rest, or will after their check.
pub(super) const CHECKED_IN: [&str; 3] = ["sv_idle", "sv_used", "sv_tested"];

/// The sum of some columns of a row.
pub(super) fn sum(row: ConsoleRow<'_>, columns: [&str; 3]) -> u64 {
    columns.iter().filter_map(|column| row.count(column)).sum()
}

/// The servers that nobody else can have: those that rest are closed when another pair needs their place.
pub(super) fn taken(row: ConsoleRow<'_>) -> u64 {
    sum(row, CHECKED_OUT) + row.count("sv_login").unwrap_or(0)
}
