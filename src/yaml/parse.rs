//! The text of a YAML file as a tree of values with their lines.

use std::collections::HashMap;
use std::str::Chars;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

use super::{Content, Node, Path};

/// Values within values; no settings are deeper.
const MAX_DEPTH: usize = 32;

/// Why a text is not one YAML document.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It breaks the rules of YAML.
    #[error("{reason}")]
    Syntax {
        /// The line.
        line: usize,
        /// The parser's reason.
        reason: String,
    },
    /// A tab indents a line.
    #[error("a tab indents this line; YAML is indented with spaces alone")]
    Tab {
        /// The line.
        line: usize,
    },
    /// A value begins with a character that means something to YAML.
    #[error(
        "a value must not begin with `{character}`, which means something else in YAML; put it in \
         quotes, as in `application_name: \"*\"`"
    )]
    Unquoted {
        /// The line.
        line: usize,
        /// The character.
        character: char,
    },
    /// A key stands twice in one map.
    #[error("the key `{key}` stands here a second time; the first is in line {first}")]
    Duplicate {
        /// The line of the second.
        line: usize,
        /// The key.
        key: String,
        /// The line of the first.
        first: usize,
    },
    /// A key is a list or a map.
    #[error("a key must be a plain text, such as `sampling:`")]
    Key {
        /// The line.
        line: usize,
    },
    /// Values within values without an end.
    #[error("the values are nested too deeply")]
    Depth {
        /// The line.
        line: usize,
    },
    /// A second document begins.
    #[error("a second document begins here; one file has one, without `---` in it")]
    Documents {
        /// The line.
        line: usize,
    },
}

impl Error {
    /// The line; the first is 1.
    pub fn line(&self) -> usize {
        match self {
            Self::Syntax { line, .. }
            | Self::Tab { line }
            | Self::Unquoted { line, .. }
            | Self::Duplicate { line, .. }
            | Self::Key { line }
            | Self::Depth { line }
            | Self::Documents { line } => *line,
        }
    }
}

/// The one document of a text; an empty map, when there is none.
pub(crate) fn parse(text: &str) -> Result<Node, Error> {
    let mut reader =
        Reader { text, parser: Parser::new_from_str(text), anchors: HashMap::new(), depth: 0 };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(document.unwrap_or_else(Node::empty)),
            (Event::DocumentStart, mark) if document.is_some() => {
                return Err(Error::Documents { line: mark.line() });
            }
            (Event::DocumentStart, _) => {
                let (event, mark) = reader.next()?;
                let node = reader.node(event, mark)?;
                document = Some(if node.is_null() { Node::empty() } else { node });
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<Chars<'a>>,
    anchors: HashMap<usize, Content>,
    depth: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(Event, Marker), Error> {
        self.parser.next_token().map_err(|error| explain(&error, self.text))
    }

    fn node(&mut self, event: Event, mark: Marker) -> Result<Node, Error> {
        let line = mark.line();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::Depth { line });
        }
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = tag.is_some_and(|tag| tag.suffix == "str");
                let quoted = style != TScalarStyle::Plain || text_tag;
                (Content::Scalar { text, quoted }, anchor)
            }
            Event::MappingStart(anchor, _) => (self.map()?, anchor),
            Event::SequenceStart(anchor, _) => (self.list()?, anchor),
            Event::Alias(anchor) => {
                // The parser refuses an alias without its anchor; one within itself has nothing yet.
                let content = self.anchors.get(&anchor).cloned();
                (content.ok_or(Error::Depth { line })?, 0)
            }
            _ => (Content::Scalar { text: String::new(), quoted: false }, 0),
        };
        self.depth -= 1;
        if anchor > 0 {
            self.anchors.insert(anchor, content.clone());
        }
        Ok(Node { line, content })
    }

    fn map(&mut self) -> Result<Content, Error> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, mark) = self.next()?;
            let line = mark.line();
            let key = match event {
                Event::MappingEnd => return Ok(Content::Map(entries)),
                Event::Scalar(key, ..) => key,
                _ => return Err(Error::Key { line }),
            };
            if let Some((_, node)) = entries.iter().find(|(known, _)| *known == key) {
                let (key, first) = (Path::from_iter([key]).to_string(), node.line);
                return Err(Error::Duplicate { line, key, first });
            }
            let (event, mark) = self.next()?;
            let value = self.node(event, mark)?;
            entries.push((key, Node { line, ..value }));
        }
    }

    fn list(&mut self) -> Result<Content, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, mark) => items.push(self.node(event, mark)?),
            }
        }
    }
}

/// The parser's error, or, where the text shows one of the usual reasons, that.
fn explain(error: &ScanError, text: &str) -> Error {
    let line = error.marker().line();
    let lines = || text.lines().enumerate().skip(line.saturating_sub(1));
    // Of a value that the tab interrupts, the parser names the line in which it begins.
    if let Some((at, _)) = lines().take(2).find(|(_, written)| is_indented_by_a_tab(written)) {
        return Error::Tab { line: at + 1 };
    }
    let written = lines().next().map_or("", |(_, written)| written);
    match unquoted(written) {
        Some(character) => Error::Unquoted { line, character },
        None => Error::Syntax { line, reason: error.info().to_owned() },
    }
}

fn is_indented_by_a_tab(line: &str) -> bool {
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
}

/// The character that a value of this line begins with and must not.
fn unquoted(line: &str) -> Option<char> {
    let value = line.split_once(": ").or_else(|| line.split_once("- ")).map(|(_, value)| value)?;
    value.trim_start().chars().next().filter(|first| "*&%@`".contains(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_the_line_of_its_key() {
        let text = "a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n";
        let root = parse(text).unwrap();
        let a = root.get("a").unwrap();
        let c = a.get("c").unwrap();
        assert_eq!((a.line, a.get("b").unwrap().line, c.line), (1, 2, 3));
        let Content::List(items) = &c.content else { panic!("{c:?}") };
        assert_eq!((items[1].line, items[1].get("d").unwrap().line), (5, 5));
    }

    #[test]
    fn nothing_is_an_empty_map() {
        for text in ["", "# only\n", "---\n", "~\n"] {
            assert_eq!(parse(text).unwrap().entries(), [], "{text:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_told_with_its_line() {
        for (text, line, reason) in [
            ("a: 1\n\tb: 2\n", 2, "a tab indents this line"),
            ("a: {b: 1}\na: 2\n", 2, "`a` stands here a second time; the first is in line 1"),
            ("a:\n  b: *\n", 2, "must not begin with `*`"),
            ("a: *b\n", 1, "must not begin with `*`"),
            ("a: @b\n", 1, "must not begin with `@`"),
            ("a: 1\n---\nb: 1\n", 2, "a second document"),
            ("[a]: 1\n", 1, "a key must be a plain text"),
            ("a: [1\nb: 2\n", 2, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line(), line, "{text}: {error}");
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
        assert!(matches!(parse(&"[".repeat(100)), Err(Error::Depth { .. })));
    }

    #[test]
    fn an_alias_is_what_its_anchor_is() {
        let root = parse("a: &x {b: 1}\nc: *x\n").unwrap();
        assert_eq!(root.get("c").unwrap().entries().len(), 1);
    }
}
