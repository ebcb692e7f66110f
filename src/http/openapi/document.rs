//! Makes the document, and compares it with the file.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::http::health::{Detailed, PoolHealth, Readiness, Service};
use crate::process;
use crate::schemas::{holds, without_absent_nulls};

/// What every error says.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ErrorBody {
    message: String,
}

/// An operation of the document: `get` unless another method is given.
fn operation(summary: &str, content: &str, schema: Value, others: &[(&str, &str, Value)]) -> Value {
    let answer = |description: &str, content: &str, schema: Value| json!({"description": description, "content": {content: {"schema": schema}}});
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(summary, content, schema));
    for (status, description, schema) in others {
        let body = answer(description, "application/json", schema.clone());
        responses.insert((*status).to_owned(), body);
    }
    let error = "The request is wrong, is not allowed, or cannot be answered now.";
    let schema = json!({"$ref": "#/components/schemas/ErrorBody"});
    responses.insert("default".to_owned(), answer(error, "application/json", schema));
    json!({"summary": summary, "responses": responses})
}

fn paths(generator: &mut SchemaGenerator) -> Value {
    let service = generator.subschema_for::<Service>().to_value();
    let readiness = generator.subschema_for::<Readiness<'static>>().to_value();
    let detailed = generator.subschema_for::<Detailed<'static>>().to_value();
    let pool = generator.subschema_for::<PoolHealth<'static>>().to_value();
    generator.subschema_for::<ErrorBody>();
    let (text, plain) = (json!({"type": "string"}), "text/plain");
    let body = "application/json";
    let of_text = |summary: &str| operation(summary, plain, text.clone(), &[]);
    let unready = [("503", "Not ready.", readiness.clone())];
    let document = json!({"type": "object"});
    json!({
        "/": {"get": operation("The status page.", "text/html", text.clone(), &[])},
        "/metrics": {"get": of_text("The metrics, in Prometheus' text format; at the path that --web.telemetry-path names.")},
        "/health": {"get": operation("The health of the service, which is always 200.", body, service, &[])},
        "/health/ready": {"get": operation("The servers and the worst pool; 503 when no server answers or the sample is stale.", body, readiness, &unready)},
        "/health/detailed": {"get": operation("Everything known.", body, detailed, &[])},
        "/health/database/pool": {"get": operation("The worst pool, then each pool with its workers.", body, pool, &[])},
        "/openapi.json": {"get": operation("This document.", body, document, &[])},
        "/-/healthy": {"get": of_text("The daemon is alive, whatever the servers do.")},
        "/-/ready": {"get": of_text("The daemon serves; 503 while it stops.")},
        "/-/reload": {
            "post": of_text("Reads the settings again, where --web.enable-lifecycle allows it."),
            "put": of_text("The same."),
        },
    })
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let paths = paths(&mut generator);
    let mut schemas = Value::Object(generator.take_definitions(true));
    without_absent_nulls(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "poolwatch",
            "version": process::VERSION,
            "description": "The answers of poolwatch. Times are RFC 3339, lengths of time are \
                            seconds, and what is not known is absent. A later version may add keys.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

#[test]
fn the_document_is_made_from_the_types() {
    holds("openapi.json", &document());
}
