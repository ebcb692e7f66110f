//! What belongs to no database: the catalogues that all databases share.

use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually};

#[test]
fn the_shared_catalogues_have_figures_of_their_own() {
    let cluster = Cluster::builder().start().unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         sampling: {{server: 1s}}\n",
        cluster.url("postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    cluster.sql("CREATE ROLE one; CREATE ROLE two; CREATE DATABASE three").unwrap();
    eventually(|| {
        let sql = "SELECT tup_inserted FROM pg_stat_database WHERE datid = 0";
        let truth: f64 = cluster.sql(sql).unwrap().trim().parse().unwrap();
        let shown = daemon.value("pg_stat_database_tup_inserted", &[("datid", "0")]);
        truth >= 3.0 && shown == Some(truth)
    });
}
