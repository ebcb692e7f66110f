//! JSON schemas of what poolwatch prints and serves, kept in `docs/` and compared with the types.

use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of one type.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    without_absent_nulls(&mut schema);
    schema
}

/// Compares a file in `docs/` with what it must be. `UPDATE_DOCS=1` writes it.
#[track_caller]
pub(crate) fn holds(file: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = serde_json::to_string_pretty(document).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "docs/{file} is old: UPDATE_DOCS=1 cargo test --lib made_from_the_types");
}

/// What may be absent is never null.
pub(crate) fn without_absent_nulls(schema: &mut Value) {
    if let Value::Array(items) = schema {
        items.iter_mut().for_each(without_absent_nulls);
    }
    let Value::Object(object) = schema else { return };
    object.values_mut().for_each(without_absent_nulls);
    let required = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    for (name, property) in properties {
        if !required.contains(&name.as_str().into()) {
            without_null(property);
        }
    }
}

fn without_null(property: &mut Value) {
    let Value::Object(property) = property else { return };
    if let Some(Value::Array(kinds)) = property.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = &**kinds {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if choices.len() == 1 {
            let Some(Value::Array(mut choices)) = property.remove("anyOf") else { return };
            let Some(Value::Object(only)) = choices.pop() else { return };
            property.extend(only);
        }
    }
}
