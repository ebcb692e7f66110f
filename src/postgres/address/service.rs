//! libpq's connection service file: `[name]` and under it `key=value`, one a line.

use std::path::{Path, PathBuf};

use super::{AddressError, Variables, set};
use crate::files;

/// The folder of the machine's own file when PGSYSCONFDIR names none.
const SYSTEM: &str = "/etc/postgresql-common";

/// Reads the parameters of a service.
pub(super) fn read(
    name: &str,
    file: Option<&str>,
    variables: Variables<'_>,
) -> Result<Vec<(String, String)>, AddressError> {
    let failed = |reason: String| AddressError::Service { name: name.to_owned(), reason };
    let files = files(file, variables);
    for file in &files {
        let text = match files::read_to_string_blocking(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(format!("cannot read {}: {error}", file.display()))),
        };
        if let Some(pairs) = section(&text, name)
            .map_err(|line| failed(format!("{} line {line} is not `key=value`", file.display())))?
        {
            return Ok(pairs);
        }
    }
    let looked: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Err(failed(format!("is not in {}", looked.join(" nor in "))))
}

/// The user's own file, then the machine's.
fn files(file: Option<&str>, variables: Variables<'_>) -> Vec<PathBuf> {
    let own = file.map(str::to_owned).or_else(|| set(variables, "PGSERVICEFILE"));
    let home = || Some(Path::new(&set(variables, "HOME")?).join(".pg_service.conf"));
    let system = set(variables, "PGSYSCONFDIR").unwrap_or_else(|| SYSTEM.to_owned());
    let system = Path::new(&system).join("pg_service.conf");
    own.map(PathBuf::from).or_else(home).into_iter().chain([system]).collect()
}

/// `None` where it is not; an error says the line.
fn section(text: &str, name: &str) -> Result<Option<Vec<(String, String)>>, usize> {
    let mut found: Option<Vec<_>> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (title.strip_suffix(']') == Some(name)).then(Vec::new);
        } else if let Some(pairs) = &mut found {
            let (key, value) = line.split_once('=').ok_or(at + 1)?;
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(found)
}
