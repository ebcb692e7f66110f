use super::*;
use proptest::prelude::*;
use serde_json::json;

fn parse(preset: Preset, answer: &Value) -> Result<Reading, AnswerProblem> {
    AnswerShape::new(Some(preset), &BTreeMap::new()).unwrap().parse("web", answer)
}

fn figures(preset: Preset, answer: &Value) -> Figures {
    parse(preset, answer).unwrap().pools[0].workers[0].figures
}

fn pointed(pointers: &Value, answer: &Value) -> Result<Reading, AnswerProblem> {
    let pointers = serde_json::from_value(pointers.clone()).unwrap();
    AnswerShape::new(None, &pointers).unwrap().parse("web", answer)
}

#[test]
fn the_seeds_answer_is_read_and_its_overflow_never_negative() {
    let answer = json!({"pool_size": 5, "max_overflow": 15, "checked_in": 3, "checked_out": 1,
                        "overflow": -1, "status": "healthy", "pid": 812});
    let worker = parse(Preset::Sqlalchemy, &answer).unwrap().pools[0].workers[0].clone();
    assert_eq!(worker.pid, Some(812));
    assert_eq!(worker.figures.overflow, Some(0));
    assert_eq!(worker.figures.utilization(), Some(0.05));
    assert_eq!(worker.figures.pending, None);
}

#[test]
fn figures_within_a_larger_answer_are_found_together() {
    let answer = json!({"status": "healthy", "size": 123_456,
                        "database": {"pool": {"size": 5, "checkedin": 0, "checkedout": 7}}});
    let figures = figures(Preset::Sqlalchemy, &answer);
    assert_eq!((figures.size, figures.checked_out, figures.overflow), (Some(5), Some(7), Some(2)));
}

#[test]
fn a_capacity_stands_in_for_max_overflow() {
    let answer = json!({"pool_size": 5, "capacity": 20, "checked_out": 10});
    assert_eq!(figures(Preset::Sqlalchemy, &answer).utilization(), Some(0.5));
    let answer = json!({"pool_size": 5, "max_overflow": -1, "checked_out": 10});
    assert_eq!(figures(Preset::Sqlalchemy, &answer).max_overflow, Some(MaxOverflow::Unlimited));
}

#[test]
fn go_is_read_in_its_own_names_and_in_snake_case() {
    let own = json!({"MaxOpenConnections": 10, "OpenConnections": 6, "InUse": 4, "Idle": 2,
                     "WaitCount": 3, "WaitDuration": 1_500_000_000_u64, "MaxIdleClosed": 0});
    let snake = json!({"max_open_connections": 10, "in_use": 4, "idle": 2});
    for answer in [&own, &snake] {
        let figures = figures(Preset::GoSql, answer);
        assert_eq!(figures.utilization(), Some(0.4));
        assert_eq!(figures.checked_in, Some(2));
    }
    let families = parse(Preset::GoSql, &own).unwrap().families;
    assert_eq!(families.len(), 2);
    let text = crate::exposition::Chunk::encode(&families).plain();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains("db_pool_acquire_wait_seconds_total{pool=\"web\"} 1.5"), "{text}");
}

#[test]
fn a_go_pool_without_a_limit_has_no_utilization() {
    let figures = figures(Preset::GoSql, &json!({"MaxOpenConnections": 0, "InUse": 4, "Idle": 0}));
    assert_eq!((figures.utilization(), figures.size), (None, None));
}

#[test]
fn hikari_is_read_from_its_beans_from_jolokia_and_from_the_actuator() {
    let bean = json!({"activeConnections": 3, "idleConnections": 2, "totalConnections": 5,
                      "threadsAwaitingConnection": 1, "maximumPoolSize": 10});
    let jolokia = json!({"status": 200, "value": {"ActiveConnections": 3, "IdleConnections": 2,
                         "ThreadsAwaitingConnection": 1, "MaximumPoolSize": 10}});
    let meter = |value: f64| json!({"measurements": [{"statistic": "VALUE", "value": value}]});
    let actuator = json!({"active": meter(3.0), "idle": meter(2.0), "pending": meter(1.0),
                          "max": meter(10.0)});
    for answer in [bean, jolokia, actuator] {
        let figures = figures(Preset::Hikaricp, &answer);
        assert_eq!((figures.checked_in, figures.pending), (Some(2), Some(1)));
        assert_eq!(figures.utilization(), Some(0.3), "{answer}");
    }
}

#[test]
fn node_postgres_tells_all_and_idle() {
    let answer = json!({"totalCount": 8, "idleCount": 3, "waitingCount": 2, "max": 10});
    let figures = figures(Preset::NodePostgres, &answer);
    assert_eq!((figures.checked_out, figures.pending), (Some(5), Some(2)));
    assert_eq!(figures.utilization(), Some(0.5));
}

#[test]
fn pointers_read_any_shape_and_every_worker() {
    let pointers =
        json!({"workers": "/all", "checked_out": "/db/0", "size": "/db/1", "pid": "/id"});
    let answer = json!({"all": [{"id": 1, "db": [2, 5]}, {"id": 2, "db": [3, 5]}]});
    let pool = pointed(&pointers, &answer).unwrap().pools.remove(0);
    assert_eq!(pool.worker_count, Some(2));
    assert_eq!(Figures::sum(pool.workers.iter().map(|w| &w.figures)).checked_out, Some(5));
}

#[test]
fn what_cannot_be_true_is_refused_and_named() {
    for (answer, expected) in [
        (json!({"checked_out": "5"}), "checked_out at \"/checked_out\" is text, not a number"),
        (json!({"checked_out": -2}), "checked_out at \"/checked_out\" is -2, which cannot be"),
        (json!({"checked_out": 2.5}), "is 2.5, which"),
        (json!({"checked_out": 1e300}), "which cannot be"),
        (json!({"checked_out": true}), "is true or false, not a number"),
        (json!({"checked_out": 1, "oldest_checkout_seconds": 1e300}), "which cannot be"),
        (json!({"checked_out": 1, "pool_size": {}}), "size at \"/pool_size\" is an object"),
        (json!({"checked_out": 1, "max_overflow": -2}), "max_overflow"),
        (json!({"checked_out": null, "b": 1}), "(has b, checked_out): set `preset`"),
        (json!([1]), "(a list)"),
        (json!({}), "(an empty object)"),
    ] {
        let error = parse(Preset::Sqlalchemy, &answer).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_null_is_left_out() {
    let answer = json!({"checked_out": 1, "pool_size": null, "pending": null});
    let figures = figures(Preset::Sqlalchemy, &answer);
    assert_eq!((figures.size, figures.pending), (None, None));
}

/// JSON that often has the names the presets look for.
fn any_json() -> impl Strategy<Value = Value> {
    let names: Vec<&'static str> = Preset::ALL
        .iter()
        .flat_map(|preset| preset.places())
        .map(|(_, key, _)| key[1..].split('/').next().unwrap_or_default())
        .chain(BASES.iter().filter_map(|base| base.get(1..)))
        .collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2_i64..30).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 12, move |inner| {
        let name = prop_oneof![
            4 => proptest::sample::select(names.clone()).prop_map(str::to_owned),
            1 => ".{0,6}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..12)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic_and_no_figure_is_absurd(answer in any_json()) {
        for preset in Preset::ALL {
            if let Ok(reading) = parse(preset, &answer) {
                let figures = reading.pools[0].workers[0].figures;
                prop_assert!(figures.checked_out.is_some_and(|out| out <= MOST_CONNECTIONS));
                let sum = Figures::sum([&figures, &figures]);
                prop_assert!(sum.utilization().is_none_or(f64::is_finite));
            }
        }
        let pointers = json!({"workers": "", "checked_out": "/checked_out"});
        _ = pointed(&pointers, &answer);
    }
}
