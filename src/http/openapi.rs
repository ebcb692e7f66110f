//! The description of every answer, as an `OpenAPI` document. It is made from the types of the
//! answers, by the tests, which also hold `docs/openapi.json` to it.

/// The document.
pub(super) const DOCUMENT: &str = include_str!("../../docs/openapi.json");

#[cfg(test)]
pub(super) mod document;
