//! The indexes an application's queries need, against those its database has.
//!
//! A [`Catalogue`] says what is expected, [`PresentIndex`] what is there, [`compare()`] what that
//! means, and a [`Builder`] creates what is missing without blocking anybody.

mod builder;
mod catalogue;
mod compare;
mod creators;
mod name;
mod plan;
mod present;
mod unplannable;

use std::path::PathBuf;

use serde::Deserialize;

pub use builder::{BuildPhase, Builder, Error as BuildError, Outcome};
pub use catalogue::{Catalogue, CatalogueError, ExpectedIndex};
pub use compare::{Comparison, State, compare, covered};
pub use name::{identifier, literal};
pub use plan::{Error as PlanError, Planner, QueryPlan, Scan};
pub use present::{Inventory, PresentIndex};

/// The indexes that are expected, and their database.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The file that names them, such as config/indexes.yml.
    pub catalogue: Option<PathBuf>,
    /// The server whose database they belong to, by its name in the settings; the first when left out.
    pub server: Option<String>,
}
