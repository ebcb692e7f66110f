//! The throwaway server that every other test stands on.

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

#[test]
fn a_cluster_answers_and_leaves_nothing() {
    let cluster = Cluster::builder().setting("max_connections", "17").start().unwrap();
    let folder = cluster.folder().to_owned();
    let process = cluster.process().unwrap();
    assert_eq!(cluster.sql("SHOW max_connections").unwrap(), "17");
    assert_eq!(cluster.sql("SHOW listen_addresses").unwrap(), "");
    drop(cluster);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
}

#[test]
fn a_restarted_cluster_keeps_its_tables() {
    let mut cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").unwrap();
    cluster.restart(Stop::Fast).unwrap();
    assert_eq!(cluster.sql("SELECT n FROM kept").unwrap(), "7");
    cluster.stop(Stop::Immediate).unwrap();
    assert!(cluster.sql("SELECT 1").is_err());
    cluster.start().unwrap();
    assert_eq!(cluster.sql("SELECT n FROM kept").unwrap(), "7");
}

#[test]
fn a_wrong_setting_is_told_with_the_servers_own_words() {
    let error = Cluster::builder().setting("max_connections", "many").start().unwrap_err();
    assert!(error.to_string().contains("max_connections"), "{error}");
}

#[test]
fn a_failed_statement_is_an_error() {
    let cluster = Cluster::builder().start().unwrap();
    let error = cluster.sql("SELECT * FROM absent").unwrap_err().to_string();
    assert!(error.contains("relation \"absent\" does not exist"), "{error}");
}
