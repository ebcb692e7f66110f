//! The expected indexes: the catalogue's file, and the statements that create them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::name::{identifier, qualified, unquoted};
use crate::{files, yaml};

/// The longest name that `PostgreSQL` keeps whole, in bytes.
const LONGEST_NAME: usize = 63;

/// The indexes that are expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// In the order of the file.
    pub indexes: Vec<ExpectedIndex>,
}

/// One index that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedIndex {
    /// Its name.
    pub name: String,
    /// The table's schema, which is the index's too.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The keys, in order, as they stand in the statement.
    pub keys: Vec<String>,
    /// The plain columns, in order; `None` where a key is an expression.
    pub columns: Vec<Option<String>>,
    /// The access method, such as `btree`.
    pub method: String,
    /// True when it allows no value twice.
    pub unique: bool,
    /// The condition of a partial index.
    pub condition: Option<String>,
}

/// The reason why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The file cannot be read.
    #[error("cannot read the catalogue {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: std::io::Error,
    },
    /// The file is no catalogue.
    #[error("{path}, line {line}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// An entry makes no sense.
    #[error("{path}: the index `{name}` {reason}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        name: String,
        /// The reason.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    indexes: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    table: String,
    #[serde(default)]
    columns: Vec<String>,
    expression: Option<String>,
    #[serde(default = "btree")]
    method: String,
    #[serde(default)]
    unique: bool,
    #[serde(rename = "where")]
    condition: Option<String>,
}

fn btree() -> String {
    "btree".to_owned()
}

impl Catalogue {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CatalogueError> {
        let text = files::read_to_string_blocking(path)
            .map_err(|reason| CatalogueError::Unreadable { path: path.to_owned(), reason })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, CatalogueError> {
        let malformed =
            |line, reason| CatalogueError::Malformed { path: path.to_owned(), line, reason };
        let root = yaml::parse(text).map_err(|error| malformed(error.line(), error.to_string()))?;
        let file: File = yaml::from_value(root.to_value())
            .map_err(|refused| malformed(root.line_of(&refused.place()), refused.to_string()))?;
        let mut names = HashSet::new();
        let mut indexes = Vec::new();
        for entry in file.indexes {
            let name = entry.name.clone();
            let wrong = |reason| CatalogueError::Entry { path: path.to_owned(), name, reason };
            if !names.insert((qualified(&entry.table).0, entry.name.clone())) {
                return Err(wrong("is there twice"));
            }
            indexes.push(entry.expected().map_err(wrong)?);
        }
        Ok(Self { indexes })
    }
}

impl Entry {
    fn expected(self) -> Result<ExpectedIndex, &'static str> {
        let (schema, table) = qualified(&self.table);
        if [&self.name, &schema, &table].iter().any(|n| n.is_empty() || n.len() > LONGEST_NAME) {
            return Err("and its table must have names of 1 to 63 bytes");
        }
        let (keys, columns) = match (&self.expression, self.columns.is_empty()) {
            (Some(expression), true) => (vec![format!("({expression})")], vec![None]),
            (None, false) => columns(&self.columns)?,
            _ => return Err("must have either columns or an expression"),
        };
        let method = self.method.to_lowercase();
        if !method.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("has a method that is no name");
        }
        Ok(ExpectedIndex {
            name: self.name,
            schema,
            table,
            keys,
            columns,
            method,
            unique: self.unique,
            condition: self.condition,
        })
    }
}

/// Each column as it stands in the statement, and its name.
fn columns(given: &[String]) -> Result<(Vec<String>, Vec<Option<String>>), &'static str> {
    let read = given.iter().map(|text| column(text)).collect::<Option<Vec<_>>>();
    let read = read.ok_or("has a column that is not `name [ASC|DESC] [NULLS FIRST|LAST]`")?;
    Ok(read.into_iter().map(|(key, column)| (key, Some(column))).unzip())
}

fn column(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let end = match text.strip_prefix('"') {
        Some(rest) => rest.rfind('"')? + 2,
        None => text.find(char::is_whitespace).unwrap_or(text.len()),
    };
    let (name, order) = text.split_at(end);
    let order = order.split_whitespace().map(str::to_uppercase).collect::<Vec<_>>().join(" ");
    let is_direction = ["", "ASC", "DESC"].iter().any(|direction| {
        let rest = order.strip_prefix(direction).map(str::trim_start);
        matches!(rest, Some("" | "NULLS FIRST" | "NULLS LAST"))
    });
    let name = unquoted(name);
    (is_direction && !name.is_empty())
        .then(|| (format!("{} {order}", identifier(&name)).trim_end().to_owned(), name))
}

impl ExpectedIndex {
    /// The statement that creates it while others write.
    pub fn create(&self) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let condition = self.condition.as_ref().map(|c| format!(" WHERE {c}")).unwrap_or_default();
        format!(
            "CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {} ON {}.{} USING {} ({}){condition}",
            identifier(&self.name),
            identifier(&self.schema),
            identifier(&self.table),
            self.method,
            self.keys.join(", "),
        )
    }

    /// The statement that drops it while others write.
    pub fn drop(&self) -> String {
        let (schema, name) = (identifier(&self.schema), identifier(&self.name));
        format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}")
    }

    /// The table and what is indexed, for people.
    pub fn place(&self) -> String {
        let schema = if self.schema == "public" { "" } else { &format!("{}.", self.schema) };
        let keys: Vec<_> = self.keys.iter().map(|key| key.replace('"', "")).collect();
        format!("{schema}{} ({})", self.table, keys.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Catalogue, CatalogueError> {
        Catalogue::parse(text, Path::new("indexes.yml"))
    }

    fn create(entry: &str) -> String {
        parse(&format!("indexes:\n  - {entry}\n")).unwrap().indexes[0].create()
    }

    #[test]
    fn the_shipped_catalogue_has_the_nine_indexes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/indexes.yml");
        let catalogue = Catalogue::read(Path::new(path)).unwrap();
        assert_eq!(catalogue.indexes.len(), 9);
        assert_eq!(catalogue.indexes[0].place(), "matched_posts (client_id, created_at)");
    }

    #[test]
    fn every_name_is_quoted_and_every_part_in_its_place() {
        assert_eq!(
            create("{name: 'a\"b', table: s.t, columns: ['Created DESC nulls last', x]}"),
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"a\"\"b\" ON \"s\".\"t\" USING btree \
             (\"created\" DESC NULLS LAST, \"x\")"
        );
        assert_eq!(
            create(
                "{name: i, table: t, expression: lower(email), unique: true, where: 'not gone'}"
            ),
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"i\" ON \"public\".\"t\" USING btree \
             ((lower(email))) WHERE not gone"
        );
        let gin = create("{name: i, table: t, columns: [tags], method: GIN}");
        assert!(gin.ends_with("USING gin (\"tags\")"), "{gin}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_entry() {
        for (entry, reason) in [
            ("{name: i, table: t}", "either columns or an expression"),
            ("{name: i, table: t, columns: [a], expression: b}", "either columns or"),
            ("{name: i, table: t, columns: ['a; DROP TABLE t']}", "a column that is not"),
            ("{name: i, table: t, columns: [a], method: 'b (c)'}", "a method that is no name"),
            ("{name: '', table: t, columns: [a]}", "1 to 63 bytes"),
            ("{name: i, table: t, colums: [a]}", "colums"),
        ] {
            let error = parse(&format!("indexes: [{entry}]\n")).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("indexes.yml"), "{error}");
        }
        let twice = "{name: i, table: t, columns: [a]}";
        let error = parse(&format!("indexes: [{twice}, {twice}]\n")).unwrap_err().to_string();
        assert!(error.contains("is there twice"), "{error}");
    }
}
