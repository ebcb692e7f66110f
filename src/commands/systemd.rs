//! Tells systemd how the daemon is: ready, reading its settings anew, alive, stopping. Whoever was not
//! started by systemd, or with another `Type=` than `notify`, has no `NOTIFY_SOCKET` and tells nobody.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::snapshot::Snapshot;

/// It listens, for requests, signals and workers; also after a reload, whatever came of it.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The settings are being read anew, until it is ready again.
pub(super) fn reloading() {
    // `Type=notify-reload` tells one reload from another by the time.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(error = &error as &dyn Error, "there is no monotonic clock"),
    }
}

/// It will end soon.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the daemon is alive, thrice in the time after which `WatchdogSec=` takes it for dead, but
/// only while the sampler publishes, as it does every second even when no database answers.
pub(super) async fn keep_alive(mut snapshot: watch::Receiver<Arc<Snapshot>>) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return pending().await };
    while snapshot.changed().await.is_ok() {
        tell(&[NotifyState::Watchdog]);
        sleep(timeout / 3).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(error = &error as &dyn Error, "systemd could not be notified");
    }
}
