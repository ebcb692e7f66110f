//! What a client of another language reports, as metrics.

use std::os::unix::net::UnixDatagram;

use crate::support::{Daemon, eventually};

fn report(app: &str, collected: u64) -> String {
    format!(
        r#"{{"v":1,"inst":"{app}","seq":1,"app":"{app}","pools":[{{"name":"shop","size":5,"max_overflow":0,"abandoned":2,"collected":{collected}}}]}}"#
    )
}

#[test]
fn forgotten_connections_abandoned_acquires_and_applications_are_told_apart() {
    let daemon = Daemon::with_settings("").start();
    let socket = UnixDatagram::unbound().unwrap();
    let value = |metric: &str, app: Option<&str>| {
        let app = app.map(|app| ("app", app));
        let labels: Vec<_> = [("pool", "shop")].into_iter().chain(app).collect();
        daemon.value(metric, &labels)
    };
    for (app, collected) in [("gunicorn", 3), ("celery", 4)] {
        socket.send_to(report(app, collected).as_bytes(), daemon.socket()).unwrap();
    }
    eventually(|| value("db_pool_connections_collected_total", None) == Some(7.0));
    assert_eq!(value("db_pool_acquires_abandoned_total", None), Some(4.0));
    for app in ["gunicorn", "celery"] {
        assert_eq!(value("db_pool_app_workers", Some(app)), Some(1.0), "{app}");
    }
}
