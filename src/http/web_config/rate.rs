//! A bucket of tokens: one comes each interval, one goes with each request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl RateLimit {
    /// Lets `burst` requests in at once and one more each interval. A burst of 0 lets none in.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { interval, burst, state: Mutex::new((burst, Instant::now())) }
    }

    /// Returns true if one more request is let in now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = *state;
        let come = now.saturating_duration_since(since).as_secs_f64() / self.interval.as_secs_f64();
        let tokens = (tokens + come).min(self.burst);
        let allowed = tokens >= 1.0;
        *state = (if allowed { tokens - 1.0 } else { tokens }, now.max(since));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_an_interval() {
        let limit = RateLimit::new(Duration::from_secs(1), 2);
        let start = Instant::now();
        let at = |seconds| limit.allows(start + Duration::from_secs_f64(seconds));
        let passed = [0.0, 0.0, 0.1, 0.5, 1.2, 1.3, 60.0, 60.0, 60.0].map(at);
        assert_eq!(passed, [true, true, false, false, true, false, true, true, false]);
    }

    #[test]
    fn a_burst_of_none_lets_none_in() {
        let limit = RateLimit::new(Duration::from_secs(1), 0);
        assert!(!limit.allows(Instant::now() + Duration::from_mins(1)));
    }
}
