//! Finds an extension, and checks that its functions are its own.

use sqlx::Row as _;

use super::{Optional, ReducibleStatement, Reductions};
use poolwatch_client::Checkout;

/// An extension that the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its version, which may be older than its server's; 1.10 is (1, 10).
    pub version: (u32, u32),
    /// Its schema, quoted.
    pub schema: String,
}

/// The reason why an extension cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// Its schema has a function of this name that is none of the extension's: those are of C, and
    /// only a superuser can make such.
    #[error(
        "the function {0} is not as its extension has it, so it is not called: see who owns it, \
         and drop it or create the extension again"
    )]
    StandIn(String),
    /// The database cannot be asked.
    #[error("{}", super::explain(.0).unwrap_or("cannot read pg_extension"))]
    Failed(#[from] sqlx::Error),
}

impl Extension {
    /// Its version as the collectors' tables compare it: 1.8 is 108.
    pub fn since(&self) -> u32 {
        self.version.0 * 100 + self.version.1.min(99)
    }

    /// The extension of this name, of which these functions are called; `None` when the database
    /// has not got it.
    ///
    /// Whoever owns a function of an extension, or may create in its schema, may put another in its
    /// place or beside it, but not one of C. A view over it could be another, too: only functions
    /// are to be called.
    pub async fn find(
        connection: &mut Checkout,
        name: &str,
        functions: &[&str],
        reductions: &mut Reductions,
    ) -> Result<Option<Self>, ExtensionError> {
        let statement =
            ReducibleStatement { sql: SQL, optional: Optional::These(&[]), gives: name };
        let rows = reductions.rows(connection, statement, |query| query.bind(name).bind(functions));
        let rows = rows.await?.unwrap_or_default();
        let Some(row) = rows.first() else { return Ok(None) };
        if let Some(stand_in) = super::text(row, 2)? {
            return Err(ExtensionError::StandIn(stand_in));
        }
        Ok(Some(Self { version: version(row.try_get(0)?), schema: row.try_get(1)? }))
    }
}

/// 13 is the language C.
const SQL: &str = "
SELECT extversion, quote_ident(nspname),
       (SELECT oid::regprocedure::text FROM pg_proc
         WHERE pronamespace = extnamespace AND proname = ANY ($2::text[]::name[]) AND prolang <> 13
         LIMIT 1)
  FROM pg_extension
  JOIN pg_namespace ON pg_namespace.oid = extnamespace
 WHERE extname = $1::text::name";

fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_version_of_an_extension_is_above_the_ninth() {
        assert!(version("1.10") > version("1.9"));
        assert_eq!(version("2"), (2, 0));
    }
}
