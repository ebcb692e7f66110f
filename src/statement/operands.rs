//! The two sides of a comparison: a column, what is done to it before it is compared, or a value.

use sqlparser::tokenizer::Token;

use super::words::{is, keyword, name};

/// Words that begin no operand, or one that is no column.
const NO_COLUMN: [&str; 24] = [
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "CASE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DISTINCT",
    "EXISTS",
    "FALSE",
    "IN",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOT",
    "NULL",
    "OR",
    "ROW",
    "SELECT",
    "SESSION_USER",
    "SOME",
    "TRUE",
    "VALUES",
];
/// Operands of operands, no deeper.
const DEPTH: usize = 20;

/// A column with the qualifier before its dot.
pub(super) type QualifiedColumn = (Option<String>, String);

/// Something that is done to a column before it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// A cast to this type, in lower case.
    Cast(String),
    /// A function with no other argument.
    Function(String),
    /// Anything else, which is not understood any further: a function or an operator.
    Other(String),
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Operand {
    /// Its first column; none in a value.
    pub(super) column: Option<QualifiedColumn>,
    /// What is done to that, from within.
    pub(super) wraps: Vec<Wrap>,
}

/// The words of a statement, its casts included, with the closing parenthesis of each opening one.
pub(super) struct Words<'a> {
    words: &'a [&'a Token],
    closing: Vec<usize>,
}

impl<'a> Words<'a> {
    pub(super) fn new(words: &'a [&'a Token]) -> Self {
        let mut closing = vec![words.len(); words.len()];
        let mut open = Vec::new();
        for (at, token) in words.iter().enumerate() {
            match token {
                Token::LParen => open.push(at),
                Token::RParen => {
                    if let Some(opened) = open.pop() {
                        closing[opened] = at;
                    }
                }
                _ => {}
            }
        }
        Self { words, closing }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&'a Token> {
        self.words.get(at).copied()
    }

    pub(super) fn is(&self, at: usize, words: &[&str]) -> bool {
        is(self.words.get(at), words)
    }

    pub(super) fn opens(&self, at: usize) -> bool {
        self.get(at) == Some(&Token::LParen)
    }

    /// The place of the parenthesis that closes the one at this place.
    pub(super) fn closing(&self, at: usize) -> usize {
        self.closing[at]
    }

    /// The operand that begins at this place, and the place behind it.
    pub(super) fn operand(&self, at: usize) -> Option<(Operand, usize)> {
        self.operand_within(at, DEPTH)
    }

    fn operand_within(&self, at: usize, depth: usize) -> Option<(Operand, usize)> {
        let (mut operand, mut at) = self.primary(at, depth.checked_sub(1)?)?;
        loop {
            if self.get(at) == Some(&Token::DoubleColon) {
                let (to, after) = self.type_at(at + 1);
                operand.wrap(Wrap::Cast(to));
                at = after;
            } else if self.is(at, &["AT"]) && self.is(at + 1, &["TIME"]) {
                operand.wrap(Wrap::Other("AT TIME ZONE".to_owned()));
                at = self.primary(at + 3, depth - 1)?.1;
            } else if self.is(at, &["COLLATE"]) {
                operand.wrap(Wrap::Other("COLLATE".to_owned()));
                at = self.column(at + 1)?.1;
            } else if let Some(operator) = self.get(at).filter(|token| is_arithmetic(token)) {
                let (other, after) = self.primary(at + 1, depth - 1)?;
                if operand.column.is_none() {
                    operand.column = other.column;
                }
                operand.wrap(Wrap::Other(operator.to_string()));
                at = after;
            } else {
                return Some((operand, at));
            }
        }
    }

    /// An operand without what stands behind it.
    fn primary(&self, at: usize, depth: usize) -> Option<(Operand, usize)> {
        match self.get(at)? {
            Token::Placeholder(_) | Token::Number(..) => return Some((Operand::default(), at + 1)),
            Token::Plus | Token::Minus => return self.primary(at + 1, depth.checked_sub(1)?),
            Token::LParen => {
                let (operand, end) = self.operand_within(at + 1, depth)?;
                return (end == self.closing(at)).then_some((operand, end + 1));
            }
            _ => {}
        }
        if self.opens(at + 1) && self.is(at, &["CAST"]) {
            let (mut operand, after) = self.operand_within(at + 2, depth)?;
            let (to, end) = self.type_at(after + 1);
            operand.wrap(Wrap::Cast(to));
            let whole = self.is(after, &["AS"]) && end == self.closing(at + 1);
            return whole.then_some((operand, end + 1));
        }
        if self.is(at, &NO_COLUMN) {
            // `true` and `current_date` are values, the others begin something else.
            let value = keyword(self.get(at)?)?;
            let is_value = value.contains('_') || ["TRUE", "FALSE", "NULL"].contains(&&*value);
            return is_value.then(|| (Operand::default(), at + 1));
        }
        let (column, after) = self.column(at)?;
        if self.opens(after) {
            return Some((self.function(column.1, after, depth)?, self.closing(after) + 1));
        }
        // `interval $1`
        if matches!(self.get(after), Some(Token::Placeholder(_))) {
            return Some((Operand::default(), after + 1));
        }
        Some((Operand { column: Some(column), wraps: Vec::new() }, after))
    }

    /// A call whose arguments begin at this parenthesis.
    fn function(&self, function: String, opens: usize, depth: usize) -> Option<Operand> {
        let closes = self.closing(opens);
        if let Some((mut operand, end)) = self.operand_within(opens + 1, depth)
            && end == closes
        {
            operand.wrap(Wrap::Function(function));
            return Some(operand);
        }
        // Of several arguments the first column counts.
        let arguments = self.words.get(opens + 1..closes)?;
        let place = |at: &usize| {
            let token = self.words[*at];
            name(token).is_some()
                && !matches!(self.get(at + 1), Some(Token::LParen | Token::Period))
                && !self.is(*at, &NO_COLUMN)
                && !self.is(*at, &["FROM", "EPOCH", "YEAR", "MONTH", "DAY", "HOUR"])
        };
        let last = (opens + 1..closes.min(opens + 1 + DEPTH)).find(place);
        let qualified = |at: usize| match self.get(at.wrapping_sub(1)) {
            Some(Token::Period) => at - 2,
            _ => at,
        };
        let column = last.and_then(|at| Some(self.column(qualified(at))?.0));
        let mut operand = Operand { column, wraps: Vec::new() };
        if !arguments.is_empty() {
            operand.wrap(Wrap::Other(format!("{function}()")));
        }
        Some(operand)
    }

    /// A name, perhaps qualified, and the place behind it.
    pub(super) fn column(&self, at: usize) -> Option<(QualifiedColumn, usize)> {
        let mut column = (None, name(self.get(at)?)?);
        let mut at = at + 1;
        while self.get(at) == Some(&Token::Period) {
            column = (Some(column.1), name(self.get(at + 1)?)?);
            at += 2;
        }
        Some((column, at))
    }

    /// A type, in lower case and without the schema of the server's own, and the place behind it.
    fn type_at(&self, at: usize) -> (String, usize) {
        const SECOND: [&str; 3] = ["PRECISION", "VARYING", "TIME"];
        let mut written = self.get(at).and_then(name).unwrap_or_default();
        let mut at = at + 1;
        while self.get(at) == Some(&Token::Period) {
            let schema = if written == "pg_catalog" { String::new() } else { written + "." };
            written = schema + &self.get(at + 1).and_then(name).unwrap_or_default();
            at += 2;
        }
        if self.is(at, &SECOND[..2]) {
            written = format!("{written} {}", self.words[at].to_string().to_lowercase());
            at += 1;
        }
        while matches!(self.get(at), Some(Token::LParen | Token::LBracket)) {
            let closes = |token: &&&Token| matches!(**token, Token::RParen | Token::RBracket);
            let length = self.words[at..].iter().take(DEPTH).position(|token| closes(&token));
            let end = length.map_or(at, |length| at + length);
            written.extend(self.words[at..=end].iter().map(ToString::to_string));
            at = end + 1;
        }
        if self.is(at, &["WITH", "WITHOUT"]) && self.is(at + 1, &SECOND[2..]) {
            let with = self.words[at].to_string().to_lowercase();
            written = format!("{written} {with} time zone");
            at += 3;
        }
        (written, at)
    }
}

impl Operand {
    /// Nothing is done to a value that matters.
    fn wrap(&mut self, wrap: Wrap) {
        if self.column.is_some() {
            self.wraps.push(wrap);
        }
    }
}

fn is_arithmetic(token: &Token) -> bool {
    matches!(
        token,
        Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::Ampersand
            | Token::Pipe
            | Token::StringConcat
            | Token::Arrow
            | Token::LongArrow
            | Token::HashArrow
            | Token::HashLongArrow
    )
}
