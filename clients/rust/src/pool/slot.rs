//! A place in the pool: whoever holds one may have a connection, and however it ends, by return,
//! by error, by cancellation or by panic, the place is free again.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::timeout;

use super::state::Open;
use super::{AcquireError, Core, close};

/// A place in the pool.
pub(super) struct Slot {
    pub(super) core: Arc<Core>,
    /// Freed after `drop` has counted the place as free.
    _permit: OwnedSemaphorePermit,
    taken: bool,
}

impl Slot {
    /// The next place, in order of asking.
    pub(super) async fn take(core: &Arc<Core>) -> Result<Self, AcquireError> {
        let permit = match Arc::clone(&core.slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return Err(AcquireError::Closed),
            Err(TryAcquireError::NoPermits) => Self::wait(core).await?,
        };
        core.state().take();
        Ok(Self { core: Arc::clone(core), _permit: permit, taken: true })
    }

    async fn wait(core: &Arc<Core>) -> Result<OwnedSemaphorePermit, AcquireError> {
        let _waiting = Waiting::begin(core);
        match timeout(core.settings.timeout, Arc::clone(&core.slots).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| AcquireError::Closed),
            Err(_) => Err(AcquireError::Timeout {
                size: core.settings.size,
                overflow: core.settings.max_overflow.limit().unwrap_or(u64::MAX),
                timeout: core.settings.timeout,
            }),
        }
    }

    /// Puts the connection to rest, or closes it when enough rest already.
    pub(super) fn rest(mut self, open: Open) {
        let surplus = {
            let mut state = self.core.state();
            state.leave();
            let room = state.resting.len() < self.core.settings.resting();
            if room && !self.core.slots.is_closed() && !state.is_disposed(&open) {
                state.resting.push_back(open);
                None
            } else {
                Some(open)
            }
        };
        self.taken = false;
        if let Some(open) = surplus {
            self.retire(open);
        }
    }

    /// Closes the connection as broken.
    pub(super) fn invalidate(self, open: Open) {
        self.core.state().invalidated();
        self.retire(open);
    }

    /// Closes the connection. The place stays taken until the server knows, so that the server
    /// never sees more connections than the pool may have.
    fn retire(mut self, open: Open) {
        if std::mem::take(&mut self.taken) {
            self.core.state().leave();
        }
        later(async move {
            close(open.connection).await;
            drop(self);
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.taken {
            self.core.state().leave();
        }
    }
}

/// Runs a task in the background; outside a runtime it is dropped, and what it holds with it.
pub(super) fn later(task: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(task);
    }
}

/// A caller waiting for a place.
struct Waiting<'a>(&'a Core);

impl<'a> Waiting<'a> {
    fn begin(core: &'a Core) -> Self {
        core.state().wait();
        Self(core)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waited();
    }
}
