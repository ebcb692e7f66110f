//! The names that settings had before: the table, and the present name of each.

use crate::yaml::Path;

/// Old settings, and what the last key of each is now. A `*` is any name.
pub(super) const RENAMED: [(&str, &str); 14] = [
    ("databases", "servers"),
    ("pools.*.activity.database", "server"),
    ("indexes.database", "server"),
    ("logs.database", "server"),
    ("advice.connection_leak.rise", "min_growth"),
    ("advice.connection_leak.held", "min_held"),
    ("advice.query_latency.least", "min_samples"),
    ("advice.statement_latency.least", "min_samples"),
    ("advice.slow_queries.least", "min_samples"),
    ("advice.slow_queries.looks", "min_slow_samples"),
    ("advice.n_plus_one.least", "min_samples"),
    ("advice.unpaginated.least", "min_samples"),
    ("advice.n_plus_one_suspected.least", "min_samples"),
    ("advice.time_to_scale.seen", "min_observed"),
];

/// The present path of a setting.
pub(super) fn present(setting: &Path) -> Path {
    let mut keys = setting.keys().to_vec();
    for (old, new) in RENAMED {
        let old: Vec<&str> = old.split('.').collect();
        let matches = |(old, key): (&&str, &String)| *old == "*" || *old == key;
        if keys.len() >= old.len() && old.iter().zip(&keys).all(matches) {
            new.clone_into(&mut keys[old.len() - 1]);
        }
    }
    keys.into_iter().collect()
}

/// A variable, without its prefix and with single underscores, with the present name of its section.
pub(super) fn present_variable(written: &str) -> String {
    let sections = RENAMED.iter().filter(|(old, _)| !old.contains('.'));
    let mut present = sections.filter_map(|(old, new)| {
        let rest = written.strip_prefix(&old.to_uppercase())?.strip_prefix('_')?;
        Some(format!("{}_{rest}", new.to_uppercase()))
    });
    present.next().unwrap_or_else(|| written.to_owned())
}
