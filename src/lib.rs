//! Watches an application's `PostgreSQL` connection pools and the server behind them.
pub mod advice;
pub mod exposition;
pub mod latency;
pub mod metric;
pub mod reading;
pub mod snapshot;
