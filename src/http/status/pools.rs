//! Pools and their workers on the status page.

use std::fmt::{self, Display, Formatter};

use super::figures::{Bar, Maybe, Name, Percent, Seconds, Word, colour};
use super::holders;
use super::table::{self, Column};
use crate::http::health::{Latency, PoolBody, ThresholdsBody, WorkerBody, percent};
use poolwatch_client::pool_figures::MaxOverflow;

/// One pool as a card.
pub(super) struct Card<'a> {
    pub(super) pool: &'a PoolBody<'a>,
    /// Its place on the page, for what must be told apart.
    pub(super) place: usize,
    pub(super) thresholds: &'a ThresholdsBody,
}

impl Display for Card<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let pool = self.pool;
        writeln!(out, r#"<section class="card"><div class="name"><h3>{}</h3>"#, Name(pool.pool))?;
        writeln!(
            out,
            r#"<span><span class="note">{}</span> {}</span></div>"#,
            pool.source,
            Word(pool.status)
        )?;
        self.usage(out)?;
        self.facts(out)?;
        latency(out, &pool.latency)?;
        holders::endpoints(out, &pool.endpoints)?;
        holders::holds(out, &pool.holds)?;
        self.workers(out)?;
        for note in &pool.notes {
            writeln!(out, r#"<p class="note">{}</p>"#, Name(note))?;
        }
        out.write_str("</section>\n")
    }
}

impl Card<'_> {
    fn bar(&self, percent: f64, peak: Option<f64>, status: &str) -> Bar {
        Bar { percent, peak, thresholds: self.thresholds.percents(), colour: colour(status) }
    }

    /// The bar of the busiest worker, by which the pool is judged, and what it means.
    fn usage(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let pool = self.pool;
        let Some(busiest) = pool.busiest_worker_utilization_percent else {
            return writeln!(out, "<p>{} checked out</p>", Maybe(pool.figures.0.checked_out));
        };
        let peak = pool.peak_utilization_percent;
        writeln!(out, "{}<p>", self.bar(busiest, peak, pool.status))?;
        let figures = &pool.figures.0;
        let (taken, capacity) = (Maybe(figures.checked_out), Maybe(figures.capacity()));
        if pool.workers.len() > 1 {
            let all = Maybe(percent(figures.utilization()).map(Percent));
            write!(out, "<strong>{}</strong> in the busiest worker · ", Percent(busiest))?;
            write!(out, "{all} over all, {taken} of {capacity} checked out")?;
        } else {
            write!(out, "<strong>{}</strong> · {taken} of {capacity}", Percent(busiest))?;
            write!(out, " checked out")?;
        }
        if let Some(peak) = peak {
            write!(out, r#" <span class="quiet">· peak {}</span>"#, Percent(peak))?;
        }
        writeln!(out, "</p>")
    }

    fn facts(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let figures = &self.pool.figures.0;
        let counts = [
            ("size", figures.size),
            ("max overflow", figures.max_overflow.and_then(MaxOverflow::limit)),
            ("checked in", figures.checked_in),
            ("overflow", figures.overflow),
            ("waiting", figures.pending),
            ("workers", self.pool.worker_count),
        ];
        out.write_str(r#"<dl class="facts">"#)?;
        for (name, count) in counts.into_iter().filter_map(|(name, count)| Some((name, count?))) {
            write!(out, "<div><dt>{name}</dt><dd>{count}</dd></div>")?;
        }
        if let Some(oldest) = figures.oldest_checkout.map(Seconds) {
            write!(out, "<div><dt>longest hold</dt><dd>{oldest}</dd></div>")?;
        }
        if figures.max_overflow == Some(MaxOverflow::Unlimited) {
            write!(out, "<div><dt>capacity</dt><dd>unlimited</dd></div>")?;
        }
        out.write_str("</dl>\n")
    }

    fn workers(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (workers, place) = (&self.pool.workers, self.place);
        if workers.len() < 2 {
            return Ok(());
        }
        let open = if workers.len() <= 8 { " open" } else { "" };
        write!(out, r#"<details id="workers-{place}"{open}><summary id="of-{place}">"#)?;
        writeln!(out, "{} workers</summary>", workers.len())?;
        let columns = [
            Column::Numbers("pid"),
            Column::Words("utilization"),
            Column::Numbers("checked out"),
            Column::Numbers("waiting"),
            Column::Numbers("longest hold"),
        ];
        table::begin(out, &columns)?;
        workers.iter().try_for_each(|worker| self.worker(out, worker))?;
        table::end(out)?;
        out.write_str("</details>\n")
    }

    fn worker(&self, out: &mut Formatter<'_>, worker: &WorkerBody<'_>) -> fmt::Result {
        let figures = &worker.figures.0;
        let bar =
            percent(figures.utilization()).map(|percent| self.bar(percent, None, worker.status));
        out.write_str("<tr>")?;
        table::number(out, Maybe(worker.pid))?;
        table::words(out, Maybe(bar))?;
        let (taken, capacity) = (Maybe(figures.checked_out), Maybe(figures.capacity()));
        table::number(out, format_args!("{taken} of {capacity}"))?;
        table::number(out, Maybe(figures.pending))?;
        table::number(out, Maybe(figures.oldest_checkout.map(Seconds)))?;
        out.write_str("</tr>\n")
    }
}

fn latency(out: &mut Formatter<'_>, latency: &Latency) -> fmt::Result {
    if latency.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Words("time to"),
        Column::Numbers("p50"),
        Column::Numbers("p95"),
        Column::Numbers("p99"),
        Column::Numbers("lately"),
    ];
    table::begin(out, &columns)?;
    for (name, timed) in latency.named() {
        out.write_str("<tr>")?;
        table::words(out, name)?;
        for quantile in [timed.p50_seconds, timed.p95_seconds, timed.p99_seconds] {
            table::number(out, Seconds(quantile))?;
        }
        table::number(out, format_args!("{} ×", timed.count))?;
        out.write_str("</tr>\n")?;
    }
    table::end(out)
}
