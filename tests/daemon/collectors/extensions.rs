//! Extensions and what newer version of them there is.

use poolwatch::collectors::Collector;
use poolwatch::demo::Cluster;
use poolwatch::exposition::Chunk;

use super::{database, read};

#[tokio::test]
async fn an_extension_that_can_be_updated_is_shown() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements VERSION '1.4'").unwrap();
    let collector = Collector::named("extensions").unwrap();
    let (families, complaint) = read(&database(&cluster.url("postgres")), collector).await;
    assert_eq!(complaint, None);
    let shown = String::from_utf8(Chunk::encode(&families).plain().to_vec()).unwrap();
    for line in [
        r#"{datname="postgres",extname="pg_stat_statements",version="1.4"} 1"#,
        r#"{datname="postgres",extname="plpgsql",version="1.0"} 0"#,
    ] {
        let line = format!("pg_extension_update_available{line}\n");
        assert!(shown.contains(&line), "{line} is not in {shown}");
    }
}
