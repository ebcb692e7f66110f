//! The progress of the building: a bar that is drawn over on a terminal, else a line for each change.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use crate::commands::rating::{OutputFormat, Rating};
use crate::indexes::{BuildPhase, ExpectedIndex};

/// Cells of the bar.
const WIDTH: usize = 24;

/// Tells how far the building is.
pub(super) struct Progress {
    all: usize,
    at: usize,
    name: String,
    began: Instant,
    last: String,
    terminal: bool,
    out: Box<dyn Write>,
}

impl Progress {
    /// For so many indexes. Where the answer is for a program, progress goes to the error stream.
    pub(super) fn new(all: usize, format: OutputFormat) -> Self {
        let (out, terminal): (Box<dyn Write>, bool) = match format {
            OutputFormat::Text => (Box::new(std::io::stdout()), std::io::stdout().is_terminal()),
            OutputFormat::Json => (Box::new(std::io::stderr()), std::io::stderr().is_terminal()),
        };
        let (name, last) = (String::new(), String::new());
        Self { all, at: 0, name, began: Instant::now(), last, terminal, out }
    }

    pub(super) fn begin(&mut self, expected: &ExpectedIndex) {
        self.at += 1;
        self.began = Instant::now();
        self.name.clone_from(&expected.name);
        self.show(&BuildPhase { doing: "starting".to_owned(), ..BuildPhase::default() });
    }

    pub(super) fn show(&mut self, phase: &BuildPhase) {
        let place = format!("[{}/{}] {}", self.at, self.all, self.name);
        if self.terminal {
            let line = format!("{place}  {}{}", bar(phase.share), described(phase));
            self.draw(&format!("\r\x1b[K{line}"));
        } else {
            let line = format!("{place}: {}\n", described(phase));
            if line != self.last {
                self.draw(&line);
                self.last = line;
            }
        }
    }

    pub(super) fn end(&mut self, expected: &ExpectedIndex, how: &str) {
        let elapsed = self.began.elapsed().as_secs_f64();
        self.finish(Rating::Good, &format!("{} {how} in {elapsed:.1} s", expected.name));
    }

    pub(super) fn fail(&mut self, expected: &ExpectedIndex, why: &str) {
        self.finish(Rating::Bad, &format!("{}: {why}", expected.name));
    }

    fn finish(&mut self, rating: Rating, line: &str) {
        let over = if self.terminal { "\r\x1b[K" } else { "" };
        let sign = rating.shown(self.terminal);
        self.draw(&format!("{over}{sign} {line}\n"));
    }

    /// Whoever read along may have gone; the building goes on.
    fn draw(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

fn described(phase: &BuildPhase) -> String {
    match phase.waits_for {
        Some(process) => format!("{} (waits for the session {process})", phase.doing),
        None => phase.doing.clone(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of WIDTH")]
fn bar(share: Option<f64>) -> String {
    let Some(share) = share.map(|share| share.clamp(0.0, 1.0)) else { return String::new() };
    let filled = (share * WIDTH as f64) as usize;
    format!("{}{} {:3.0} % ", "█".repeat(filled), "░".repeat(WIDTH - filled), 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work() {
        assert_eq!(bar(None), "");
        assert!(bar(Some(0.5)).starts_with(&format!("{}{}", "█".repeat(12), "░".repeat(12))));
        assert!(bar(Some(7.0)).contains("100 %"));
    }
}
