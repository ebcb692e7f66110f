//! Somebody who looks at every sum all the time, and sees that none ever falls.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::request;

/// Scrapes again and again.
pub(super) struct Witness {
    enough: Arc<AtomicBool>,
    scraping: JoinHandle<Result<usize, String>>,
}

impl Witness {
    pub(super) fn begin(address: SocketAddr) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&enough);
        let scraping = thread::spawn(move || {
            let (mut sums, mut scrapes) = (Sums::default(), 0);
            while !over.load(Ordering::Relaxed) {
                sums.update(&request(address, "GET", "/metrics", &[]).text())?;
                scrapes += 1;
                thread::sleep(Duration::from_millis(50));
            }
            Ok(scrapes)
        });
        Self { enough, scraping }
    }

    /// Fails if any sum fell meanwhile, or any of a pool's went away.
    #[track_caller]
    pub(super) fn conclude(self) {
        self.enough.store(true, Ordering::Relaxed);
        match self.scraping.join().unwrap() {
            Ok(scrapes) => assert!(scrapes > 20, "it looked {scrapes} times"),
            Err(fall) => panic!("{fall}"),
        }
    }
}

/// The last value of every counter and of every part of a histogram.
#[derive(Default)]
struct Sums(BTreeMap<String, f64>);

impl Sums {
    fn update(&mut self, text: &str) -> Result<(), String> {
        let now = sums(text);
        for (series, before) in &self.0 {
            match now.get(series) {
                Some(value) if value < before => {
                    return Err(format!("{series} fell from {before} to {value}"));
                }
                None if series.contains("pool=\"") => return Err(format!("{series} went away")),
                _ => {}
            }
        }
        self.0.extend(now);
        Ok(())
    }
}

fn sums(text: &str) -> BTreeMap<String, f64> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let cumulative: HashSet<&str> = kinds
        .filter(|(_, kind)| matches!(*kind, "counter" | "histogram"))
        .map(|(family, _)| family)
        .collect();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series
        .filter(|line| cumulative.contains(family(line, &cumulative)))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The family of a series; those of a histogram have endings.
fn family<'a>(line: &'a str, families: &HashSet<&str>) -> &'a str {
    let name = line.split(['{', ' ']).next().unwrap_or_default();
    let endings = ["_bucket", "_sum", "_count"].into_iter();
    endings
        .filter_map(|ending| name.strip_suffix(ending))
        .find(|family| families.contains(family))
        .unwrap_or(name)
}

#[test]
fn a_sum_that_falls_or_goes_away_is_noticed() {
    let page = |count: u32, sum: f64| {
        format!(
            "# TYPE a_total counter\na_total {count}\n# TYPE b histogram\n\
             b_sum{{pool=\"x\"}} {sum}\n# TYPE c gauge\nc {}\n",
            100 - count
        )
    };
    let mut sums = Sums::default();
    assert_eq!(sums.update(&page(1, 1.5)), Ok(()));
    assert_eq!(sums.update(&page(2, 1.5)), Ok(()));
    assert!(sums.update(&page(1, 1.5)).unwrap_err().contains("a_total fell from 2 to 1"));
    assert!(sums.update(&page(2, 1.25)).unwrap_err().contains("fell from 1.5"));
    assert!(sums.update("").unwrap_err().contains("went away"));
}
