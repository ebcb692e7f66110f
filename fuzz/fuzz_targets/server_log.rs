//! Whatever a server's log holds is counted or rejected, and harms nothing: by the same bytes,
//! wherever they were cut when they came, and no figure ever falls.
#![no_main]

mod shown;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use poolwatch::sources::server_log::{MemoryLog, RecordFormat};

const PREFIXES: [&str; 4] = ["%m [%p] %q%u@%d ", "%t|%-8u|%d|%a|%5p|%e|%i|%%", "%u%d%a%p%x%v ", ""];

fuzz_target!(|input: &[u8]| {
    let [format, prefix, cuts @ .., a, b] = &input[..input.len().min(5)] else { return };
    let [cut] = cuts else { return };
    let log = &input[5..];
    let format = [RecordFormat::Stderr, RecordFormat::Csvlog, RecordFormat::Jsonlog][usize::from(*format) % 3];
    let log_of = || {
        let mut memory = MemoryLog::new(format);
        match PREFIXES.get(usize::from(*prefix) % 8) {
            Some(prefix) => memory.expect(prefix),
            // The log begins with its own.
            None if prefix % 8 == 4 => {
                let line = log.split(|byte| *byte == b'\n').next().unwrap_or_default();
                memory.expect(&String::from_utf8_lossy(line));
            }
            None => {}
        }
        memory
    };
    let (mut whole, mut pieces) = (log_of(), log_of());
    whole.feed(log);
    let mut cuts = [cut, a, b].map(|at| usize::from(*at) * log.len() / 255);
    cuts.sort_unstable();
    let (mut begun, mut before) = (0, BTreeMap::new());
    for (number, end) in cuts.into_iter().chain([log.len()]).enumerate() {
        pieces.feed(&log[begun..end]);
        begun = end;
        if number == 1 {
            before = shown::counted(&pieces.tally().families());
        }
    }
    let (read, rejected) = whole.end().messages();
    assert!(rejected <= read);
    assert_eq!((read, rejected), pieces.end().messages());
    assert_eq!(whole.end().families(), pieces.end().families());
    shown::only_grew(&before, &shown::counted(&pieces.tally().families()));
});
