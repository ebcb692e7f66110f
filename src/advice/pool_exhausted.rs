//! Callers wait for a connection.

use super::{Advice, Severity};
use crate::snapshot::PoolState;

pub(super) fn judge(state: &PoolState) -> Option<Advice> {
    // poolwatch's own readings wait for one another by design; its pool has no status.
    state.status?;
    let pending = state.sum.pending.filter(|pending| *pending > 0)?;
    // Callers pass through "pending" for an instant while a connection is made; only a worker with
    // nothing left keeps them there.
    state.busiest.filter(|utilization| *utilization >= 1.0)?;
    let (callers, them) =
        if pending == 1 { ("caller waits", "it") } else { ("callers wait", "them") };
    Some(Advice {
        rule: "pool_exhausted",
        severity: Severity::Critical,
        subject: state.pool.name.clone(),
        message: format!("{pending} {callers} for a connection and there is none left for {them}"),
        remedy: "find what holds the connections (oldest checkout, slow queries, sessions that \
                 are never closed); raise max_overflow only if the server has connections to spare"
            .into(),
    })
}
