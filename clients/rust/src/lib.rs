//! A pool of `PostgreSQL` connections for Rust applications, and the protocol by which it reports
//! itself to poolwatch.
//!
//! [`SharedPool`] opens sqlx's connections with the semantics of `SQLAlchemy`'s `QueuePool`, counts
//! and times what is done with them, and reports once a second to a Unix socket. When nobody listens
//! there, nothing is lost but the report.
//!
//! poolwatch itself depends on this crate: both ends of the protocol, the table of a pool's figures
//! and the histograms' buckets are written once, here.

pub mod histogram;
pub mod pool_figures;
pub mod report;

mod pool;

pub use crate::pool::{AcquireError, Checkout, Connect, PoolSettings, SharedPool, Transaction};
