//! The status page: one headline over its cards, through every trouble of the example application,
//! with a server that is down, and as a browser and axe-core see it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;
use serde_json::{Value, json};

use crate::application::Application;
use crate::support::{Daemon, eventually, skipped};

/// Every phase of the example's load, and the seconds that each takes.
const PHASES: &str =
    "healthy,breathing,saturation,leak,n_plus_one,unpaginated,slow_query,missing_index,healthy";
const SECONDS: u32 = 8;

/// Status words in rising order.
const RISING: [&str; 3] = ["healthy", "warning", "critical"];

fn rank(word: &str) -> usize {
    RISING.iter().position(|one| *one == word).unwrap_or(0)
}

/// The worst severity of a trouble and what follows from it; hints do not count.
fn worst(trouble: &Value) -> usize {
    let follows = trouble["consequences"].as_array().into_iter().flatten();
    let severities = [trouble].into_iter().chain(follows).map(|one| rank(text(&one["severity"])));
    severities.max().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The word of a page's headline, and how many of its cards last, by colour.
fn cards(page: &str) -> (String, usize, usize) {
    let (_, rest) = page.split_once("<h2>").unwrap();
    let (headline, _) = rest.split_once("</h2>").unwrap();
    let word = headline.split(' ').next_back().unwrap().to_owned();
    let lasting = |colour| page.matches(&format!("class=\"card trouble {colour}\"")).count();
    (word, lasting("bad"), lasting("warn"))
}

/// What must hold of any page and any answer of `/health/detailed`, whatever goes on.
#[track_caller]
fn holds_together(page: &str, detailed: &Value) {
    let (word, critical, warnings) = cards(page);
    let by_cards = match (critical, warnings) {
        (0, 0) => "healthy",
        (0, _) => "warning",
        _ => "critical",
    };
    assert_eq!(word, by_cards, "the headline of the page and its cards\n{page}");
    let troubles = detailed["troubles"].as_array().unwrap();
    let lasting = troubles.iter().filter(|trouble| trouble.get("over_for_seconds").is_none());
    let worst = lasting.map(worst).max().unwrap_or(0);
    assert_eq!(rank(text(&detailed["headline"]["status"])), worst, "{detailed:#}");
    let headline = text(&detailed["headline"]["message"]);
    assert!(headline.chars().count() < 250, "a headline is read at one look: {headline}");
    let health = match text(&detailed["status"]) {
        "unhealthy" => 2,
        "degraded" => 1,
        _ => 0,
    };
    assert!(health <= worst, "the headline is no better than the health: {detailed:#}");
    for pool in detailed["pools"].as_array().unwrap() {
        let workers = pool["workers"].as_array().into_iter().flatten();
        let judged = workers.map(|worker| text(&worker["status"])).filter(|one| *one != "unknown");
        let busiest = judged.map(rank).max();
        let own = text(&pool["status"]);
        assert!(busiest.is_none_or(|worst| own != "unknown" && rank(own) == worst), "{pool:#}");
    }
}

#[test]
fn the_headline_and_the_cards_hold_together_through_every_trouble() {
    let application = Application::start_apart(&[]);
    let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/config/indexes.yml");
    let more = format!("indexes: {{catalogue: '{catalogue}'}}\nadvice: {{clear_after: 3s}}");
    let daemon = application.daemon(&more);
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "workers")]) == Some(1.0));
    let (mut load, output) = application.start_load(PHASES, SECONDS);
    let (mut words, mut seen, mut over) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut look = || {
        let detailed = daemon.get("/health/detailed").json();
        let page = daemon.get("/").text();
        holds_together(&page, &detailed);
        words.insert(cards(&page).0);
        for trouble in detailed["troubles"].as_array().unwrap() {
            seen.insert(text(&trouble["rule"]).to_owned());
            over += usize::from(trouble.get("over_for_seconds").is_some());
        }
    };
    while load.ended().unwrap().is_none() {
        look();
    }
    let told = format!("{words:?} {seen:?}\n{}", output.text());
    assert!(words.contains("critical") && words.contains("healthy"), "{told}");
    assert!(seen.len() > 3 && over > 0, "{told}");
}

/// A server at a port of this machine where nothing listens.
fn daemon_of_nobody() -> (Daemon, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!(
        "servers: {{primary: {{url: 'postgresql://watch:s3cret@127.0.0.1:{port}/app'}}}}\n\
         workers: {{enabled: false}}\n"
    );
    (Daemon::with_settings(&settings).start(), port)
}

#[test]
fn a_server_that_is_down_is_one_card_with_its_address_and_the_remedy() {
    let (daemon, port) = daemon_of_nobody();
    let down = |detailed: &Value| text(&detailed["troubles"][0]["rule"]) == "server_down";
    let detailed = eventually(|| Some(daemon.get("/health/detailed").json()).filter(down));
    let troubles = detailed["troubles"].as_array().unwrap();
    assert_eq!(troubles.len(), 1, "what is not read of it is no trouble of its own: {troubles:#?}");
    let message = text(&troubles[0]["message"]);
    for part in [&*format!("watch@127.0.0.1:{port}/app"), "Connection refused"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(text(&troubles[0]["remedy"]).contains(&format!("nothing listens at 127.0.0.1:{port}")));
    assert!(troubles[0]["age_seconds"].is_number());
    let page = daemon.get("/").text();
    assert_eq!(cards(&page), ("critical".to_owned(), 1, 0), "{page}");
    assert!(!page.contains("s3cret") && !detailed.to_string().contains("s3cret"));
    let pool = daemon.get("/health/database/pool").json();
    assert_eq!((text(&pool["status"]), &pool["pools"]), ("unknown", &json!([])));
    assert!(text(&pool["message"]).contains("primary does not answer"), "{pool}");
}

#[test]
fn a_server_that_stops_and_starts_leaves_no_card() {
    let mut cluster = Cluster::builder().start().unwrap();
    let settings = format!("servers: {{primary: {{url: '{}'}}}}\n", cluster.url("postgres"));
    let daemon = Daemon::with_settings(&settings).start();
    let word = || cards(&daemon.get("/").text());
    eventually(|| word().0 == "healthy");
    cluster.stop(Stop::Fast).unwrap();
    eventually(|| word() == ("critical".to_owned(), 1, 0));
    let socket = text(&daemon.get("/health/detailed").json()["troubles"][0]["message"]).to_owned();
    assert!(socket.contains("/.s.PGSQL.5432"), "{socket}");
    cluster.start().unwrap();
    eventually(|| word().0 == "healthy");
    let past = daemon.get("/health/detailed").json();
    assert_eq!(past["troubles"][0]["rule"], "server_down", "{past:#}");
    assert!(past["troubles"][0]["over_for_seconds"].is_number(), "{past:#}");
    eventually(|| {
        text(&daemon.get("/health/detailed").json()["headline"]["message"]).ends_with("attention")
    });
}

/// The page as a browser sees it at each width and in each scheme of colours; `None` without one.
fn audited(daemon: &Daemon) -> Option<Vec<Value>> {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/audit-page/audit");
    let output = Command::new(tool).arg(format!("http://{}/", daemon.address())).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) {
        skipped("the status page in a browser", errors.lines().last().unwrap_or_default());
        return None;
    }
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[track_caller]
fn is_accessible(views: &[Value]) {
    assert_eq!(views.len(), 4);
    for view in views {
        assert_eq!(view["broken"], json!([]), "{view:#}");
        assert_eq!(view["errors"], json!([]), "{view:#}");
        assert_eq!(view["hidden"], json!([]), "{view:#}");
        assert!(view["scrollWidth"].as_u64() <= view["width"].as_u64(), "{view:#}");
        let passed = view["passed"].as_array().unwrap();
        assert!(passed.contains(&"heading-order".into()), "{view:#}");
    }
}

#[test]
fn the_page_is_accessible_and_fits_a_screen_while_all_is_well() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements; CREATE ROLE watch LOGIN").unwrap();
    cluster.sql("GRANT pg_monitor TO watch").unwrap();
    let url = cluster.url_as("watch", "postgres");
    let daemon =
        Daemon::with_settings(&format!("servers: {{primary: {{url: '{url}'}}}}\n")).start();
    eventually(|| cards(&daemon.get("/").text()).0 == "healthy");
    eventually(|| {
        cluster.sql("SELECT pg_sleep(0.01)").unwrap();
        daemon.get("/").text().contains("table-statements")
    });
    let Some(views) = audited(&daemon) else { return };
    is_accessible(&views);
    let height = |width: u64| {
        let of_width = views.iter().filter(|view| view["width"] == width);
        of_width.filter_map(|view| view["height"].as_u64()).max().unwrap()
    };
    assert!(height(1400) <= 900 && height(400) <= 1400, "{} {}", height(1400), height(400));
    let scrolled = |view: &Value| {
        view["passed"].as_array().unwrap().contains(&"scrollable-region-focusable".into())
    };
    assert!(views.iter().any(scrolled), "something scrolls on a narrow screen");
}

#[test]
fn thirty_pools_are_short_and_each_of_the_worst_can_be_reached() {
    let daemon = Daemon::with_settings("").start();
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(daemon.socket()).unwrap();
    for worker in 0..6 {
        let pool = |number| {
            let name = format!("{number:02} {}", "n".repeat(60));
            let taken = if number >= 27 { 20 } else { 2 };
            json!({"name": name, "size": 5, "max_overflow": 15, "checked_in": 1,
                   "checked_out": taken, "pending": 0, "peak": taken, "opened": 7})
        };
        // No report may name more than sixteen.
        for half in [0..15, 15..30] {
            let pools: Vec<_> = half.clone().map(pool).collect();
            let report = json!({"v": 1, "inst": format!("{worker} {half:?}"), "pid": worker,
                                "seq": 1, "period": 60.0, "app": "shop", "pools": pools});
            socket.send(&serde_json::to_vec(&report).unwrap()).unwrap();
        }
    }
    let full = || daemon.get("/metrics").text().matches("db_pool_workers{").count() == 30;
    eventually(full);
    eventually(|| cards(&daemon.get("/").text()).0 == "critical");
    let page = daemon.get("/").text();
    assert!(page.contains("27 pools, none at warning or critical"), "{page}");
    let Some(views) = audited(&daemon) else { return };
    is_accessible(&views);
}

#[test]
fn the_page_of_a_server_that_is_down_is_accessible() {
    let (daemon, _) = daemon_of_nobody();
    eventually(|| cards(&daemon.get("/").text()).0 == "critical");
    let Some(views) = audited(&daemon) else { return };
    is_accessible(&views);
}
