//! Reaching servers: addresses, credentials and TLS as libpq has them, against real servers.

mod addresses;
mod certificates;
mod passwords;
mod refusals;

use std::net::Ipv4Addr;

use poolwatch::demo::Cluster;
use poolwatch::postgres::Settings;

use crate::support::free_address;

/// A server over TCP at an address of its own, whose port is the usual one.
fn server(settings: &[(&str, &str)]) -> (Cluster, Ipv4Addr) {
    let address = free_address();
    let builder = Cluster::builder().setting("listen_addresses", &address.to_string());
    let builder =
        settings.iter().fold(builder, |builder, (key, value)| builder.setting(key, value));
    (builder.start().unwrap(), address)
}

/// Sets who may connect by TCP, and how.
fn allow(cluster: &Cluster, lines: &str) {
    let file = cluster.folder().join("data/pg_hba.conf");
    std::fs::write(file, format!("local all all trust\n{lines}\n")).unwrap();
    cluster.sql("SELECT pg_reload_conf()").unwrap();
}

/// The documented role, with a password.
const ROLE: &str = "CREATE ROLE watch LOGIN CONNECTION LIMIT 5 PASSWORD 's3cret-0'; \
                    GRANT pg_monitor TO watch";

fn settings(value: &serde_json::Value) -> Settings {
    serde_json::from_value(value.clone()).unwrap()
}

/// Connects once, as the daemon does it.
async fn connect(value: &serde_json::Value) -> Result<(), String> {
    let database = settings(value).open("test").map_err(|error| error.to_string())?;
    let result = database.acquire().await.map(drop).map_err(|error| chain(&error));
    database.pool().close().await;
    result
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}
