//! The paths and methods of requests.

use hyper::Method;

/// A resource that a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Page,
    Metrics,
    Health,
    HealthReady,
    HealthDetailed,
    HealthPool,
    OpenApi,
    Alive,
    Ready,
    Reload,
}

impl Route {
    /// The route of a path.
    pub(super) fn find(path: &str, telemetry_path: &str) -> Option<Self> {
        Some(match path {
            _ if path == telemetry_path => Self::Metrics,
            "/" => Self::Page,
            "/health" => Self::Health,
            "/health/ready" => Self::HealthReady,
            "/health/detailed" => Self::HealthDetailed,
            "/health/database/pool" => Self::HealthPool,
            "/openapi.json" => Self::OpenApi,
            "/-/healthy" => Self::Alive,
            "/-/ready" => Self::Ready,
            "/-/reload" => Self::Reload,
            _ => return None,
        })
    }

    /// Returns true if a method may be used.
    pub(super) fn allows(self, method: &Method) -> bool {
        match self {
            Self::Reload => matches!(*method, Method::POST | Method::PUT),
            _ => matches!(*method, Method::GET | Method::HEAD),
        }
    }

    /// The value of `Allow`.
    pub(super) fn allowed(self) -> &'static str {
        if self == Self::Reload { "POST, PUT" } else { "GET, HEAD" }
    }

    /// Returns true if it counts as a request in flight. An orchestrator's probe does not: a busy daemon
    /// is alive.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Self::Alive | Self::Ready)
    }
}

/// Returns true if the metrics may be given out at a path without hiding another.
pub(in crate::http) fn may_be_telemetry_path(path: &str) -> bool {
    let hidden = Route::find(path, "").filter(|route| *route != Route::Page);
    path.starts_with('/') && !path.contains(['?', '#']) && hidden.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_may_not_hide_another_path() {
        assert!(may_be_telemetry_path("/metrics") && may_be_telemetry_path("/"));
        for not in ["", "metrics", "/health", "/-/reload", "/a?b"] {
            assert!(!may_be_telemetry_path(not), "{not}");
        }
    }
}
