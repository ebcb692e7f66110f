//! Each version takes every statement of every collector.

use std::fmt::Write as _;

use poolwatch::collectors;
use poolwatch::demo::Cluster;

use super::{servers, version};

/// What a version does not take, of all statements that there are for it.
fn refused(cluster: &Cluster, major: u32) -> Vec<String> {
    let tables = collectors::ALL
        .iter()
        .flat_map(|collector| collector.tables.iter().map(move |table| (collector.name, table)));
    let statements = tables.filter_map(|(name, table)| {
        let sql = table.statement(version(table, major))?;
        Some((name, sql.replace("@extension", "public")))
    });
    let unseen = collectors::UNSEEN.iter().filter_map(|unseen| {
        let sql = collectors::Unseen::statement(unseen.collector, major)?;
        Some((unseen.collector, sql.to_owned()))
    });
    let statements: Vec<_> = statements.chain(unseen).collect();
    assert!(statements.len() > 40, "PostgreSQL {major} has {} statements", statements.len());
    let refuse = |(name, sql): &(&str, String)| {
        let mut prepare = "SET search_path = pg_catalog; SET ROLE watcher;\n".to_owned();
        write!(prepare, "PREPARE one AS {sql}").unwrap();
        let error = cluster.sql(&prepare).err()?;
        Some(format!("PostgreSQL {major}: {name}: {error}"))
    };
    statements.iter().filter_map(refuse).collect()
}

#[test]
fn every_version_takes_every_statement() {
    let mut wrong = Vec::new();
    for (major, binaries) in servers::all() {
        let builder = Cluster::builder().binaries(binaries);
        let cluster = builder.setting("shared_preload_libraries", "pg_stat_statements").start();
        let cluster = cluster.unwrap();
        cluster
            .sql(
                "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_buffercache;
                 CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher",
            )
            .unwrap();
        wrong.extend(refused(&cluster, *major));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
