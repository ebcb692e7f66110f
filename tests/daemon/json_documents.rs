//! The JSON of every answer and command is as its document says.

use std::path::Path;

use poolwatch::demo::Cluster;
use serde_json::Value;

use crate::support::{Daemon, eventually, poolwatch};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

/// A document in `docs/`.
fn document(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(DOCS).join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every way in which a value is not as the schema says.
fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The keys that a value has, and the schema does not know.
fn unknown(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let schema = resolved(root, schema);
    let choices = ["anyOf", "oneOf", "allOf"].map(|key| schema[key].as_array().cloned());
    let parts: Vec<Value> = choices.into_iter().flatten().flatten().collect();
    match value {
        Value::Object(fields) => {
            let mut wrong = Vec::new();
            for (key, value) in fields {
                let known = [&schema].into_iter().chain(&parts).map(|part| resolved(root, part));
                let known = known.map(|part| part["properties"][key.as_str()].clone());
                match known.into_iter().find(|property| !property.is_null()) {
                    None => wrong.push(key.clone()),
                    Some(property) => wrong.extend(unknown(root, &property, value)),
                }
            }
            wrong
        }
        Value::Array(items) => {
            items.iter().flat_map(|item| unknown(root, &schema["items"], item)).collect()
        }
        _ => Vec::new(),
    }
}

/// A schema, or the one that it refers to.
fn resolved(root: &Value, schema: &Value) -> Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap().clone(),
        None => schema.clone(),
    }
}

/// Holds a value to a schema within a document.
#[track_caller]
fn holds(root: &Value, schema: &Value, value: &Value, what: &str) {
    let mut whole = schema.clone();
    if let (Some(components), Some(object)) = (root.get("components"), whole.as_object_mut()) {
        object.insert("components".to_owned(), components.clone());
    }
    assert_eq!(errors(&whole, value), Vec::<String>::new(), "{what}: {value:#}");
    assert_eq!(unknown(root, schema, value), Vec::<String>::new(), "{what}: {value:#}");
}

/// Every answer of a daemon that is JSON.
#[track_caller]
fn answers_hold(daemon: &Daemon) {
    let api = daemon.get("/openapi.json").json();
    assert_eq!(api, document("openapi.json"));
    let mut held = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get") else { continue };
        let answer = daemon.get(path);
        let responses = &operation["responses"];
        let status = answer.status.to_string();
        let described = responses.get(&status).unwrap_or(&responses["default"]);
        let content = described["content"].as_object().unwrap();
        let (kind, body) = content.iter().next().unwrap();
        assert!(answer.headers["content-type"].starts_with(kind.as_str()), "{path}: {kind}");
        if kind == "application/json" && path != "/openapi.json" {
            holds(&api, &body["schema"], &answer.json(), path);
            held += 1;
        }
    }
    assert_eq!(held, 4);
    let nothing = daemon.get("/nothing").json();
    holds(&api, &api["components"]["schemas"]["ErrorBody"], &nothing, "an error");
}

#[test]
fn every_answer_is_as_the_document_says() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements; CREATE ROLE watch LOGIN").unwrap();
    cluster.sql("GRANT pg_monitor TO watch").unwrap();
    let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/config/indexes.yml");
    cluster.sql(include_str!("../../src/demo/schema.sql")).unwrap();
    cluster.sql("DROP INDEX idx_client_created").unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}\nindexes: {{catalogue: '{catalogue}'}}\n\
         pools: {{inferred: {{activity: {{size: 5, max_overflow: 15}}}}}}\n",
        cluster.url_as("watch", "postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    answers_hold(&daemon);
    // With advice, sessions and a pool.
    eventually(|| {
        let detailed = daemon.get("/health/detailed").json();
        let some = |key: &str| detailed[key].as_array().is_some_and(|all| !all.is_empty());
        ["advice", "activity", "troubles", "pools"].into_iter().all(some)
    });
    answers_hold(&daemon);
    let gone = "servers: {gone: {url: 'postgresql://a@127.0.0.1:1/b'}}\n";
    let daemon = Daemon::with_settings(gone).start();
    eventually(|| daemon.get("/health/ready").status == 503);
    answers_hold(&daemon);
}

/// What a command prints as JSON.
fn printed(cluster: &Cluster, arguments: &[&str]) -> Value {
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url("postgres"));
    command.env("POOLWATCH__WORKERS__SOCKET", cluster.folder().join("poolwatch.sock"));
    let output = command.args(arguments).args(["--format", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn what_the_commands_print_is_as_the_documents_say() {
    let cluster = Cluster::builder().start().unwrap();
    let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/config/indexes.yml");
    cluster.sql("CREATE EXTENSION pg_stat_statements").unwrap();
    cluster.sql(include_str!("../../src/demo/schema.sql")).unwrap();
    cluster.sql("DROP INDEX idx_client_created").unwrap();
    for arguments in [&["check"][..], &["indexes", "--catalogue", catalogue], &["indexes"]] {
        let schema = document(&format!("{}.schema.json", arguments[0]));
        holds(&schema, &schema, &printed(&cluster, arguments), arguments[0]);
    }
}
