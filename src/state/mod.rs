//! Judged facts: the state of each pool, server and source. Advice and the metrics are made from
//! these.

mod counted_sessions;
mod database;
mod moment;
mod pool;
mod role;
mod session_owners;
mod source;
mod status;
mod thresholds;

pub use counted_sessions::CountedSessions;
pub use database::DatabaseState;
pub use moment::Moment;
pub use pool::{PoolState, RecentPool, is_small};
pub use role::Role;
pub use session_owners::{OwnedSessions, SessionClaims, SessionOwner, SessionOwners};
pub use source::SourceState;
pub use status::{Health, Status};
pub use thresholds::{PoolThresholds, Thresholds};
