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
//! The modules. They stand in layers, and each imports only from the layers below its own, which
//! `tests/daemon/layers.rs` checks:
//!
//! The program:
//! - [`commands`]: one file for each subcommand; `run` is the daemon.
//! - [`config`]: the settings: their defaults, file, environment and flags.
//! - [`demo`]: a throwaway server and an application on it, for `poolwatch demo`.
//! - `plan`: from the settings to the sources: what is to be read.
//! - [`sampler`]: the one loop: reads each source when it is due, and publishes snapshots.
//!
//! The readers:
//! - [`indexes`]: the expected indexes: their file, the comparison with a database, the building.
//! - [`postgres`]: connecting to a server that is monitored.
//! - [`sources`]: one file or folder for each kind of source.
//!
//! The output:
//! - [`advice`]: one file for each rule.
//! - [`exposition`]: metric families and their formats.
//! - [`http`]: the routes, the health answers and the status page.
//! - [`snapshot`]: state, advice and encoded families of one moment.
//! - [`state`]: judged facts: the state of each pool, server and source.
//!
//! Shared by both:
//! - [`collectors`]: the server's statistics as tables of SQL, one file for each view.
//! - `files`: reading files without waiting for ever.
//! - `single_flight`: work that is done once for all who ask for it.
//! - [`latency`]: histograms, and the estimate of a distribution from its moments.
//! - [`metric`]: a metric family and its samples.
//! - `own_log`: poolwatch's own log.
//! - `process`: the daemon's own process and the machine.
//! - [`reading`]: readings: what a source gives.
//! - `schemas`: JSON schemas of the answers, made from their types in the tests.
//! - [`renewals`]: connections that are all replaced at once, again and again.
//! - [`sizing`]: the size that a pool needs, from what is asked of it.
//! - [`statement`]: the text of a statement: without literals, its tables, its conditions.
//! - `window`: a sliding window, for the values of the last minutes.
//! - `yaml`: YAML files that people write: the line of each value, and what is wrong with it.
//!
//! Below all of them is the crate [`poolwatch_client`] in `clients/rust`: `SharedPool`, the workers'
//! protocol, the table of a pool's figures, and the histograms.

pub mod commands;
pub mod config;
pub mod demo;
mod plan;
pub mod sampler;

pub mod indexes;
pub mod postgres;
pub mod sources;

pub mod advice;
pub mod exposition;
pub mod http;
pub mod snapshot;
pub mod state;

pub mod collectors;
mod files;
pub mod latency;
pub mod metric;
mod own_log;
mod process;
pub mod reading;
pub mod renewals;
#[cfg(test)]
mod schemas;
mod single_flight;
pub mod sizing;
pub mod statement;
mod window;
mod yaml;
