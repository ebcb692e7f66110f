//! Writing figures, words and bars for people. Whatever comes from outside is escaped here.

use std::fmt::{self, Display, Formatter};

/// Text that cannot become markup, nor turn the direction of what follows it.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| match c {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&#39;"),
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

impl Display for Name<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "<bdi>{}</bdi>", Text(self.0))
    }
}

/// A value, or a dash where there is none.
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: Display> Display for Maybe<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("–"),
        }
    }
}

/// Seconds in the unit that reads best.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) f64);

impl Display for Seconds {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self(seconds) = *self;
        let (value, unit) = match seconds {
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

impl Display for Word<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let colour = colour(self.0);
        write!(out, r#"<span class="word {colour}">{} {}</span>"#, sign(self.0), Text(self.0))
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

impl Display for Bar {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { percent, colour, .. } = self;
        let width = percent.clamp(0.0, 100.0);
        write!(out, r#"<svg class="bar {colour}" role="img" aria-label="{}">"#, Percent(*percent))?;
        write!(out, r#"<rect class="track" width="100%" height="100%"/>"#)?;
        write!(out, r#"<rect class="fill" width="{width}%" height="100%"/>"#)?;
        for threshold in self.thresholds {
            line(out, "mark", threshold)?;
        }
        if let Some(peak) = self.peak.filter(|peak| *peak > *percent) {
            line(out, "peak", peak.clamp(0.0, 99.5))?;
        }
        out.write_str("</svg>")
    }
}

fn line(out: &mut Formatter<'_>, class: &str, percent: f64) -> fmt::Result {
    write!(out, r#"<line class="{class}" x1="{percent}%" x2="{percent}%" y1="0" y2="100%"/>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let shown = Text("<b a='x'>&\"").to_string();
        assert_eq!(shown, "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn a_name_is_set_by_itself() {
        assert_eq!(Name("<a>\u{202e}").to_string(), "<bdi>&lt;a&gt;\u{fffd}</bdi>");
    }

    #[test]
    fn a_duration_is_in_the_unit_that_reads_best() {
        let shown = [0.00012, 0.0042, 0.85, 1.0, 90.0, 5400.0, 90_000.0, 200_000.0];
        let shown = shown.map(|seconds| Seconds(seconds).to_string());
        assert_eq!(shown, ["120 µs", "4.2 ms", "850 ms", "1 s", "90 s", "90 min", "25 h", "2.3 d"]);
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
        let bar = bar.to_string();
        assert!(bar.contains(r#"class="fill" width="100%""#) && bar.contains("130 %"), "{bar}");
        assert!(bar.contains(r#"class="peak" x1="99.5%""#), "{bar}");
    }
}
