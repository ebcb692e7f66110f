//! One thing to be read, not yet opened, and the settings by which a reload decides whether it
//! stays.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::postgres::Database;
use crate::sources::{Failure, OpenSource, Source, workers};
use crate::yaml::Path;

/// Settings of any source, which can be compared.
pub(crate) trait SourceSettings: Any + Send {
    /// Returns whether they are the same.
    fn equals(&self, other: &dyn SourceSettings) -> bool;
    /// They, whatever they are of.
    fn as_any(&self) -> &dyn Any;
}

impl<T: PartialEq + Any + Send> SourceSettings for T {
    fn equals(&self, other: &dyn SourceSettings) -> bool {
        other.as_any().downcast_ref::<T>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

type Open = Box<dyn FnOnce() -> Result<Source, Failure> + Send>;

/// One thing to be read, not yet opened.
pub(crate) struct SourceSpec {
    identity: SourceIdentity,
    section: Path,
    open: Open,
}

/// Everything that distinguishes a source from the others: it stays at a reload when this is the
/// same.
pub(crate) struct SourceIdentity {
    /// The label `source`, such as `primary/activity`.
    pub name: String,
    /// The time between two readings.
    pub interval: Duration,
    group: String,
    label: Option<(&'static str, String)>,
    server: Option<Arc<Database>>,
    settings: Box<dyn SourceSettings>,
}

impl PartialEq for SourceIdentity {
    fn eq(&self, other: &Self) -> bool {
        let server = match (&self.server, &other.server) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        server
            && self.name == other.name
            && self.interval == other.interval
            && self.group == other.group
            && self.label == other.label
            && self.settings.equals(&*other.settings)
    }
}

impl SourceSpec {
    /// Something with these settings, which a section of the file has, read so often.
    pub(super) fn new<S: SourceSettings>(
        name: impl Into<String>,
        section: Path,
        interval: Duration,
        settings: S,
        open: impl FnOnce() -> Result<Source, Failure> + Send + 'static,
    ) -> Self {
        let name = name.into();
        let identity = SourceIdentity {
            group: name.clone(),
            name,
            interval,
            label: None,
            server: None,
            settings: Box::new(settings),
        };
        Self { identity, section, open: Box::new(open) }
    }

    /// The same, read of a server: its name is `SERVER/NAME`, its group `NAME`.
    pub(super) fn for_server(mut self, server: &Arc<Database>) -> Self {
        let name = server.name();
        self.identity.label = Some(("server", name.to_owned()));
        self.identity.name = format!("{name}/{}", self.identity.name);
        self.identity.server = Some(Arc::clone(server));
        self
    }

    /// The same in a group, whose sources may share metric families.
    pub(super) fn in_group(mut self, group: &str) -> Self {
        group.clone_into(&mut self.identity.group);
        self
    }

    /// The same with a label that distinguishes its series from those of others in its group.
    pub(super) fn with_label(mut self, label: Option<(&'static str, String)>) -> Self {
        self.identity.label = label;
        self
    }

    /// The same, read by what is found on this machine, of a server that may be asked something.
    pub(super) fn asking(mut self, server: Option<&Arc<Database>>) -> Self {
        self.identity.server = server.map(Arc::clone);
        self
    }

    /// Its identity.
    pub(crate) fn identity(&self) -> &SourceIdentity {
        &self.identity
    }

    /// The section of the settings that it comes from.
    pub(crate) fn section(&self) -> &Path {
        &self.section
    }

    /// The settings of the workers' socket, when that is what it is.
    pub(crate) fn workers(&self) -> Option<&workers::Settings> {
        self.identity.settings.as_any().downcast_ref()
    }

    /// Finds what [`SourceSpec::open`] would refuse, without a socket.
    pub(crate) fn check(self) -> Result<(), Failure> {
        match self.workers() {
            Some(settings) => settings.check().map_err(Failure::from),
            None => self.open().map(drop),
        }
    }

    /// Opens it: a socket that is taken or an address that makes no sense fails here.
    pub(crate) fn open(self) -> Result<OpenSource, Failure> {
        let (source, _) = self.open_keeping()?;
        Ok(source)
    }

    /// Opens it, and keeps what it is.
    pub(crate) fn open_keeping(self) -> Result<(OpenSource, SourceIdentity), Failure> {
        let source = (self.open)()?;
        let SourceIdentity { name, interval, group, label, server, .. } = &self.identity;
        let open = OpenSource {
            name: name.clone(),
            group: group.clone(),
            label: label.clone(),
            database: server.as_ref().map(|server| server.name().to_owned()),
            interval: *interval,
            source,
        };
        Ok((open, self.identity))
    }

    /// Its identity, without opening it.
    pub(crate) fn into_identity(self) -> SourceIdentity {
        self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::own_connections::OwnConnections;

    fn spec(name: &str, seconds: u64, settings: impl SourceSettings) -> SourceSpec {
        let open = || Ok(Source::OwnConnections(OwnConnections::new(Vec::new())));
        SourceSpec::new(name, Path::default(), Duration::from_secs(seconds), settings, open)
    }

    #[test]
    fn a_source_is_the_same_with_the_same_settings_alone() {
        let same = |one: SourceSpec, other: SourceSpec| one.identity() == other.identity();
        assert!(same(spec("a", 1, 5), spec("a", 1, 5)));
        assert!(!same(spec("a", 1, 5), spec("a", 1, 6)));
        assert!(!same(spec("a", 1, 5), spec("a", 1, "5")));
        assert!(!same(spec("a", 1, 5), spec("a", 2, 5)));
        assert!(!same(spec("a", 1, 5), spec("b", 1, 5)));
        assert!(!same(spec("a", 1, 5), spec("a", 1, 5).in_group("b")));
    }
}
