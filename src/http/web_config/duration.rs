//! Durations as Go writes them: `1s`, `1.5h`, `2m30s`; a bare number is nanoseconds.

use std::time::Duration;

/// Reads a Go duration; `None` when it is none or negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, after) = rest.split_at(digits);
        let (unit, length) = unit(after)?;
        seconds += value.parse::<f64>().ok()? * unit;
        rest = &after[length..];
        if rest.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
    }
}

/// The unit a text begins with, in seconds, and its length.
fn unit(text: &str) -> Option<(f64, usize)> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let (name, seconds) = UNITS.into_iter().find(|(name, _)| text.starts_with(name))?;
    Some((seconds, name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("1s", 1000),
            ("1.5h", 5_400_000),
            ("2m30s", 150_000),
            ("100ms", 100),
            ("2000000", 2),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for not in ["", "s", "-1s", "1d", "1s2", "1.2.3s", "one"] {
            assert_eq!(parse(not), None, "{not}");
        }
    }
}
