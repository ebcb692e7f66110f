//! Each endpoint of the example is judged by what it does to the database, and its line is named.

use super::kept::{Counts, web};
use super::{Stage, agree};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/reddit-bot");

/// Path, N+1 checkouts, unpaginated queries.
const ENDPOINTS: &[(&str, u64, u64)] = &[
    ("/api/posts", 0, 0),
    ("/api/posts?page_size=100&loading=eager", 0, 0),
    ("/api/posts?loading=lazy", 1, 0),
    ("/api/posts?paginated=no", 0, 1),
    ("/api/posts?paginated=no&loading=lazy", 1, 1),
    ("/api/posts/count", 0, 0),
    ("/api/posts/count?counting=python", 0, 1),
    ("/api/posts/of-client?client_id=1", 0, 0),
    ("/api/posts/of-client?client_id=1&reviewed=no", 0, 0),
    ("/api/posts/of-subreddit", 0, 0),
    ("/api/users", 0, 0),
    ("/api/users?loading=lazy", 1, 0),
    ("/api/users?paginated=no", 0, 1),
    ("/api/users/count", 0, 0),
    ("/api/users/count?counting=python", 0, 1),
    ("/api/configs", 0, 0),
    ("/api/configs?loading=lazy", 1, 0),
    ("/api/configs?paginated=no", 0, 1),
    ("/api/configs/count", 0, 0),
    ("/api/configs/count?counting=python", 0, 1),
    ("/api/responses/of-post?post_id=1", 0, 0),
    ("/api/responses/quality?client_id=1", 0, 0),
    ("/api/responses/best", 0, 0),
    ("/api/analytics/daily?client_id=1", 0, 0),
    ("/api/analytics/client-events?client_id=1", 0, 0),
    ("/api/analytics/recent", 0, 0),
    ("/health", 0, 0),
    ("/health/ready", 0, 0),
    ("/health/detailed", 0, 0),
    ("/health/database/pool", 0, 0),
    ("/troubles", 0, 0),
];

/// Kind, part of the statement, file, and the line's text.
const FINDINGS: &[(&str, &str, &str, &str)] = &[
    ("n_plus_one", "FROM ai_responses", "routes/posts.py", "for response in post.responses"),
    ("n_plus_one", "FROM clients", "routes/users.py", "\"client\": {\"id\": user.client.id"),
    ("n_plus_one", "FROM clients", "routes/configs.py", "\"client\": {\"id\": config.client.id"),
    ("unpaginated", "FROM matched_posts ORDER", "routes/listing.py", "session.scalars(query)"),
    ("unpaginated", "FROM matched_posts LEFT", "routes/listing.py", "session.scalars(query)"),
    ("unpaginated", "FROM users", "routes/listing.py", "session.scalars(query)"),
    ("unpaginated", "FROM configs", "routes/listing.py", "session.scalars(query)"),
    ("unpaginated", "FROM matched_posts", "routes/listing.py", "session.scalars(select(model))"),
    ("unpaginated", "FROM users", "routes/listing.py", "session.scalars(select(model))"),
    ("unpaginated", "FROM configs", "routes/listing.py", "session.scalars(select(model))"),
];

#[test]
fn every_endpoint_of_the_example_is_judged_right_and_its_line_named() {
    let stage = Stage::set(&[("WORKERS", "1"), ("POOLWATCH_PERIOD", "0.1")]);
    let (mut n_plus_one, mut unpaginated) = (0, 0);
    for (path, repeated, whole) in ENDPOINTS {
        let answer = stage.application.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        n_plus_one += repeated;
        unpaginated += whole;
        agree(|| {
            let (metrics, truth) =
                (stage.daemon.metrics(), Counts::from_application(&stage.application));
            let counted = ["db_n_plus_one_checkouts_total", "db_unpaginated_queries_total"]
                .map(|name| web(&metrics, name));
            let queries = Counts::exported(&metrics).queries;
            ((path, queries, counted), (path, truth.queries, [n_plus_one, unpaginated]))
        });
    }
    findings_are_named(&stage);

    let stage = stage.restart_daemon();
    stage.counts_agree();
    let repeated = web(&stage.daemon.metrics(), "db_n_plus_one_checkouts_total");
    assert_eq!(repeated, n_plus_one, "workers say again all that they ever counted");
}

#[track_caller]
fn findings_are_named(stage: &Stage) {
    let body = stage.daemon.get("/health/detailed").json();
    let findings = body["findings"].as_array().unwrap();
    for (kind, statement, file, text) in FINDINGS {
        let line = line(file, text);
        let is_it = |finding: &&serde_json::Value| {
            finding["kind"] == *kind
                && finding["where"] == line
                && finding["sql"].as_str().is_some_and(|sql| sql.contains(statement))
        };
        let found = findings.iter().find(is_it);
        let found = found.unwrap_or_else(|| panic!("no {kind} at {line}: {findings:#?}"));
        assert_eq!(found["pool"], "web");
        assert!(found["rows"].as_u64() >= Some(50), "{found:#}");
    }
    assert_eq!(findings.len(), FINDINGS.len(), "{findings:#?}");
}

/// `redditbot/FILE:NUMBER` of the line with this text.
#[track_caller]
fn line(file: &str, text: &str) -> String {
    let source = std::fs::read_to_string(format!("{FOLDER}/redditbot/{file}")).unwrap();
    let number = source.lines().position(|line| line.contains(text)).unwrap() + 1;
    format!("redditbot/{file}:{number}")
}
