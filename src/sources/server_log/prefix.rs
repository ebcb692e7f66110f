//! What stands before each message in the text log: `log_line_prefix`, read backwards.

use super::entry::{Severity, said, state};

/// Prefixes that are tried when the server's own is not known: Debian's, the server's default,
/// those of pgBadger's manual, and that of Amazon's.
const USUAL: [&str; 6] = [
    "%m [%p] %q%u@%d ",
    "%m [%p] ",
    "%t [%p-%l] %q%u@%d ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%t:%r:%u@%d:[%p]:",
];
/// No name is longer: 63 bytes, and a host.
const LONGEST: usize = 256;
/// How often the end of a name is guessed in one prefix, where names may hold what separates them.
const GUESSES: u32 = 1000;
/// As long as `STATEMENT` and its colon, and more.
const LONGEST_SEVERITY: usize = 12;
/// How a time begins.
const TIME: &[u8] = b"0000-00-00 00:00:00";

/// What a prefix says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fields<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) database: Option<&'a str>,
    pub(super) application: Option<&'a str>,
    pub(super) process: Option<u32>,
    pub(super) state: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
}

/// One `log_line_prefix`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prefix {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// One of the escapes that stand for something, by its letter.
    Escape(char),
    /// `%q`: a process that is no session stops here.
    SessionsOnly,
}

/// The prefixes that messages may have, the one met last first.
#[derive(Debug)]
pub(super) struct Prefixes(Vec<Prefix>);

impl Default for Prefixes {
    fn default() -> Self {
        Self(USUAL.iter().map(|prefix| Prefix::new(prefix)).collect())
    }
}

impl Prefixes {
    /// Expects this prefix before any other.
    pub(super) fn expect(&mut self, prefix: &str) {
        let prefix = Prefix::new(prefix);
        self.0.retain(|known| *known != prefix);
        self.0.insert(0, prefix);
        // One for each change of the setting would be more and more.
        self.0.truncate(USUAL.len() + 4);
    }

    /// Takes a line apart: what its prefix says, how grave it is, its message.
    pub(super) fn split<'a>(&mut self, line: &'a str) -> Option<(Fields<'a>, Severity, &'a str)> {
        let found = |prefix: &Prefix| prefix.split(line);
        let (at, split) =
            self.0.iter().enumerate().find_map(|(at, prefix)| Some((at, found(prefix)?)))?;
        // One that ends at `%q` fits many a line that others say more of.
        if at > 0 && split.0.database.is_some() {
            self.0[..=at].rotate_right(1);
        }
        Some(split)
    }
}

impl Prefix {
    /// From the setting, `%` escapes and all; paddings are no matter.
    pub(super) fn new(setting: &str) -> Self {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = setting.chars().peekable();
        while let Some(character) = rest.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            while rest.next_if(|c| *c == '-' || c.is_ascii_digit()).is_some() {}
            match rest.next() {
                None => {}
                Some('%') => text.push('%'),
                Some(letter) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(if letter == 'q' {
                        Part::SessionsOnly
                    } else {
                        Part::Escape(letter)
                    });
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Self { parts }
    }

    fn split<'a>(&self, line: &'a str) -> Option<(Fields<'a>, Severity, &'a str)> {
        let mut guesses = GUESSES;
        parts(&self.parts, line, Fields::default(), &mut guesses)
    }

    /// Whether it says in which database a session is.
    pub(super) fn tells_database(&self) -> bool {
        self.parts.contains(&Part::Escape('d'))
    }
}

type Split<'a> = (Fields<'a>, Severity, &'a str);

fn parts<'a>(
    all: &[Part],
    line: &'a str,
    fields: Fields<'a>,
    guesses: &mut u32,
) -> Option<Split<'a>> {
    let Some((part, rest)) = all.split_first() else {
        let (severity, message) = severity(line)?;
        return Some((fields, severity, message));
    };
    match part {
        Part::Text(text) => parts(rest, line.strip_prefix(text.as_str())?, fields, guesses),
        Part::SessionsOnly => severity(line)
            .map(|(severity, message)| (fields, severity, message))
            .or_else(|| parts(rest, line, fields, guesses)),
        Part::Escape(letter) => escape(*letter, rest, line, fields, guesses),
    }
}

fn escape<'a>(
    letter: char,
    rest: &[Part],
    line: &'a str,
    fields: Fields<'a>,
    guesses: &mut u32,
) -> Option<Split<'a>> {
    let length = match letter {
        't' | 'm' | 's' => time(line)?,
        'p' | 'P' | 'l' | 'x' => padded(line, |byte| byte.is_ascii_digit()),
        'Q' => padded(line, |byte| byte.is_ascii_digit() || byte == b'-'),
        'n' => padded(line, |byte| byte.is_ascii_digit() || byte == b'.'),
        'c' => padded(line, |byte| byte.is_ascii_hexdigit() || byte == b'.'),
        'v' => padded(line, |byte| byte.is_ascii_digit() || byte == b'/'),
        'e' => padded(line, |byte| byte.is_ascii_alphanumeric()),
        _ => return name(letter, rest, line, fields, guesses),
    };
    let (value, after) = line.split_at(length);
    let fields = with(fields, letter, value);
    // What follows are spaces of the text behind it, or its padding.
    let spaces = after.len() - after.trim_start_matches(' ').len();
    (0..=spaces).find_map(|padding| {
        *guesses = guesses.checked_sub(1)?;
        parts(rest, &after[padding..], fields, guesses)
    })
}

/// A name may hold anything: its end is guessed from what comes after it.
fn name<'a>(
    letter: char,
    rest: &[Part],
    line: &'a str,
    fields: Fields<'a>,
    guesses: &mut u32,
) -> Option<Split<'a>> {
    let ends = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST);
    let follows = |at: &usize| match rest.first() {
        Some(Part::Text(text)) => line[*at..].starts_with(text.as_str()),
        _ => true,
    };
    for end in ends.filter(follows) {
        *guesses = guesses.checked_sub(1)?;
        let fields = with(fields, letter, &line[..end]);
        if let Some(split) = parts(rest, &line[end..], fields, guesses) {
            return Some(split);
        }
    }
    None
}

fn with<'a>(fields: Fields<'a>, letter: char, value: &'a str) -> Fields<'a> {
    let value = value.trim_matches(' ');
    match letter {
        'u' => Fields { user: said(value), ..fields },
        'd' => Fields { database: said(value), ..fields },
        'a' => Fields { application: said(value), ..fields },
        'p' => Fields { process: value.parse().ok(), ..fields },
        'e' => Fields { state: state(value), ..fields },
        'i' => Fields { tag: said(value), ..fields },
        _ => fields,
    }
}

/// How long a value is whose characters are known, with the padding around it.
fn padded(line: &str, belongs: impl Fn(u8) -> bool) -> usize {
    let bytes = line.as_bytes();
    let run = |from: usize, belongs: &dyn Fn(u8) -> bool| {
        bytes[from..].iter().position(|byte| !belongs(*byte)).map_or(bytes.len(), |end| from + end)
    };
    let begin = run(0, &|byte| byte == b' ');
    // What is only padding may as well be the text behind an empty value.
    if run(begin, &belongs) == begin { 0 } else { run(begin, &belongs) }
}

/// How long a time is: `2026-01-31 23:59:59.123 UTC`.
fn time(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if bytes.len() < TIME.len() || !bytes.iter().zip(TIME).all(fits) {
        return None;
    }
    let fraction = bytes[TIME.len()..].iter().take_while(|b| **b == b'.' || b.is_ascii_digit());
    let zone = TIME.len() + fraction.count();
    let name = bytes.get(zone + 1..).filter(|_| bytes[zone] == b' ')?;
    let belongs =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'/' | b'_');
    Some(zone + 1 + name.iter().take_while(belongs).count())
}

/// A message begins with how grave it is: `LOG:  `.
fn severity(line: &str) -> Option<(Severity, &str)> {
    let at = line.bytes().take(LONGEST_SEVERITY).position(|byte| byte == b':')?;
    let (word, rest) = line.split_at(at);
    Some((Severity::named(word)?, rest.strip_prefix(":  ")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(prefix: &str, line: &'a str) -> Option<(Fields<'a>, &'a str)> {
        Prefix::new(prefix).split(line).map(|(fields, _, message)| (fields, message))
    }

    fn names<'a>(fields: &Fields<'a>) -> [Option<&'a str>; 3] {
        [fields.user, fields.database, fields.application]
    }

    #[test]
    fn a_usual_prefix_is_understood_without_being_told() {
        for line in [
            "2026-01-31 23:59:59.123 UTC [812] app@my db LOG:  duration: 1 ms",
            "2026-01-31 23:59:59 CET [812-3] app@my db LOG:  duration: 1 ms",
            "2026-01-31 23:59:59 GMT+3 [812]: [3-1] user=app,db=my db,app=x,client=[local] LOG:  duration: 1 ms",
            "2026-01-31 23:59:59 -03 [812]: user=app,db=my db,app=,client=10.0.0.1 LOG:  duration: 1 ms",
            "2026-01-31 23:59:59 UTC:10.0.0.1(4711):app@my db:[812]:LOG:  duration: 1 ms",
        ] {
            let (fields, severity, message) = Prefixes::default().split(line).expect(line);
            assert_eq!((fields.user, fields.database), (Some("app"), Some("my db")), "{line}");
            assert_eq!((fields.process, severity), (Some(812), Severity::Log), "{line}");
            assert_eq!(message, "duration: 1 ms");
        }
        let line = "2026-01-31 23:59:59.123 UTC [812] ERROR:  x@y LOG:  z";
        let (fields, severity, message) = Prefixes::default().split(line).unwrap();
        assert_eq!((fields.user, severity, message), (None, Severity::Error, "x@y LOG:  z"));
    }

    #[test]
    fn a_prefix_of_ones_own_is_understood() {
        let (fields, message) = split(
            "%t|%-8u|%d|%a|%5p|%e|%i|%%",
            "2026-01-31 23:59:59 UTC|app     |d|a|b|  812|40P01|idle in transaction|%LOG:  x",
        )
        .unwrap();
        assert_eq!(names(&fields), [Some("app"), Some("d"), Some("a|b")]);
        assert_eq!((fields.process, fields.state), (Some(812), Some("40P01")));
        assert_eq!((fields.tag, message), (Some("idle in transaction"), "x"));
        let (fields, _) = split("%-6p x=%c ", "812    x=65ba.32c LOG:  x").unwrap();
        assert_eq!(fields.process, Some(812));
        assert_eq!(split("", "LOG:  x").unwrap().1, "x");
        let before = "2026-01-31 23:59:59.123 UTC [812] [unknown]@[unknown] FATAL:  x";
        assert_eq!(names(&split("%m [%p] %q%u@%d ", before).unwrap().0), [None; 3]);
        assert_eq!(split("%m [%p] %q%u@%d ", "2026-01-31 23:59:59.123 UTC [812] app@d "), None);
    }

    #[test]
    fn a_prefix_that_fits_is_tried_first_from_then_on() {
        let mut prefixes = Prefixes::default();
        prefixes.split("2026-01-31 23:59:59 UTC:h(1):app@d:[812]:LOG:  x").unwrap();
        assert_eq!(prefixes.0[0], Prefix::new(USUAL[5]));
        prefixes.expect("%u ");
        assert_eq!(prefixes.0[0], Prefix::new("%u "));
        assert!(Prefix::new("%u@%d").tells_database() && !Prefix::new("%%d").tells_database());
    }

    proptest! {
        #[test]
        fn no_line_takes_long(
            prefix in "([%][aduhrbpqmteilc0-9%-]|[ @|:é]){0,12}",
            line in "[ @|:é0-9a-zLOG]{0,300}",
        ) {
            let mut guesses = GUESSES;
            parts(&Prefix::new(&prefix).parts, &line, Fields::default(), &mut guesses);
            Prefixes::default().split(&line);
        }
    }
}
