//! The holders of a pool's connections, in the words of advice.

use crate::reading::{Hold, OTHER};
use crate::state::PoolState;

/// `12 of 20 connections are held by GET /api/export at app/export.py:88`: the endpoint that holds
/// most, and the line that took the longest of them. Without endpoints the longest hold is described.
pub(super) fn described(state: &PoolState) -> Option<String> {
    let taken = state.sum.checked_out?;
    let endpoints = state.pool.holders.endpoints.iter();
    let named = endpoints.filter(|one| one.name != OTHER && one.checked_out > 0);
    let Some(greatest) = named.max_by_key(|one| one.checked_out) else {
        let oldest = oldest(state)?;
        let place = place(oldest)?;
        return Some(format!("the longest has been held for {:.0} s, taken {place}", oldest.age));
    };
    let holds = state.pool.holders.holds.iter().map(|held| &held.hold);
    let mut its_holds = holds.filter(|hold| hold.endpoint.as_ref() == Some(&greatest.name));
    let location = its_holds.find_map(|hold| hold.location.as_ref());
    let (count, name) = (greatest.checked_out, &greatest.name);
    let are = if count == 1 { "is" } else { "are" };
    // The endpoints of workers may be counted a moment after their pools.
    let taken = taken.max(count);
    let connections = if taken == 1 { "connection" } else { "connections" };
    let location = location.map(|location| format!(" at {location}")).unwrap_or_default();
    Some(format!("{count} of {taken} {connections} {are} held by `{name}`{location}"))
}

/// The longest current hold: who took it and where, and what it last did.
pub(super) fn longest(state: &PoolState) -> Option<String> {
    let hold = oldest(state)?;
    let taken = place(hold).map(|place| format!("taken {place}"));
    let did = hold.sql.as_ref().map(|sql| match hold.active {
        Some(true) => format!("running `{sql}`"),
        _ => format!("idle after `{sql}`"),
    });
    let all: Vec<_> = taken.into_iter().chain(did).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// The message, with what is known of the holders.
pub(super) fn with_holders(message: String, state: &PoolState) -> String {
    match described(state) {
        Some(holders) => format!("{message}; {holders}"),
        None => message,
    }
}

fn oldest(state: &PoolState) -> Option<&Hold> {
    state.pool.holders.holds.first().map(|held| &held.hold)
}

fn place(hold: &Hold) -> Option<String> {
    let endpoint = hold.endpoint.as_ref().map(|endpoint| format!("by `{endpoint}`"));
    let location = hold.location.as_ref().map(|location| format!("at {location}"));
    let both: Vec<_> = endpoint.into_iter().chain(location).collect();
    (!both.is_empty()).then(|| both.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Endpoint, Holders, WorkerHold};

    fn hold(endpoint: Option<&str>, location: &str, age: f64) -> WorkerHold {
        let hold = Hold {
            endpoint: endpoint.map(str::to_owned),
            location: Some(location.to_owned()),
            age,
            sql: Some("SELECT … FROM posts".into()),
            active: Some(false),
            running: None,
        };
        WorkerHold { pid: Some(1), app: None, hold }
    }

    fn endpoint(name: &str, checked_out: u64) -> Endpoint {
        Endpoint { name: name.into(), checked_out, ..Endpoint::default() }
    }

    fn state(holders: Holders) -> PoolState {
        let mut state = Fixture::with_workers(&[20]).pools.remove(0);
        state.pool.holders = holders;
        state
    }

    #[test]
    fn the_endpoint_that_holds_most_is_named_with_its_line() {
        let state = state(Holders {
            endpoints: vec![endpoint(OTHER, 5), endpoint("GET /api/export", 12), endpoint("b", 3)],
            holds: vec![
                hold(Some("b"), "app/b.py:1", 90.0),
                hold(Some("GET /api/export"), "app/export.py:88", 75.0),
            ],
        });
        assert_eq!(
            described(&state).unwrap(),
            "12 of 20 connections are held by `GET /api/export` at app/export.py:88"
        );
        assert_eq!(
            longest(&state).unwrap(),
            "taken by `b` at app/b.py:1, idle after `SELECT … FROM posts`"
        );
    }

    #[test]
    fn without_endpoints_the_longest_hold_is_described() {
        let holds = vec![hold(None, "app/job.py:7", 61.2)];
        let state = state(Holders { endpoints: vec![endpoint(OTHER, 20)], holds });
        assert_eq!(
            described(&state).unwrap(),
            "the longest has been held for 61 s, taken at app/job.py:7"
        );
    }

    #[test]
    fn where_nothing_is_known_nothing_is_added() {
        let state = state(Holders::default());
        assert_eq!((described(&state), longest(&state)), (None, None));
        assert_eq!(with_holders("full".into(), &state), "full");
    }
}
