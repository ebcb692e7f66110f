//! Whatever a server's log holds is counted or rejected, and harms nothing:
//! `cargo +nightly fuzz run server_log`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poolwatch::sources::server_log::{Fed, Format};

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (format, at, bytes) = input;
    let format = [Format::Stderr, Format::Csvlog, Format::Jsonlog][usize::from(format) % 3];
    let (mut whole, mut pieces) = (Fed::new(format), Fed::new(format));
    whole.feed(bytes);
    let (begun, rest) = bytes.split_at(usize::from(at).min(bytes.len()));
    pieces.feed(begun);
    pieces.feed(rest);
    let (read, rejected) = whole.end().messages();
    assert!(rejected <= read);
    // By the same bytes, wherever they were cut when they came.
    assert_eq!((read, rejected), pieces.end().messages());
    assert_eq!(whole.end().families(), pieces.end().families());
});
