//! Whatever the text of a statement is, it is read in no time, and what is shown of it is short
//! and, when it can be read again, shows the same: there is no literal left in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poolwatch::statement::{Text, plannable};

const LENGTH: usize = 300;

fuzz_target!(|sql: &str| {
    let text = Text::read(sql, LENGTH);
    assert!(text.shown.chars().count() <= LENGTH && text.brief().chars().count() <= LENGTH);
    let again = Text::read(&text.shown, LENGTH).shown;
    // Without the values that stood between them, operators may become one that is none.
    assert!(again.contains('…') || again == text.shown, "{again} of {sql}");
    for table in &text.tables {
        assert!(table.key().len() <= 4);
    }
    plannable(sql);
});
