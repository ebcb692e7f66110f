//! Watches an application's `PostgreSQL` connection pools and the server behind them.
//!
//! > On each tick the **sampler** reads every **source**, judges the **readings** into **advice**,
//! > and publishes one **snapshot**, which **http** gives out.
//!
//! Each bold word is a module, and nothing else. There is one direction: a scrape cannot reach a
//! database, for `http` holds only the receiving end of a `watch` channel.
//!
//! ```text
//!   workers    ──┐                       every tick
//!   application ─┤   ┌─────────────────── sampler ────────────────────┐
//!   PgBouncer  ──┼─► │ sources ─Reading─► latency ─┐                   │  watch   ┌► exposition ► /metrics
//!   PostgreSQL ──┤   │                └─► advice ──┴─► Snapshot ───────┼────────► http ─► /health…
//!   its log    ──┘   └─────────────────────────────────────────────────┘          └► status page
//! ```
//!
//! The modules, in the order data moves:

// Asked for.
pub mod commands;
pub mod config;

// Read.
pub mod collectors;
pub mod indexes;
pub mod pool;
pub mod postgres;
pub mod report;
pub mod sources;

// Known.
pub mod advice;
pub mod latency;
pub mod pool_figures;
pub mod reading;
pub mod state;
pub mod statement;

// Put together.
pub mod sampler;
pub mod snapshot;

// Given out.
pub mod exposition;
pub mod files;
pub mod http;
mod joint;
pub mod metric;
pub mod own_log;
pub mod process;

// Something to watch.
pub mod demo;
