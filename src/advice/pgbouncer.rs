//! The advice about pools of `PgBouncer`, in which a worker is a (database, user) pair.

use super::{Advice, Severity};
use crate::reading::{GrowthLimit, Worker};
use crate::state::PoolState;

const FULL: &str = "find what holds the servers: long transactions, slow queries, or clients that \
                    rest in a session while pool_mode = transaction would do";

/// The reason why clients of a pair wait, and what to do.
struct WaitCause(Severity, String, String);

/// Clients wait at a pair without a server that rests. Whether the pair is full does not matter:
/// a server that cannot be logged in to leaves it empty, and its clients wait all the same.
pub(super) fn waiting(state: &PoolState) -> Option<Advice> {
    let waiting = || {
        let waits = |worker: &&Worker| pending(worker) > 0 && worker.figures.checked_in == Some(0);
        state.pool.workers.iter().filter(waits)
    };
    let worst = waiting().max_by_key(|worker| pending(worker))?;
    let others = waiting().map(pending).sum::<u64>() - pending(worst);
    let WaitCause(severity, why, remedy) = cause(worst);
    let message = format!(
        "{} for a server for {}{}: {why}",
        match pending(worst) {
            1 => "1 client waits".to_owned(),
            clients => format!("{clients} clients wait"),
        },
        pair(worst),
        if others > 0 { format!(", and {others} for others") } else { String::new() },
    );
    Some(Advice::new(severity, &state.pool.name, message, remedy))
}

/// The remedy for a pair that is nearly full.
pub(super) fn usage_remedy(worker: &Worker) -> String {
    format!("{FULL}; if none, {}", more(worker.growth_limit))
}

/// The database and the user.
pub(super) fn pair(worker: &Worker) -> &str {
    worker.app.as_deref().unwrap_or("a pool")
}

fn pending(worker: &Worker) -> u64 {
    worker.figures.pending.unwrap_or(0)
}

fn cause(worker: &Worker) -> WaitCause {
    let (size, taken) = (worker.figures.size, worker.figures.checked_out.unwrap_or(0));
    let capacity = worker.figures.capacity();
    let critical = |why: String, remedy: String| WaitCause(Severity::Critical, why, remedy);
    let full = format!(
        "{FULL}; {} only if the server has connections to spare",
        more(worker.growth_limit)
    );
    match (worker.growth_limit, capacity) {
        (Some(GrowthLimit::Paused), _) => WaitCause(
            Severity::Warning,
            "it is paused".into(),
            "RESUME it in PgBouncer's admin console; clients that wait for query_wait_timeout are \
             disconnected"
                .into(),
        ),
        (Some(GrowthLimit::NoSize), _) => critical(
            "its pool_size is 0, which is unlimited only since PgBouncer 1.24".into(),
            "set pool_size, or default_pool_size".into(),
        ),
        (Some(GrowthLimit::DatabaseLimit(most)), _) => critical(
            format!("all {most} that max_db_connections allows its database are taken"),
            full,
        ),
        (Some(GrowthLimit::UserLimit(most)), _) => critical(
            format!("all {most} that max_user_connections allows its user are taken"),
            full,
        ),
        (None, Some(capacity)) if taken >= capacity => {
            critical(format!("all {capacity} it may have are taken"), full)
        }
        (None, Some(capacity)) if size.is_some_and(|size| taken >= size) => critical(
            format!(
                "all {taken} of its size are taken, and of its reserve of {} one comes only when a \
                 client has waited for reserve_pool_timeout",
                capacity - size.unwrap_or(0)
            ),
            full,
        ),
        (None, _) => critical(
            match taken {
                0 => "it has none".into(),
                taken => format!("it has {taken} and gets no more"),
            },
            "see PgBouncer's log for why it cannot log in to the server: down, out of reach, out of \
             connections, or the login refused"
                .into(),
        ),
    }
}

fn more(growth_limit: Option<GrowthLimit>) -> &'static str {
    match growth_limit {
        Some(GrowthLimit::DatabaseLimit(_)) => "raise max_db_connections",
        Some(GrowthLimit::UserLimit(_)) => "raise max_user_connections",
        _ => "raise pool_size",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::super::pool_exhausted::PoolExhausted;
    use super::super::pool_usage::PoolUsage;
    use super::*;
    use crate::reading::{Figures, MaxOverflow};

    fn advice_on(change: impl Fn(&mut Worker)) -> Advice {
        let mut fixture = Fixture::with_pgbouncer(|worker| {
            worker.figures = Figures {
                size: Some(2),
                max_overflow: Some(MaxOverflow::Limited(1)),
                checked_in: Some(0),
                checked_out: Some(3),
                pending: Some(4),
                ..Figures::default()
            };
            change(worker);
        });
        let advice = fixture.judge(&PoolExhausted::default());
        assert_eq!(advice.len(), 1, "{advice:?}");
        advice[0].clone()
    }

    #[test]
    fn clients_wait_for_what_is_full() {
        let advice = advice_on(|_| {});
        assert_eq!(
            advice.message,
            "4 clients wait for a server for shop/web: all 3 it may have are taken"
        );
        assert!(advice.remedy.contains("raise pool_size"), "{}", advice.remedy);
        assert!(!advice.remedy.contains("max_overflow"), "PgBouncer has no such setting");
        let reserve = advice_on(|worker| worker.figures.checked_out = Some(2));
        assert!(reserve.message.contains("its reserve of 1 one comes only"), "{}", reserve.message);
    }

    #[test]
    fn clients_wait_though_nothing_is_full() {
        let broken = advice_on(|worker| worker.figures.checked_out = Some(0));
        assert!(broken.message.ends_with("shop/web: it has none"), "{}", broken.message);
        assert!(broken.remedy.contains("cannot log in to the server"), "{}", broken.remedy);
        let limit = advice_on(|worker| worker.growth_limit = Some(GrowthLimit::DatabaseLimit(9)));
        assert!(limit.message.contains("all 9 that max_db_connections"), "{}", limit.message);
        let limit = advice_on(|worker| worker.growth_limit = Some(GrowthLimit::UserLimit(8)));
        assert!(limit.message.contains("all 8 that max_user_connections"), "{}", limit.message);
        let none = advice_on(|worker| worker.growth_limit = Some(GrowthLimit::NoSize));
        assert!(none.message.contains("its pool_size is 0"), "{}", none.message);
        let paused = advice_on(|worker| worker.growth_limit = Some(GrowthLimit::Paused));
        assert_eq!(paused.severity, Severity::Warning);
        assert!(paused.message.ends_with("it is paused"), "{}", paused.message);
    }

    #[test]
    fn a_client_waits_for_nothing_while_a_server_rests() {
        let mut fixture = Fixture::with_pgbouncer(|worker| {
            let figures = &mut worker.figures;
            (figures.checked_in, figures.pending) = (Some(1), Some(1));
        });
        assert_eq!(fixture.judge(&PoolExhausted::default()), []);
    }

    #[test]
    fn a_full_pair_is_named_and_not_told_of_settings_it_has_not() {
        let mut fixture = Fixture::with_pgbouncer(|worker| worker.figures.checked_out = Some(19));
        let advice = fixture.judge(&PoolUsage::default());
        let message = &advice[0].message;
        assert!(message.starts_with("19 of 20 servers of shop/web are taken (95 %"), "{message}");
        assert!(advice[0].remedy.contains("raise pool_size"), "{}", advice[0].remedy);
        assert!(!advice[0].remedy.contains("max_overflow"), "{}", advice[0].remedy);
    }
}
