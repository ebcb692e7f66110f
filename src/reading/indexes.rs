//! A database's indexes, and the tables that may lack one.

/// The indexes and tables of one database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Indexes {
    /// The database as the settings name it.
    pub server: String,
    /// The number of this reading: it distinguishes two that are alike.
    pub number: u64,
    /// Expected and not there.
    pub missing: Vec<Index>,
    /// Left by a build that failed.
    pub invalid: Vec<Index>,
    /// Used by no query since the statistics began, and needed for nothing else.
    pub unused: Vec<Index>,
    /// Those whose queries another serves as well.
    pub covered: Vec<Index>,
    /// The number of seconds for which use was counted, at least.
    pub counted_for: f64,
    /// Foreign keys that no index serves.
    pub foreign_keys: Vec<ForeignKey>,
    /// Every foreign key of one column.
    pub references: Vec<Reference>,
    /// The tables that were scanned most.
    pub tables: Vec<TableScans>,
}

/// One index, there or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Its name, with the schema where that is not `public`.
    pub name: String,
    /// Its table and what is indexed.
    pub place: String,
    /// The index that serves its queries as well.
    pub covered_by: Option<String>,
    /// Its size by the last vacuum or analyze.
    pub bytes: u64,
    /// The statement that puts it right.
    pub statement: String,
}

impl Index {
    /// Its table.
    pub fn table(&self) -> &str {
        self.place.split_once(" (").map_or(&self.place, |(table, _)| table)
    }
}

/// A foreign key that no index serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its table.
    pub table: String,
    /// Its columns, by comma.
    pub columns: String,
    /// The table it refers to.
    pub refers_to: String,
    /// Rows of its table, estimated.
    pub rows: u64,
    /// True when its table has partitions, whose rows are meant.
    pub partitioned: bool,
}

/// A foreign key of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Its table.
    pub table: String,
    /// Its column.
    pub column: String,
    /// The table it refers to.
    pub refers_to: String,
    /// The column there.
    pub key: String,
}

/// The way in which a table is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableScans {
    /// The table.
    pub table: String,
    /// Its rows, estimated.
    pub rows: u64,
    /// The number of times that it was read from its beginning since the statistics began.
    pub scans: u64,
    /// The number of rows that were read so.
    pub rows_scanned: u64,
    /// Its blocks, estimated.
    pub pages: u64,
    /// Its columns, quoted where they must be.
    pub columns: Vec<String>,
    /// The type of each column, as the server writes it.
    pub types: Vec<String>,
    /// The partitioned table that it is a part of.
    pub partition_of: Option<String>,
    /// Its indexes.
    pub indexes: Vec<TableIndex>,
}

/// An index of a table, as far as it decides which statements it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableIndex {
    /// Its name.
    pub name: String,
    /// The access method.
    pub method: String,
    /// True when queries may use it.
    pub valid: bool,
    /// True when it allows no value twice.
    pub unique: bool,
    /// The condition of a partial index.
    pub condition: Option<String>,
    /// Its keys, in order.
    pub keys: Vec<IndexKey>,
}

/// A key of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexKey {
    /// The column or the expression, as the server writes it.
    pub sql: String,
    /// True when it finds values that equal another by the usual operator.
    pub equal: bool,
    /// True when it also finds those above and below, by the usual operators.
    pub ordered: bool,
}
