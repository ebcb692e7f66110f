//! The names of variables that stand for settings.

use super::{example, former_names};
use crate::yaml::Path;

/// The beginning of the variables that are settings.
pub(super) const PREFIX: &str = "POOLWATCH__";

/// The variable that is meant by the end of a name which has other numbers of underscores.
pub(super) fn meant(written: &str) -> Option<String> {
    let written = former_names::present_variable(&written.to_uppercase().replace("__", "_"));
    example::settings().iter().find_map(|setting| variable(setting, &written))
}

/// The variable of a setting, if what was written is that with single underscores.
fn variable(setting: &Path, written: &str) -> Option<String> {
    let keys: Vec<_> = setting.keys().iter().map(|key| key.to_uppercase()).collect();
    let name = |keys: &[String]| format!("{PREFIX}{}", keys.join("__"));
    let section: Path = setting.keys().iter().take(1).cloned().collect();
    if !example::is_named(&section) || keys.len() < 3 {
        return (keys.join("_") == written).then(|| name(&keys));
    }
    let (first, last) = (format!("{}_", keys[0]), format!("_{}", keys[2..].join("_")));
    let chosen = written.strip_prefix(&first)?.strip_suffix(&last)?;
    Some(name(&[&keys[..1], &[chosen.to_owned()], &keys[2..]].concat()))
}
