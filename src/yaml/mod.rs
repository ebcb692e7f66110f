//! YAML files that people write: parsed with the line of each value, and turned into settings so
//! that what is wrong can be said in parts: the path, what was found, what was expected.

mod node;
mod parse;
mod refusal;
mod typed;

pub(crate) use node::{Content, Node};
pub(crate) use parse::{Error, parse};
pub(crate) use refusal::{Expected, Found, Path, Refusal, is_address, nearest, suggest};
pub(crate) use typed::{Refused, from_value, share};
