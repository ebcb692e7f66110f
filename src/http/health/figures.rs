//! The figures of a pool, by the keys that the tables of figures have for them.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::percent;
use poolwatch_client::pool_figures::{Cumulative, Figures, MaxOverflow, Totals, Value};

/// The gauges that the table has a key for.
#[derive(Debug)]
pub(in crate::http) struct FiguresBody(pub(in crate::http) Figures);

impl Serialize for FiguresBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for row in Figures::ROWS {
            let Some((key, value)) = row.json.zip((row.get)(&self.0)) else { continue };
            match value {
                Value::Count(count) | Value::Limit(MaxOverflow::Limited(count)) => {
                    map.serialize_entry(key, &count)?;
                }
                Value::Limit(MaxOverflow::Unlimited) => map.serialize_entry("unlimited", &true)?,
                Value::Seconds(seconds) if seconds.is_finite() => {
                    map.serialize_entry(key, &seconds)?;
                }
                Value::Seconds(_) => {}
                Value::Share(share) => {
                    if let Some(percent) = percent(Some(share)) {
                        map.serialize_entry(key, &percent)?;
                    }
                }
            }
        }
        map.end()
    }
}

/// The counters since the beginning.
#[derive(Debug, Default)]
pub(super) struct CountsBody(pub(super) Totals);

impl CountsBody {
    pub(super) fn is_empty(&self) -> bool {
        self.0 == Totals::default()
    }
}

impl Serialize for CountsBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts =
            Totals::ROWS.iter().filter_map(|row| Some((row.json, (row.get)(&self.0).as_ref()?)));
        serializer.collect_map(counts)
    }
}

/// The schemas of what the tables of figures have keys for.
#[cfg(test)]
mod schemas {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use serde_json::{Map, Value as Json, json};

    use super::{CountsBody, Cumulative, Figures, FiguresBody, MaxOverflow, Totals, Value};

    impl JsonSchema for FiguresBody {
        fn schema_name() -> Cow<'static, str> {
            "Figures".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let mut figures = Figures::default();
            for set in Figures::ROWS.iter().filter_map(|row| row.set) {
                for value in
                    [Value::Count(5), Value::Limit(MaxOverflow::Limited(15)), Value::Seconds(0.5)]
                {
                    set(&mut figures, value);
                }
            }
            let mut properties = Map::new();
            for row in Figures::ROWS {
                let Some((key, value)) = row.json.zip((row.get)(&figures)) else { continue };
                let kind = match value {
                    Value::Count(_) | Value::Limit(_) => "integer",
                    Value::Seconds(_) | Value::Share(_) => "number",
                };
                let schema = json!({"type": kind, "minimum": 0, "description": row.help});
                properties.insert(key.to_owned(), schema);
            }
            let unlimited = json!({"const": true, "description": "There is no max_overflow."});
            properties.insert("unlimited".to_owned(), unlimited);
            json_schema!({"type": "object", "properties": Json::Object(properties)})
        }
    }

    impl JsonSchema for CountsBody {
        fn schema_name() -> Cow<'static, str> {
            "Counts".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let count = |help: &str| json!({"type": "integer", "minimum": 0, "description": help});
            let rows = Totals::ROWS.iter().map(|row| (row.json.to_owned(), count(row.help)));
            let properties: Map<_, _> = rows.collect();
            json_schema!({"type": "object", "properties": Json::Object(properties)})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::json;
    use super::*;

    #[test]
    fn figures_and_counts_have_the_keys_that_clients_rely_on() {
        let mut figures = Figures::default();
        for set in Figures::ROWS.iter().filter_map(|row| row.set) {
            for value in
                [Value::Count(5), Value::Limit(MaxOverflow::Limited(15)), Value::Seconds(0.5)]
            {
                set(&mut figures, value);
            }
        }
        let shown = serde_json::to_string(&FiguresBody(figures)).unwrap();
        assert_eq!(
            shown,
            r#"{"pool_size":5,"max_overflow":15,"capacity":20,"checked_in":5,"checked_out":5,"overflow":5,"pending":5,"connecting":5,"oldest_checkout_seconds":0.5,"utilization_percent":25.0}"#
        );
        figures.max_overflow = Some(MaxOverflow::Unlimited);
        let body = json(&FiguresBody(figures));
        assert_eq!((body.get("max_overflow"), &body["unlimited"]), (None, &true.into()));
        assert_eq!((body.get("capacity"), body.get("utilization_percent")), (None, None));

        let mut totals = Totals::default();
        for row in Totals::ROWS {
            *(row.get_mut)(&mut totals) = Some(3);
        }
        assert_eq!(
            serde_json::to_string(&CountsBody(totals)).unwrap(),
            r#"{"acquire_timeouts":3,"acquire_errors":3,"acquires_abandoned":3,"connections_opened":3,"connections_invalidated":3,"inherited_connections":3,"connections_collected":3,"query_errors":3,"n_plus_one_checkouts":3,"unpaginated_queries":3}"#
        );
    }
}
