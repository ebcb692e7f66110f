//! Writing figures, words and bars for people.

use std::fmt::{self, Display, Formatter, Write};

use maud::{Markup, Render, html};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// Whatever can be written as text, escaped.
pub(super) struct Shown<T>(pub(super) T);

impl<T: Display> Render for Shown<T> {
    fn render(&self) -> Markup {
        html! { (self.0) }
    }
}

/// Text that cannot turn the direction of what follows it. Markup is escaped where it is written.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => out.write_char('\u{fffd}'),
            c => out.write_char(c),
        })
    }
}

/// A name from outside, which is set by itself: one in Arabic or Hebrew must not move what stands
/// around it.
pub(super) struct Name<'a>(pub(super) &'a str);

impl Render for Name<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (Text(self.0)) } }
    }
}

/// A sentence of a message or remedy, in which code stands between backticks.
pub(super) struct Sentence<'a>(pub(super) &'a str);

impl Render for Sentence<'_> {
    fn render(&self) -> Markup {
        let parts: Vec<_> = self.0.split('`').collect();
        // A backtick that nothing closes belongs to the text.
        if parts.len() % 2 == 0 {
            return Name(self.0).render();
        }
        html! {
            bdi {
                @for (place, part) in parts.into_iter().enumerate() {
                    @if place % 2 == 0 { (Text(part)) } @else { code { (Text(part)) } }
                }
            }
        }
    }
}

/// A value, or a dash where there is none.
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: Render> Render for Maybe<T> {
    fn render(&self) -> Markup {
        html! { @if let Some(value) = &self.0 { (value) } @else { "–" } }
    }
}

/// Seconds in the unit that reads best.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) f64);

impl Display for Seconds {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self(seconds) = *self;
        let (value, unit) = match seconds {
            _ if seconds <= 0.0 => (0.0, "s"),
            _ if seconds < 0.001 => (seconds * 1e6, "µs"),
            _ if seconds < 1.0 => (seconds * 1e3, "ms"),
            _ if seconds < 120.0 => (seconds, "s"),
            _ if seconds < 7200.0 => (seconds / 60.0, "min"),
            _ if seconds < 172_800.0 => (seconds / 3600.0, "h"),
            _ => (seconds / 86_400.0, "d"),
        };
        let digits = usize::from(value < 10.0 && value.fract() >= 0.05);
        write!(out, "{value:.digits$} {unit}")
    }
}

/// Bytes in mebibytes or gibibytes.
pub(super) struct Bytes(pub(super) u64);

impl Display for Bytes {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 as f64 / 1_048_576.0;
        if mebibytes < 1024.0 {
            write!(out, "{mebibytes:.1} MiB")
        } else {
            write!(out, "{:.1} GiB", mebibytes / 1024.0)
        }
    }
}

/// A name as a part of a place on the page.
pub(super) fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

/// Such as "1 hint" and "2 hints".
pub(super) fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A percentage, with a digit only where there is one to show.
#[derive(Clone, Copy)]
pub(super) struct Percent(pub(super) f64);

impl Display for Percent {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let digits = usize::from((self.0 * 10.0).round() % 10.0 != 0.0);
        write!(out, "{:.digits$} %", self.0)
    }
}

/// The colour of a status; never the only sign of it.
pub(super) fn colour(status: &str) -> &'static str {
    match status {
        "healthy" | "connected" | "up" => "good",
        "warning" | "degraded" => "warn",
        "critical" | "unhealthy" | "disconnected" | "failing" => "bad",
        _ => "none",
    }
}

/// A status as a word with a sign before it.
pub(super) struct Word<'a>(pub(super) &'a str);

impl Render for Word<'_> {
    fn render(&self) -> Markup {
        html! { span class={ "word " (colour(self.0)) } { (sign(self.0)) " " (Text(self.0)) } }
    }
}

/// The sign of a status.
pub(super) fn sign(status: &str) -> &'static str {
    match colour(status) {
        "good" => "✓",
        "warn" => "!",
        "bad" => "✗",
        _ => "·",
    }
}

/// A bar of a utilization in percent, with the thresholds marked and the peak drawn in.
pub(super) struct Bar {
    pub(super) percent: f64,
    pub(super) peak: Option<f64>,
    pub(super) thresholds: [f64; 2],
    pub(super) colour: &'static str,
}

impl Render for Bar {
    fn render(&self) -> Markup {
        let width = format!("{}%", self.percent.clamp(0.0, 100.0));
        let peak = self.peak.filter(|peak| *peak > self.percent);
        html! {
            svg class={ "bar " (self.colour) } role="img" aria-label=(Percent(self.percent)) {
                rect class="track" width="100%" height="100%" {}
                rect class="fill" width=(width) height="100%" {}
                @for threshold in self.thresholds { (line("mark", threshold)) }
                @if let Some(peak) = peak { (line("peak", peak.clamp(0.0, 99.5))) }
            }
        }
    }
}

fn line(class: &str, percent: f64) -> Markup {
    let x = format!("{percent}%");
    html! { line class=(class) x1=(x) x2=(x) y1="0" y2="100%" {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_a_sentence_is_told_from_its_words() {
        let page = |text| Sentence(text).render().into_string();
        assert_eq!(
            page("run `a < b`, `c`"),
            "<bdi>run <code>a &lt; b</code>, <code>c</code></bdi>"
        );
        assert_eq!(page("a name with ` in it"), "<bdi>a name with ` in it</bdi>");
    }

    #[test]
    fn a_name_is_set_by_itself_and_becomes_no_markup() {
        let shown = Name("<a b=\"\">&\u{202e}").render().into_string();
        assert_eq!(shown, "<bdi>&lt;a b=&quot;&quot;&gt;&amp;\u{fffd}</bdi>");
    }

    #[test]
    fn a_duration_is_in_the_unit_that_reads_best() {
        let shown = [0.0, 0.00012, 0.0042, 0.85, 1.0, 90.0, 5400.0, 90_000.0, 200_000.0];
        let shown = shown.map(|seconds| Seconds(seconds).to_string());
        assert_eq!(
            shown,
            ["0 s", "120 µs", "4.2 ms", "850 ms", "1 s", "90 s", "90 min", "25 h", "2.3 d"]
        );
    }

    #[test]
    fn a_percentage_has_no_empty_digit() {
        let shown = [95.0, 52.5, 33.33, 0.0].map(|percent| Percent(percent).to_string());
        assert_eq!(shown, ["95 %", "52.5 %", "33.3 %", "0 %"]);
    }

    #[test]
    fn a_bar_never_leaves_its_place() {
        let bar =
            Bar { percent: 130.0, peak: Some(140.0), thresholds: [75.0, 90.0], colour: "bad" };
        let bar = bar.render().into_string();
        assert!(bar.contains(r#"class="fill" width="100%""#) && bar.contains("130 %"), "{bar}");
        assert!(bar.contains(r#"class="peak" x1="99.5%""#), "{bar}");
    }
}
