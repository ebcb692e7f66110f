//! The modules of the crate, and which of them uses a definition of which other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tokens::{Token, tokens};

/// A module's path from the root of the crate: empty for the root itself.
pub(super) type Module = Vec<String>;

/// Every module under `src/`. A module is one file.
#[derive(Debug, Default)]
pub(super) struct Modules(BTreeMap<Module, File>);

#[derive(Debug, Default)]
struct File {
    /// The names that `use` brings in, each with its path.
    names: BTreeMap<String, Vec<String>>,
    /// The paths that the code mentions. Those that are only given on by `pub use` are left out.
    paths: BTreeSet<Vec<String>>,
    /// The modules below that are only there for tests.
    tests: Vec<String>,
}

impl Modules {
    /// Reads every file; tests are left out, for they may use what the code may not.
    pub(super) fn read() -> Self {
        let mut modules = Self::default();
        modules.read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[]);
        let below = |(module, file): (&Module, &File)| {
            file.tests.iter().map(|name| child(module, name)).collect::<Vec<_>>()
        };
        let tests: Vec<_> = modules.0.iter().flat_map(below).collect();
        modules.0.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        modules
    }

    fn read_folder(&mut self, folder: &Path, above: &[String]) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let module = match stem.as_str() {
                "mod" | "lib" => above.to_vec(),
                _ => above.iter().cloned().chain([stem]).collect(),
            };
            if path.is_dir() {
                self.read_folder(&path, &module);
            } else if path.extension().is_some_and(|end| end == "rs") {
                self.0.insert(module, File::parse(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    /// Every module.
    pub(super) fn all(&self) -> impl Iterator<Item = &Module> {
        self.0.keys()
    }

    /// The other modules that define what a module uses.
    pub(super) fn used_by(&self, module: &Module) -> BTreeSet<Module> {
        let paths = self.0[module].paths.iter();
        let mut used: BTreeSet<_> = paths.filter_map(|path| self.resolve(module, path)).collect();
        used.remove(module);
        used
    }

    /// The module that defines what a path within a module leads to; `None` for another crate.
    fn resolve(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let (mut place, mut rest) = match first.as_str() {
            "crate" | "poolwatch" => (Module::new(), rest),
            "self" => (module.clone(), rest),
            "super" => (module[..module.len() - 1].to_vec(), rest),
            _ if self.0.contains_key(&child(module, first)) => (child(module, first), rest),
            _ => {
                let names = &self.0[module].names;
                let target = names.get(first).filter(|target| target[0] != *first)?;
                return self.resolve(module, &[target, rest].concat());
            }
        };
        while let Some((name, after)) = rest.split_first() {
            let inner = child(&place, name);
            if name == "super" {
                place.pop();
            } else if self.0.contains_key(&inner) {
                place = inner;
            } else if let Some(target) = self.0.get(&place)?.names.get(name) {
                return self.resolve(&place, &[target, after].concat());
            } else {
                break;
            }
            rest = after;
        }
        Some(place)
    }
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

impl File {
    fn parse(code: &str) -> Self {
        let (mut file, tokens) = (Self::default(), tokens(code));
        let mut left = &tokens[..];
        while let Some((token, rest)) = left.split_first() {
            left = match token {
                // Not the `use<…>` of a type.
                Token::Word(word) if word == "use" && rest.first() != Some(&Token::Sign('<')) => {
                    file.parse_use(is_public(&tokens, left), rest)
                }
                Token::Word(_) => file.parse_path(left),
                Token::Sign('#') if is_for_tests(rest) => file.skip_item(&rest[6..]),
                Token::Sign(_) => rest,
            };
        }
        file
    }

    fn parse_path<'a>(&mut self, mut left: &'a [Token]) -> &'a [Token] {
        let mut path = Vec::new();
        while let Some((Token::Word(word), rest)) = left.split_first() {
            path.push(word.clone());
            left = rest;
            match left {
                [Token::Sign(':'), Token::Sign(':'), rest @ ..] => left = rest,
                _ => break,
            }
        }
        if path.len() > 1 {
            self.paths.insert(path);
        }
        left
    }

    fn parse_use<'a>(&mut self, public: bool, left: &'a [Token]) -> &'a [Token] {
        let end = left.iter().position(|token| *token == Token::Sign(';')).unwrap_or(left.len());
        self.parse_tree(public, &[], &left[..end]);
        &left[end..]
    }

    /// One tree of a `use`, or several by comma, below a path.
    fn parse_tree(&mut self, public: bool, above: &[String], tree: &[Token]) {
        let mut path = above.to_vec();
        let mut left = tree;
        while let Some((token, rest)) = left.split_first() {
            left = rest;
            match token {
                Token::Word(word) if word == "as" => {
                    let Some((Token::Word(name), rest)) = rest.split_first() else { return };
                    self.bring_in(
                        name.clone(),
                        std::mem::replace(&mut path, above.to_vec()),
                        public,
                    );
                    left = rest;
                }
                Token::Word(word) => path.push(word.clone()),
                Token::Sign('*') => {
                    self.paths.insert(std::mem::replace(&mut path, above.to_vec()));
                }
                Token::Sign('{') => {
                    let end = closing(rest);
                    self.parse_tree(public, &path, &rest[..end]);
                    path = above.to_vec();
                    left = &rest[end + 1..];
                }
                Token::Sign(',') => self.end_tree(&mut path, above, public),
                Token::Sign(_) => {}
            }
        }
        self.end_tree(&mut path, above, public);
    }

    /// Brings in what a tree ends with; nothing behind a list, or a comma that ends one.
    fn end_tree(&mut self, path: &mut Vec<String>, above: &[String], public: bool) {
        let mut path = std::mem::replace(path, above.to_vec());
        if path.len() == above.len() {
            return;
        }
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(name) = path.last().cloned() {
            self.bring_in(name, path, public);
        }
    }

    fn bring_in(&mut self, name: String, path: Vec<String>, public: bool) {
        if !public {
            self.paths.insert(path.clone());
        }
        self.names.insert(name, path);
    }

    /// Skips an item of tests: to its semicolon, or to the end of its block.
    fn skip_item<'a>(&mut self, mut left: &'a [Token]) -> &'a [Token] {
        let mut depth = 0_usize;
        let mut before = None;
        while let Some((token, rest)) = left.split_first() {
            match token {
                Token::Word(name) if before == Some("mod") => self.tests.push(name.clone()),
                Token::Sign('(' | '[' | '{') => depth += 1,
                Token::Sign('}') if depth == 1 => return rest,
                Token::Sign(')' | ']' | '}') => depth -= 1,
                Token::Sign(';') if depth == 0 => return rest,
                _ => {}
            }
            before = if let Token::Word(word) = token { Some(word.as_str()) } else { None };
            left = rest;
        }
        left
    }
}

/// Whether the item that `left` begins with is `pub`, or `pub(…)`.
fn is_public(all: &[Token], left: &[Token]) -> bool {
    let before = &all[..all.len() - left.len()];
    matches!(before.last(), Some(Token::Sign(')')))
        || matches!(before.last(), Some(Token::Word(word)) if word == "pub")
}

/// Whether what follows a `#` is `[cfg(test)]`.
fn is_for_tests(left: &[Token]) -> bool {
    let word = |at: usize, word: &str| matches!(left.get(at), Some(Token::Word(w)) if w == word);
    word(1, "cfg") && word(3, "test") && left.get(4) == Some(&Token::Sign(')'))
}

/// The place of the brace that closes a list.
fn closing(left: &[Token]) -> usize {
    let mut depth = 1;
    let closes = |token: &Token| {
        depth += match token {
            Token::Sign('{') => 1,
            Token::Sign('}') => -1,
            _ => 0,
        };
        depth == 0
    };
    left.iter().position(closes).expect("each brace is closed")
}
