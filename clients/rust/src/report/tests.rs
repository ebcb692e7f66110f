//! Reports as they are read and written.

use super::*;
use crate::histogram::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram};
use crate::pool_figures::MaxOverflow;
use proptest::prelude::*;
use serde_json::{Value, json};

fn whole() -> Value {
    let counts = |number: usize| vec![1; number];
    let mut whole = json!({
        "v": 1, "inst": "9f2c", "pid": 812, "seq": 41, "period": 1.0, "app": "reddit-bot",
        "bye": false, "bounds": BOUNDS, "hold_bounds": HOLD_BOUNDS,
        "acquire_bounds": ACQUIRE_BOUNDS,
        "pools": [{
            "name": "web", "size": 5, "max_overflow": 15, "checked_in": 3, "checked_out": 2,
            "pending": 0, "pending_peak": 3, "connecting": 1, "peak": 4, "oldest": 0.8, "pre_ping": 1, "timeouts": 0, "acquire_errors": 0,
            "opened": 7, "invalidated": 0, "inherited": 0, "query_errors": 0, "n_plus_one": 0,
            "unpaginated": 0, "query": {"sum": 1.7, "counts": counts(18)},
            "commit": {"sum": 1.0, "counts": counts(18)},
            "acquire": {"sum": 0.1, "counts": counts(24)},
            "hold": {"sum": 9.5, "counts": counts(23)},
            "endpoints": endpoints(), "holds": holds(),
            "targets": targets(), "pids": [4711, 4712]
        }],
        "findings": [{"kind": "n_plus_one", "sql": "SELECT 1", "count": 101, "rows": 101,
                      "where": "app/posts.py:41"}]
    });
    for (setting, seconds) in [("timeout", 30.0), ("recycle", 3600.0)] {
        whole["pools"][0][setting] = seconds.into();
    }
    whole
}

fn endpoints() -> Value {
    json!([
        {"name": "GET /api/export", "out": 1, "checkouts": 24, "held": 9.25,
         "hold": {"sum": 8.5, "counts": vec![1; 23]}},
        {"name": "other", "out": 1, "checkouts": 1, "held": 0.5}
    ])
}

fn targets() -> Value {
    json!([{"host": "db.internal", "port": 5433, "database": "app", "role": "web"}, {"host": "/run/pg", "port": 5432}])
}

fn holds() -> Value {
    json!([{"endpoint": "GET /api/export", "where": "app/export.py:88", "age": 12.5,
                       "sql": "SELECT … FROM posts", "active": false}])
}

fn parse(value: &Value) -> Result<Report, Reason> {
    Report::parse(&serde_json::to_vec(value).unwrap())
}

fn changed(pointer: &str, value: Value) -> Result<Report, Reason> {
    let mut report = whole();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    report.pointer_mut(parent).unwrap()[key] = value;
    parse(&report)
}

#[test]
fn a_whole_report_is_read() {
    let report = parse(&whole()).unwrap();
    assert_eq!((report.instance.as_str(), report.pid, report.seq), ("9f2c", Some(812), 41));
    let pool = &report.pools[0];
    assert_eq!(pool.figures.capacity(), Some(20));
    assert_eq!((pool.figures.overflow, pool.figures.oldest_checkout), (Some(0), Some(0.8)));
    assert_eq!(pool.totals.opened, Some(7));
    assert_eq!((pool.figures.pending_peak, pool.figures.connecting), (Some(3), Some(1)));
    assert_eq!((pool.figures.timeout, pool.figures.recycle), (Some(30.0), Some(3600.0)));
    assert_eq!(pool.figures.pre_ping, Some(1));
    assert_eq!(pool.timings.acquire.as_ref().unwrap().count(), 24);
    assert_eq!(report.findings[0].pool, "web");
    assert_eq!(report.findings[0].location.as_deref(), Some("app/posts.py:41"));
}

#[test]
fn what_is_missing_is_unknown_and_what_is_unknown_is_ignored() {
    let least = json!({"v": 1, "inst": "a", "seq": 0, "pools": [{"name": "web", "new": [{}]}],
                       "later": {"x": 1}});
    let report = parse(&least).unwrap();
    assert_eq!(report.pools[0], PoolReport { name: "web".into(), ..PoolReport::default() });
    assert_eq!((report.pid, report.app, report.period), (None, None, Duration::from_secs(1)));
}

#[test]
fn a_report_is_written_with_the_keys_that_it_is_read_by() {
    let written = parse(&whole()).unwrap().serialize();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&written["pools"][0]), keys(&whole()["pools"][0]));
    assert_eq!(written["pools"][0], whole()["pools"][0]);
}

#[test]
fn processes_of_the_server_are_all_or_none() {
    let pids =
        |value: Value| changed("/pools/0/pids", value).unwrap().pools[0].backend_pids.clone();
    assert_eq!(parse(&whole()).unwrap().pools[0].backend_pids, Some(vec![4711, 4712]));
    assert_eq!(pids(json!([])), Some(Vec::new()));
    assert_eq!(pids(json!([1, -7, 0, 5_000_000_000_u64])), Some(vec![1]), "of a pooler");
    assert_eq!(pids(json!(vec![1; PIDS + 1])), None);
    assert_eq!(pids(Value::Null), None);
    assert_eq!(changed("/pools/0/pids", json!("x")), Err(Reason::Malformed));
    let mut twice = whole();
    let mut other = twice["pools"][0].clone();
    other["pids"] = json!([9]);
    twice["pools"].as_array_mut().unwrap().push(other);
    assert_eq!(parse(&twice).unwrap().pools[0].backend_pids, Some(vec![4711, 4712, 9]));
}

#[test]
fn a_null_overflow_is_unlimited() {
    let report = changed("/pools/0/max_overflow", Value::Null).unwrap();
    assert_eq!(report.pools[0].figures.max_overflow, Some(MaxOverflow::Unlimited));
    assert_eq!(changed("/pools/0/size", Value::Null).unwrap().pools[0].figures.size, None);
}

#[test]
fn what_is_wrong_is_refused_with_its_reason() {
    use Reason::{Bounds, Malformed, TooManyPools, Version};
    let mut other = BOUNDS.to_vec();
    other[3] = 0.006;
    let pools: Vec<_> = (0..=POOLS).map(|n| json!({"name": n.to_string()})).collect();
    let cases = [
        ("/v", json!(2), Version),
        ("/v", json!("1"), Malformed),
        ("/inst", json!(""), Malformed),
        ("/inst", json!("a".repeat(NAME + 1)), Malformed),
        ("/seq", json!(-1), Malformed),
        ("/seq", Value::Null, Malformed),
        ("/period", json!(-1), Malformed),
        ("/period", json!(0), Malformed),
        ("/pools", Value::Null, Malformed),
        ("/pools", json!(pools), TooManyPools),
        ("/pools/0/name", json!(""), Malformed),
        ("/pools/0/name", json!("é".repeat(NAME + 1)), Malformed),
        ("/pools/0/checked_out", json!(-1), Malformed),
        ("/pools/0/size", json!(u64::MAX), Malformed),
        ("/pools/0/max_overflow", json!(u64::MAX), Malformed),
        ("/pools/0/query/sum", json!(1e300), Malformed),
        ("/pools/0/timeouts", json!(u64::MAX), Malformed),
        ("/pools/0/opened", json!(1_u64 << 53), Malformed),
        ("/pools/0/query/counts", json!(vec![u64::MAX; 18]), Malformed),
        ("/pools/0/oldest", json!(-0.1), Malformed),
        ("/pools/0/query/sum", json!(-0.1), Malformed),
        ("/pools/0/query/counts", json!([1, 2]), Bounds),
        ("/pools/0/endpoints/0/out", json!(-1), Malformed),
        ("/pools/0/endpoints/0/checkouts", json!(u64::MAX), Malformed),
        ("/pools/0/endpoints/0/held", json!(-0.5), Malformed),
        ("/pools/0/endpoints/0/name", json!(""), Malformed),
        ("/pools/0/endpoints/0/hold", json!({"sum": 1.0, "counts": [1]}), Bounds),
        ("/pools/0/holds/0/age", json!(-1), Malformed),
        ("/bounds", json!(other), Bounds),
        ("/bounds", json!(ACQUIRE_BOUNDS), Bounds),
        ("/bounds", json!(&BOUNDS[1..]), Bounds),
        ("/bounds", json!(HOLD_BOUNDS), Bounds),
        ("/bounds", json!([]), Bounds),
        ("/hold_bounds", json!(&HOLD_BOUNDS[..20]), Bounds),
        ("/acquire_bounds", json!(&ACQUIRE_BOUNDS[..18]), Bounds),
        ("/acquire_bounds", Value::Null, Bounds),
    ];
    for (pointer, value, reason) in cases {
        assert_eq!(changed(pointer, value.clone()), Err(reason), "{pointer} {value}");
    }
}

#[test]
fn an_odd_time_limit_is_left_out_of_a_report() {
    for seconds in [-1.0, 1e9, 1.8e19] {
        for setting in ["timeout", "recycle"] {
            let report = changed(&format!("/pools/0/{setting}"), json!(seconds)).unwrap();
            let figures = report.pools[0].figures;
            let limits = [figures.timeout, figures.recycle];
            assert_eq!(limits.iter().flatten().count(), 1, "{setting} {seconds}: {limits:?}");
        }
    }
}

#[test]
fn a_client_that_knows_no_long_bounds_is_read_too() {
    let mut report = whole();
    let fields = report.as_object_mut().unwrap();
    fields.remove("hold_bounds");
    fields["acquire_bounds"] = json!(&ACQUIRE_BOUNDS[..19]);
    report["pools"][0]["hold"] = json!({"sum": 20.0, "counts": vec![1; 18]});
    report["pools"][0]["endpoints"][0]["hold"] = report["pools"][0]["hold"].clone();
    report["pools"][0]["acquire"] = json!({"sum": 50.0, "counts": vec![1; 20]});
    let timings = parse(&report).unwrap().pools.remove(0).timings;
    let (hold, acquire) = (timings.hold.unwrap(), timings.acquire.unwrap());
    assert_eq!((hold.bounds(), acquire.bounds()), (HOLD_BOUNDS, ACQUIRE_BOUNDS));
    assert_eq!(hold.counts()[16..], [1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(acquire.counts()[18..], [1, 0, 0, 0, 0, 1]);
}

#[test]
fn a_later_version_is_named_so_whatever_else_it_changed() {
    assert_eq!(parse(&json!({"v": 2, "instance": 7, "pools": {}})), Err(Reason::Version));
    assert_eq!(Report::parse(b"{\"v\":1"), Err(Reason::Malformed));
    assert_eq!(Report::parse(&vec![b' '; LIMIT + 1]), Err(Reason::TooLarge));
}

#[test]
fn two_pools_of_one_name_are_one() {
    let mut report = whole();
    let twin = report["pools"][0].clone();
    report["pools"].as_array_mut().unwrap().push(twin);
    let report = parse(&report).unwrap();
    assert_eq!(report.pools.len(), 1);
    assert_eq!(report.pools[0].figures.capacity(), Some(40));
    assert_eq!(report.pools[0].figures.peak, Some(8));
    assert_eq!(report.pools[0].timings.query.as_ref().unwrap().count(), 36);
}

#[test]
fn the_holders_of_a_pool_are_read() {
    let pool = parse(&whole()).unwrap().pools.remove(0);
    let export = &pool.endpoints[0];
    assert_eq!((export.name.as_str(), export.checked_out), ("GET /api/export", 1));
    assert_eq!((export.totals.checkouts, export.totals.held), (24, 9.25));
    assert_eq!(export.totals.hold.as_ref().unwrap().count(), 23);
    assert_eq!(pool.endpoints[1].totals.hold, None);
    assert_eq!(pool.holds[0].location.as_deref(), Some("app/export.py:88"));
    assert_eq!((pool.holds[0].age, pool.holds[0].active), (12.5, Some(false)));
}

#[test]
fn targets_are_compared_bounded_and_no_reason_to_refuse_a_report() {
    let targets =
        |value: Value| changed("/pools/0/targets", value).unwrap().pools[0].targets.clone();
    let report = parse(&whole()).unwrap();
    let shown: Vec<_> = report.pools[0].targets.iter().map(|t| (t.host.as_str(), t.port)).collect();
    assert_eq!(shown, [("db.internal", 5433), ("/run/pg", 5432)]);
    let many: Vec<_> = (1..100).map(|port| json!({"host": "db", "port": port})).collect();
    assert_eq!(targets(json!(many)).len(), TARGETS);
    assert_eq!(targets(json!([{"host": "db"}, {"host": "DB."}])).len(), 1, "they are one");
    for none in [
        json!(null),
        json!([]),
        json!([{}]),
        json!([{"host": "u:s3cret@db"}]),
        json!([{"host": "db", "port": 70000}]),
    ] {
        assert_eq!(targets(none.clone()), [], "{none}");
    }
}

#[test]
fn endpoints_beyond_the_limit_are_added_up_and_holds_are_cut() {
    let endpoint =
        |number| json!({"name": format!("GET /{number}"), "out": 1, "checkouts": 2, "held": 0.5});
    let endpoints: Vec<_> = (0..ENDPOINTS + 5).map(endpoint).collect();
    let pool = changed("/pools/0/endpoints", json!(endpoints)).unwrap().pools.remove(0);
    assert_eq!(pool.endpoints.len(), ENDPOINTS + 1);
    let other = pool.endpoints.last().unwrap();
    assert_eq!((other.name.as_str(), other.checked_out, other.totals.checkouts), (OTHER, 5, 10));
    let hold = |age| json!({"age": age, "endpoint": "x".repeat(500), "where": "y".repeat(500), "sql": "z".repeat(900)});
    let pool = changed("/pools/0/holds", json!((0..30).map(hold).collect::<Vec<_>>()))
        .unwrap()
        .pools
        .remove(0);
    assert_eq!((pool.holds.len(), pool.holds[0].age), (HOLDS, 29.0));
    let lengths = [&pool.holds[0].endpoint, &pool.holds[0].location, &pool.holds[0].sql]
        .map(|text| text.as_ref().unwrap().len());
    assert_eq!(lengths, [NAME, 2 * NAME, 300]);
}

#[test]
fn findings_are_cut_to_their_limits() {
    let finding = json!({"kind": "n_plus_one", "sql": "x".repeat(2000), "count": 3});
    let strange = json!({"kind": "<b>", "sql": "x"});
    let report = changed("/findings", json!(vec![finding; 30])).unwrap();
    assert_eq!(report.findings.len(), FINDINGS);
    assert_eq!(report.findings[0].sql.len(), STATEMENT);
    assert_eq!(changed("/findings", json!([strange])).unwrap().findings, []);
    let huge = json!({"kind": "n_plus_one", "sql": "x", "count": u64::MAX});
    assert_eq!(changed("/findings", json!([huge])).unwrap().findings, []);
}

/// Seconds that are the same number after a journey through JSON.
fn quarters() -> impl Strategy<Value = f64> {
    any::<u32>().prop_map(|quarters| f64::from(quarters) / 4.0)
}

fn histogram(bounds: &'static [f64]) -> impl Strategy<Value = Option<Histogram>> {
    let counts = prop::collection::vec(0..1_000_000_u64, bounds.len() + 1);
    prop::option::of((counts, quarters())).prop_map(move |some| {
        some.and_then(|(counts, sum)| Histogram::from_counts(bounds, counts, sum))
    })
}

prop_compose! {
    fn pools()(
        name in "[a-z\"\\\\é]{1,20}", size in 0..9_u64, more in prop::option::of(0..9_u64),
        figures in prop::array::uniform4(0..99_u64), oldest in prop::option::of(quarters()),
        counted in prop::option::of(0..=10_000_000_000_000_u64), acquire in histogram(ACQUIRE_BOUNDS),
        query in histogram(BOUNDS), hold in histogram(HOLD_BOUNDS),
        endpoint_names in prop::collection::hash_set("GET /[a-z{}é]{1,9}", 0..=ENDPOINTS),
    ) -> PoolReport {
        let [checked_in, checked_out, pending, peak] = figures;
        let (pending_peak, connecting) = (oldest.map(|_| peak), counted.map(|_| pending));
        PoolReport {
            name,
            figures: Figures {
                size: Some(size),
                max_overflow: Some(more.map_or(MaxOverflow::Unlimited, MaxOverflow::Limited)),
                checked_in: Some(checked_in),
                checked_out: Some(checked_out),
                overflow: Some(if size == 0 && more.is_none() { 0 } else { (checked_in + checked_out).saturating_sub(size) }),
                pending: Some(pending),
                pending_peak,
                connecting,
                peak: Some(peak),
                oldest_checkout: oldest,
                pre_ping: more.map(|more| more % 2),
                timeout: oldest.filter(|seconds| *seconds < 1e9),
                recycle: more.map(|more| 0.25 + more as f64),
            },
            backend_pids: more.map(|more| (1..=i32::try_from(more).unwrap()).collect()),
            totals: Totals { opened: counted, n_plus_one: Some(3), ..Totals::default() },
            endpoints: endpoint_names.into_iter().enumerate().map(|(at, name)| Endpoint {
                name,
                checked_out: at as u64,
                totals: EndpointTotals { checkouts: pending, held: oldest.unwrap_or(0.5), hold: hold.clone() },
            }).collect(),
            holds: vec![Hold { age: oldest.unwrap_or(2.5), active: more.map(|more| more > 3), ..Hold::default() }],
            timings: Timings { acquire, hold, query, ..Timings::default() },
            targets: ConnectionTarget::new("db", 5432, more.map(|_| "app"), None).into_iter().collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        pool in pools(), seq: u64, pid: Option<u32>, is_final: bool, app in prop::option::of("\\PC{1,30}"),
    ) {
        let report = Report {
            instance: "0f".into(), pid, seq, period: Duration::from_secs(1), app, is_final,
            pools: vec![pool], findings: Vec::new(),
        };
        prop_assert_eq!(Report::parse(&report.serialize()), Ok(report));
    }

    #[test]
    fn no_bytes_do_harm(bytes: Vec<u8>) {
        let _ = Report::parse(&bytes);
    }

    #[test]
    fn no_damage_does_harm(place in 0..900_usize, byte: u8, cut in 0..900_usize) {
        let mut datagram = serde_json::to_vec(&whole()).unwrap();
        let length = datagram.len();
        datagram[place % length] = byte;
        let _ = Report::parse(&datagram);
        datagram.truncate(cut);
        prop_assert!(Report::parse(&datagram).is_err());
    }

    #[test]
    fn no_json_does_harm(key in "[a-z_]{1,12}", number: f64, text: String) {
        for value in [json!(number), json!(text), json!([number]), json!({&text: number})] {
            for place in ["", "/pools/0", "/pools/0/query", "/findings/0"] {
                let _ = changed(&format!("{place}/{key}"), value.clone());
            }
        }
    }
}
