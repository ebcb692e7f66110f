//! The prefix of each message in the text log: `log_line_prefix`, read backwards.

use super::entry::{MessageSeverity, Tells, given, sqlstate};

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
/// Nobody pads more than this.
const WIDEST: i32 = 1000;
/// The number of guesses of where a name ends in one prefix, where names may hold what separates them.
const GUESSES: u32 = 1000;
/// As long as `STATEMENT` and its colon, and more.
const LONGEST_SEVERITY: usize = 12;
/// Stands for the letter of a name whose end nothing shows.
const UNKNOWN: char = '?';
/// The beginning of a time.
const TIME: &[u8] = b"0000-00-00 00:00:00";

/// The fields that a prefix names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fields<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) database: Option<&'a str>,
    pub(super) application: Option<&'a str>,
    pub(super) pid: Option<u32>,
    pub(super) sqlstate: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    /// The names that it has a place for, whether or not this session has them.
    pub(super) tells: Tells,
}

/// One `log_line_prefix`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prefix {
    parts: Vec<Part>,
    tells: Tells,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// One of the escapes that stand for something, by its letter; no narrower than its padding,
    /// which is negative where the spaces stand behind the value.
    Escape(char, i32),
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
        self.0.retain(|other| *other != prefix);
        self.0.insert(0, prefix);
        // One for each change of the setting would be more and more.
        self.0.truncate(USUAL.len() + 4);
    }

    /// Takes a line apart: the fields of its prefix, its severity, its message.
    pub(super) fn split<'a>(
        &mut self,
        line: &'a str,
    ) -> Option<(Fields<'a>, MessageSeverity, &'a str)> {
        let (at, split) =
            self.0.iter().enumerate().find_map(|(at, prefix)| Some((at, prefix.split(line)?)))?;
        // One that ends at `%q` fits many a line that others say more of.
        if at > 0 && split.0.database.is_some() {
            self.0[..=at].rotate_right(1);
        }
        Some(split)
    }

    /// True when a line that is none begins as the prefix does: then the name that comes next has a
    /// line end in it, and what follows was written by whoever chose that name.
    pub(super) fn breaks_off(&self, line: &str) -> bool {
        self.0.iter().any(|prefix| prefix.begins(line))
    }
}

impl Prefix {
    /// From the setting, `%` escapes, paddings and all.
    pub(crate) fn new(setting: &str) -> Self {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = setting.chars().peekable();
        while let Some(character) = rest.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            let padding = padding(&mut rest);
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
                        Part::Escape(letter, padding)
                    });
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        leave_out_inseparable(&mut parts);
        let tells =
            |letter| parts.iter().any(|part| matches!(part, Part::Escape(l, _) if *l == letter));
        let tells = Tells { user: tells('u'), database: tells('d'), application: tells('a') };
        Self { parts, tells }
    }

    fn split<'a>(&self, line: &'a str) -> Option<(Fields<'a>, MessageSeverity, &'a str)> {
        let fields = Fields { tells: self.tells, ..Fields::default() };
        let mut guesses = GUESSES;
        parts(&self.parts, line, fields, &mut guesses)
    }

    /// True when a line has the parts before the first name, if they are more than mere text.
    fn begins(&self, line: &str) -> bool {
        let named = |part: &Part| matches!(part, Part::Escape(letter, _) if !is_plain(*letter));
        let Some(name) = self.parts.iter().position(named) else { return false };
        let (before, _) = self.parts.split_at(name);
        let telling = before.iter().any(|part| matches!(part, Part::Escape(..)));
        let mut guesses = GUESSES;
        telling && begin(before, line, &mut guesses)
    }

    /// The names that it has a place for.
    pub(crate) fn tells(&self) -> Tells {
        self.tells
    }
}

/// Takes names that stand side by side for unknown: nothing shows where one ends and the next begins.
fn leave_out_inseparable(parts: &mut [Part]) {
    let is_name = |part: &Part| matches!(part, Part::Escape(letter, _) if !is_plain(*letter));
    let escapes = |part: &&mut Part| !matches!(part, Part::SessionsOnly);
    let mut escapes: Vec<_> = parts.iter_mut().filter(escapes).collect();
    let inseparable: Vec<_> = escapes
        .windows(2)
        .map(|pair| matches!(pair[0], Part::Escape(_, 0)) && pair.iter().all(|part| is_name(part)))
        .collect();
    for (place, _) in inseparable.iter().enumerate().filter(|(_, inseparable)| **inseparable) {
        for part in &mut escapes[place..place + 2] {
            if let Part::Escape(letter, _) = &mut **part {
                *letter = UNKNOWN;
            }
        }
    }
}

/// The padding of an escape, as the server reads it.
fn padding(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> i32 {
    let sign = if rest.next_if_eq(&'-').is_some() { -1 } else { 1 };
    let mut width = 0;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        rest.next();
        width = (width * 10 + i32::try_from(digit).unwrap_or(0)).min(WIDEST);
    }
    sign * width
}

type Split<'a> = (Fields<'a>, MessageSeverity, &'a str);

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
        Part::Escape(letter, padding) => escape(*letter, *padding, rest, line, fields, guesses),
    }
}

/// True when the parts before the first name are there.
fn begin(all: &[Part], line: &str, guesses: &mut u32) -> bool {
    let Some((part, rest)) = all.split_first() else { return true };
    match part {
        Part::Text(text) => {
            line.strip_prefix(text.as_str()).is_some_and(|line| begin(rest, line, guesses))
        }
        Part::SessionsOnly => begin(rest, line, guesses),
        Part::Escape(letter, padding) => ends(*letter, *padding, line).any(|end| {
            let Some(left) = guesses.checked_sub(1) else { return false };
            *guesses = left;
            begin(rest, &line[end..], guesses)
        }),
    }
}

/// The end of a value is guessed from what comes after it.
fn escape<'a>(
    letter: char,
    padding: i32,
    rest: &[Part],
    line: &'a str,
    fields: Fields<'a>,
    guesses: &mut u32,
) -> Option<Split<'a>> {
    let follows = |end: &usize| match rest.first() {
        Some(Part::Text(text)) => line[*end..].starts_with(text.as_str()),
        _ => true,
    };
    for end in ends(letter, padding, line).filter(follows) {
        *guesses = guesses.checked_sub(1)?;
        let (value, after) = line.split_at(end);
        if let Some(split) = parts(rest, after, with(fields, letter, value), guesses) {
            return Some(split);
        }
    }
    None
}

/// True when the characters of a value are known; a name may hold anything.
fn is_plain(letter: char) -> bool {
    matches!(letter, 't' | 'm' | 's' | 'p' | 'P' | 'l' | 'x' | 'Q' | 'n' | 'c' | 'v' | 'e')
}

/// The places where a value may end, its padding included, the likeliest first.
fn ends(letter: char, padding: i32, line: &str) -> impl Iterator<Item = usize> {
    let width = padding.unsigned_abs() as usize;
    let spaces = line.bytes().take(width).take_while(|byte| *byte == b' ').count();
    let lead = if padding > 0 { spaces } else { 0 };
    let (first, last) = value_ends(letter, &line[lead..]).unwrap_or((1, 0));
    let ends = (lead + first..=lead + last).filter(|end| line.is_char_boundary(*end));
    let padded = ends.filter_map(move |end| match () {
        () if end >= width => (lead == 0 || end == width).then_some(end),
        () if padding > 0 => None,
        // The spaces behind it make it as wide as it must be.
        () => line.get(end..width)?.bytes().all(|byte| byte == b' ').then_some(width),
    });
    // What has no value is all padding.
    let none = (spaces == width && is_plain(letter)).then_some(width);
    padded.chain(none)
}

/// The least and the greatest length that a value without padding may have.
fn value_ends(letter: char, line: &str) -> Option<(usize, usize)> {
    let run = |belongs: &dyn Fn(u8) -> bool| {
        let length = line.bytes().take_while(|byte| belongs(*byte)).count();
        (length > 0).then_some((length, length))
    };
    match letter {
        't' | 'm' | 's' => time(line),
        'p' | 'P' | 'l' | 'x' => run(&|byte| byte.is_ascii_digit()),
        'Q' => {
            let sign = usize::from(line.starts_with('-'));
            let digits = line[sign..].bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then_some((sign + digits, sign + digits))
        }
        'n' => run(&|byte| byte.is_ascii_digit() || byte == b'.'),
        'c' => run(&|byte| byte.is_ascii_hexdigit() || byte == b'.'),
        'v' => run(&|byte| byte.is_ascii_digit() || byte == b'/'),
        'e' => run(&|byte| byte.is_ascii_alphanumeric()),
        _ => Some((0, line.len().min(LONGEST))),
    }
}

fn with<'a>(fields: Fields<'a>, letter: char, value: &'a str) -> Fields<'a> {
    let value = value.trim_matches(' ');
    match letter {
        'u' => Fields { user: given(value), ..fields },
        'd' => Fields { database: given(value), ..fields },
        'a' => Fields { application: Some(given(value).unwrap_or_default()), ..fields },
        // Of a session's time and process.
        'c' => Fields { pid: fields.pid.or(pid_of(value)), ..fields },
        'p' => Fields { pid: value.parse().ok(), ..fields },
        'e' => Fields { sqlstate: sqlstate(value), ..fields },
        'i' => Fields { tag: given(value), ..fields },
        _ => fields,
    }
}

/// The process of a session's identifier, such as `65ba8a3c.32c`.
fn pid_of(session: &str) -> Option<u32> {
    u32::from_str_radix(session.split_once('.')?.1, 16).ok()
}

/// The length that a time may have: `2026-01-31 23:59:59.123 UTC`. What separates it from what follows may be
/// a character that names of zones have, too.
fn time(line: &str) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if bytes.len() < TIME.len() || !bytes.iter().zip(TIME).all(fits) {
        return None;
    }
    let fraction = bytes[TIME.len()..].iter().take_while(|b| **b == b'.' || b.is_ascii_digit());
    let space = TIME.len() + fraction.count();
    let name = bytes.get(space + 1..).filter(|_| bytes[space] == b' ')?;
    let run = |belongs: &dyn Fn(u8) -> bool| name.iter().take_while(|byte| belongs(**byte)).count();
    let letters = run(&|byte| byte.is_ascii_alphabetic());
    let signed = matches!(name.first(), Some(b'+' | b'-'));
    let digits = name.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    let least = if signed { 1 + digits } else { letters };
    let most =
        run(&|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_'));
    (least > 0).then_some((space + 1 + least, space + 1 + most))
}

/// A message begins with its severity: `LOG:  `.
fn severity(line: &str) -> Option<(MessageSeverity, &str)> {
    let at = line.bytes().take(LONGEST_SEVERITY).position(|byte| byte == b':')?;
    let (word, rest) = line.split_at(at);
    Some((MessageSeverity::named(word)?, rest.strip_prefix(":  ")?))
}

#[cfg(test)]
mod tests;
