//! Rotation in all its forms: nothing is lost, and nothing is counted twice.

use std::fs;
use std::path::Path;

use super::{cluster, count, folder, follow, run};
use crate::support::eventually;

fn statements_in(log: &Path) -> usize {
    fs::read_to_string(log).unwrap().matches(" AS counted").count()
}

#[test]
fn a_new_file_by_the_time_is_followed() {
    let cluster = cluster("csvlog", &[("log_filename", "server-%Y%m%d-%H%M%S.log")]);
    let daemon = follow(&cluster, "server-*.csv");
    let files = || fs::read_dir(folder(&cluster)).unwrap().count();
    for round in 1..=3 {
        run(&cluster, 50);
        let before = files();
        // Within a second the name is the same.
        eventually(|| {
            cluster.sql("SELECT pg_rotate_logfile()").unwrap();
            files() > before
        });
        run(&cluster, 50);
        eventually(|| count(&daemon.metrics()) == Some(100.0 * f64::from(round)));
    }
}

#[test]
fn a_file_that_is_renamed_is_read_to_its_end() {
    let cluster = cluster("stderr", &[]);
    let daemon = follow(&cluster, "server.log");
    let (now, old) = (folder(&cluster).join("server.log"), folder(&cluster).join("server.log.1"));
    for round in 1..=2 {
        run(&cluster, 50);
        fs::rename(&now, &old).unwrap();
        run(&cluster, 50);
        cluster.sql("SELECT pg_rotate_logfile()").unwrap();
        eventually(|| now.exists());
        run(&cluster, 50);
        eventually(|| count(&daemon.metrics()) == Some(150.0 * f64::from(round)));
    }
}

#[test]
fn a_file_that_is_copied_and_truncated_is_counted_once() {
    for (path, destination) in [("server.log", "stderr"), ("server.csv*", "csvlog")] {
        let cluster = cluster(destination, &[]);
        let daemon = follow(&cluster, path);
        let now = folder(&cluster).join(path.trim_end_matches('*'));
        let named = |end: &str| now.with_file_name(format!("{}{end}", path.trim_end_matches('*')));
        for round in 1..=3 {
            run(&cluster, 50);
            // What the server writes between the two steps is nowhere.
            let written = if round == 1 { 50 } else { 100 };
            eventually(|| statements_in(&now) == written);
            if round > 1 {
                // As `delaycompress` has it: the copy of before is compressed.
                fs::rename(named(".1"), named(".2.gz")).unwrap();
            }
            if round == 2 {
                eventually(|| count(&daemon.metrics()) == Some(150.0));
            }
            fs::copy(&now, named(".1")).unwrap();
            fs::OpenOptions::new().write(true).open(&now).unwrap().set_len(0).unwrap();
            run(&cluster, 50);
            eventually(|| count(&daemon.metrics()) == Some(100.0 * f64::from(round)));
        }
    }
}
