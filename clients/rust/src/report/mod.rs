//! The report that a worker sends of its pools once a second: one datagram of JSON, version 1.
//! [`SharedPool`] writes it, `clients/python` does too, and poolwatch's socket for workers reads it.
//!
//! [`SharedPool`]: crate::SharedPool

mod bounds;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::pool_figures::{Cumulative, Figures, Timings, Totals};

/// The socket that workers report to unless told otherwise, if poolwatch may write there.
pub const SOCKET: &str = "/run/poolwatch/poolwatch.sock";

/// The socket of a poolwatch that an ordinary user started, below `XDG_RUNTIME_DIR`.
const USER_SOCKET: &str = "poolwatch/poolwatch.sock";

/// The longest datagram that is read, in bytes.
pub const LIMIT: usize = 64 * 1024;

/// The most pools that one worker may report.
pub const POOLS: usize = 16;

/// The most findings of one report that are kept.
pub const FINDINGS: usize = 20;

/// The longest name of a pool or an instance in characters: a longer one is refused, for two that
/// were cut might become one.
pub const NAME: usize = 100;

/// The longest statement kept, in characters; the rest is cut.
pub const STATEMENT: usize = 1000;

/// The socket named by `POOLWATCH_SOCKET`, else the first of [`usual_sockets`] that is there, else
/// [`SOCKET`].
pub fn socket() -> PathBuf {
    let named = std::env::var_os("POOLWATCH_SOCKET").filter(|path| !path.is_empty());
    let usual = || usual_sockets().into_iter().find(|path| path.exists());
    named.map(PathBuf::from).or_else(usual).unwrap_or_else(|| SOCKET.into())
}

/// The places where poolwatch makes its socket unless told otherwise, the best first: [`SOCKET`], and
/// `poolwatch/poolwatch.sock` below `XDG_RUNTIME_DIR` where that is set.
pub fn usual_sockets() -> Vec<PathBuf> {
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_user = of_user.filter(|folder| folder.is_absolute());
    let of_user = of_user.map(|folder| folder.join(USER_SOCKET));
    [SOCKET.into()].into_iter().chain(of_user).collect()
}

/// The report of one worker at one time. Counters are cumulative since its instance began.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One life of one process, at random: a pid alone comes again.
    pub instance: String,
    /// The process, as it knows itself; another namespace knows it by another number.
    pub pid: Option<u32>,
    /// Rises with each report of the instance.
    pub seq: u64,
    /// The time between reports, from 0.1 s to a minute.
    pub period: Duration,
    /// The application's name for itself.
    pub app: Option<String>,
    /// True in the final report of the instance.
    pub is_final: bool,
    /// Its pools, each name once.
    pub pools: Vec<PoolReport>,
    /// Its findings in its own statements since the last report.
    pub findings: Vec<Finding>,
}

/// One pool of one worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolReport {
    /// The pool's name, shared by all its workers.
    pub name: String,
    /// The pool now.
    pub figures: Figures,
    /// Its counters since the instance began.
    pub totals: Totals,
    /// Its histograms since the instance began.
    pub timings: Timings,
}

/// A pattern that a worker found in the application's statements, literals stripped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The pool it ran on.
    pub pool: String,
    /// `n_plus_one` or `unpaginated`.
    pub kind: String,
    /// The statement, shortened.
    pub sql: String,
    /// The number of times it ran in one checkout.
    pub count: u64,
    /// The number of rows it returned in that checkout.
    pub rows: u64,
    /// The application's own source line.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// The reason why a report was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// It is no JSON, a needed field is missing, or a field is not what it should be.
    #[error("malformed: not the JSON of a report")]
    Malformed,
    /// Its version is not 1: the client is newer than poolwatch.
    #[error("version: bring poolwatch and its client to the same version")]
    Version,
    /// Its histograms have other bounds, and cannot be added.
    #[error("bounds: bring poolwatch and its client to the same version")]
    Bounds,
    /// It is longer than [`LIMIT`].
    #[error("too_large: longer than {LIMIT} bytes")]
    TooLarge,
    /// As many workers as allowed report already.
    #[error("too_many_workers: raise workers.max_workers")]
    TooManyWorkers,
    /// As many pools as allowed have workers already, or the worker reports more than [`POOLS`].
    #[error("too_many_pools: raise workers.max_pools or give pools the same name in all workers")]
    TooManyPools,
    /// A newer report of the same instance was here before it.
    #[error("stale: came after a newer one")]
    Stale,
    /// More reports came than were read.
    #[error("overflow: more reports came than could be read")]
    Overflow,
}

impl Reason {
    /// Every reason, so that each is shown before it first happens.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Version,
        Self::Bounds,
        Self::TooLarge,
        Self::TooManyWorkers,
        Self::TooManyPools,
        Self::Stale,
        Self::Overflow,
    ];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Bounds => "bounds",
            Self::TooLarge => "too_large",
            Self::TooManyWorkers => "too_many_workers",
            Self::TooManyPools => "too_many_pools",
            Self::Stale => "stale",
            Self::Overflow => "overflow",
        }
    }
}

impl Report {
    /// Reads a datagram. Unknown fields are ignored, for the client may be newer; an optional
    /// figure that is missing is unknown.
    pub fn parse(datagram: &[u8]) -> Result<Self, Reason> {
        if datagram.len() > LIMIT {
            return Err(Reason::TooLarge);
        }
        match serde_json::from_slice::<wire::Report>(datagram) {
            Ok(report) => report.checked(),
            Err(_) => Err(wire::reason(datagram)),
        }
    }

    /// Writes a datagram.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn serialize(&self) -> Vec<u8> {
        serde_json::to_vec(&wire::Report::from(self))
            .expect("figures and names have a form in JSON")
    }
}

impl PoolReport {
    /// Adds another pool that the process calls by the same name, as if they were one.
    fn join(&mut self, other: &Self) {
        self.figures = Figures::sum([&self.figures, &other.figures]);
        self.totals.merge(&other.totals);
        self.timings.merge(&other.timings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram};
    use crate::pool_figures::MaxOverflow;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn whole() -> Value {
        let counts = |number: usize| vec![1; number];
        json!({
            "v": 1, "inst": "9f2c", "pid": 812, "seq": 41, "period": 1.0, "app": "reddit-bot",
            "bye": false, "bounds": BOUNDS, "hold_bounds": HOLD_BOUNDS,
            "acquire_bounds": ACQUIRE_BOUNDS,
            "pools": [{
                "name": "web", "size": 5, "max_overflow": 15, "checked_in": 3, "checked_out": 2,
                "pending": 0, "pending_peak": 3, "connecting": 1, "peak": 4, "oldest": 0.8, "timeouts": 0, "acquire_errors": 0,
                "opened": 7, "invalidated": 0, "inherited": 0, "query_errors": 0, "n_plus_one": 0,
                "unpaginated": 0, "query": {"sum": 1.7, "counts": counts(18)},
                "commit": {"sum": 1.0, "counts": counts(18)},
                "acquire": {"sum": 0.1, "counts": counts(24)},
                "hold": {"sum": 9.5, "counts": counts(23)}
            }],
            "findings": [{"kind": "n_plus_one", "sql": "SELECT 1", "count": 101, "rows": 101,
                          "where": "app/posts.py:41"}]
        })
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
    fn a_client_that_knows_no_long_bounds_is_read_too() {
        let mut report = whole();
        let fields = report.as_object_mut().unwrap();
        fields.remove("hold_bounds");
        fields["acquire_bounds"] = json!(&ACQUIRE_BOUNDS[..19]);
        report["pools"][0]["hold"] = json!({"sum": 20.0, "counts": vec![1; 18]});
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
            query in histogram(BOUNDS),
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
                },
                totals: Totals { opened: counted, n_plus_one: Some(3), ..Totals::default() },
                timings: Timings { acquire, query, ..Timings::default() },
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
}
