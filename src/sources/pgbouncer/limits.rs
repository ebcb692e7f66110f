//! The number of servers that each (database, user) pair may have.

use std::collections::HashMap;

use super::console::{Views, minor};
use super::counts::taken;
use super::table::{ConsoleRow, ConsoleTable};
use crate::reading::{GrowthLimit, MaxOverflow};

/// The number of servers that a pair may have, and what keeps it from having more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Limit {
    pub(super) size: Option<u64>,
    pub(super) more: Option<MaxOverflow>,
    pub(super) growth: Option<GrowthLimit>,
}

/// The limits of a database or a user, and the number of servers that its pairs have together.
#[derive(Clone, Copy, Default)]
struct Share {
    size: Option<u64>,
    reserve: Option<u64>,
    most: Option<u64>,
    taken: u64,
    paused: bool,
}

/// The limits of every pair.
pub(super) struct Limits<'a> {
    databases: HashMap<&'a str, Share>,
    users: HashMap<&'a str, Share>,
    paused: bool,
    /// Set if a size of 0 is unlimited: before 1.24 it was one server at first and then none.
    zero_is_unlimited: bool,
}

impl<'a> Limits<'a> {
    pub(super) fn new(views: &'a Views, pairs: impl Iterator<Item = ConsoleRow<'a>>) -> Self {
        let minor = minor(&views.version).unwrap_or(u32::MAX);
        let mut limits = Self {
            databases: databases(&views.databases),
            users: users(&views.slow.users, minor),
            paused: views.state.is_yes("paused").unwrap_or(false),
            zero_is_unlimited: minor >= 24,
        };
        let every_user = views.config.row("key", "max_user_connections");
        let every_user = every_user.and_then(|row| row.count("value"));
        for row in pairs {
            let database = limits.databases.entry(row.text("database").unwrap_or("")).or_default();
            database.taken += taken(row);
            let user = limits.users.entry(row.text("user").unwrap_or("")).or_default();
            user.taken += taken(row);
            user.most = user.most.or(every_user);
        }
        limits
    }

    /// The pool's size and reserve, the user's own before the database's, and neither above what
    /// the other pairs have left of what the database and the user may have over all their pools.
    /// 0 is unlimited, but for the reserve.
    pub(super) fn pair(&self, database: &str, user: &str, taken: u64) -> Limit {
        let share =
            |shares: &HashMap<&str, Share>, name| shares.get(name).copied().unwrap_or_default();
        let (database, user) = (share(&self.databases, database), share(&self.users, user));
        let growth = if self.paused || database.paused {
            Some(GrowthLimit::Paused)
        } else if !self.zero_is_unlimited && user.size.or(database.size) == Some(0) {
            Some(GrowthLimit::NoSize)
        } else {
            database
                .full()
                .map(GrowthLimit::DatabaseLimit)
                .or(user.full().map(GrowthLimit::UserLimit))
        };
        let reserve = user.reserve.or(database.reserve).unwrap_or(0);
        let cap = [database.left(taken), user.left(taken)].into_iter().flatten().min();
        let (size, more) = match (user.size.or(database.size), cap) {
            (None, _) => (None, None),
            (Some(0), None) if self.zero_is_unlimited => (None, Some(MaxOverflow::Unlimited)),
            (Some(0), Some(cap)) if self.zero_is_unlimited => {
                (Some(cap), Some(MaxOverflow::Limited(0)))
            }
            (Some(size), cap) => {
                let all = (size + reserve).max(1).min(cap.unwrap_or(u64::MAX));
                let size = size.max(1).min(all);
                (Some(size), Some(MaxOverflow::Limited(all - size)))
            }
        };
        Limit { size, more, growth }
    }
}

impl Share {
    /// The limit, when all of it is taken.
    fn full(&self) -> Option<u64> {
        self.most.filter(|most| *most > 0 && self.taken >= *most)
    }

    /// The part of the limit that a pair which has taken so many may have, beside the others. One
    /// that has none and gets none keeps the limit: no capacity would mean unlimited.
    fn left(&self, taken: u64) -> Option<u64> {
        let most = self.most.filter(|most| *most > 0)?;
        let left = taken + most.saturating_sub(self.taken);
        Some(if left == 0 { most } else { left.min(most) })
    }
}

fn databases(table: &ConsoleTable) -> HashMap<&str, Share> {
    let share = |row: ConsoleRow<'_>| Share {
        size: row.count("pool_size"),
        reserve: row.count("reserve_pool_size").or_else(|| row.count("reserve_pool")),
        most: row.count("max_connections"),
        taken: 0,
        paused: row.count("paused") == Some(1),
    };
    table.rows().map(|row| (row.text("name").unwrap_or(""), share(row))).collect()
}

/// From 1.23 to 1.25 SHOW USERS repeats a user's sizes for those after it that have none: a size
/// like that of the row before is not believed.
fn users(table: &ConsoleTable, minor: u32) -> HashMap<&str, Share> {
    let mut before = (None, None);
    let share = |row: ConsoleRow<'_>| {
        let shown = (row.count("pool_size"), row.count("reserve_pool_size"));
        let before = std::mem::replace(&mut before, shown);
        let believe = |shown: Option<u64>, before| shown.filter(|_| minor >= 26 || shown != before);
        let (size, reserve) = (believe(shown.0, before.0), believe(shown.1, before.1));
        Share { size, reserve, most: row.count("max_user_connections"), ..Share::default() }
    };
    let names = table.rows().map(|row| row.text("name").unwrap_or(""));
    names.zip(table.rows().map(share)).collect()
}
