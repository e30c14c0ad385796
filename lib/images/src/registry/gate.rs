//! How many requests one server gets at a time.
//!
//! The limit halves when the server complains and grows by one for every round of answers, as TCP
//! does; while the server wants to be left alone nobody asks. A permit is held until the head of
//! the answer is there, never while an answer's body is read.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The door to one server.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    freed: Notify,
    most: usize,
}

#[derive(Debug)]
struct State {
    limit: usize,
    inside: usize,
    /// Good answers since the limit last changed.
    answers: usize,
    closed_until: Option<Instant>,
}

/// The right to have one request under way.
#[derive(Debug)]
pub(super) struct Permit<'a>(&'a Gate);

impl Gate {
    /// A gate that lets at most `most` requests in.
    pub(super) fn new(most: usize) -> Gate {
        let most = most.max(1);
        let state = State { limit: most, inside: 0, answers: 0, closed_until: None };
        Gate { state: Mutex::new(state), freed: Notify::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Permit<'_> {
        loop {
            let freed = self.freed.notified();
            let closed_until = {
                let mut state = self.lock();
                let closed = state.closed_until.filter(|until| *until > Instant::now());
                if closed.is_none() && state.inside < state.limit {
                    state.inside += 1;
                    return Permit(self);
                }
                closed
            };
            match closed_until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => freed.await,
            }
        }
    }

    /// The server answered as it should.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        state.answers += 1;
        if state.answers >= state.limit && state.limit < self.most {
            state.limit += 1;
            state.answers = 0;
            self.freed.notify_one();
        }
    }

    /// The server has too much to do: fewer requests, and none for a while.
    pub(super) fn complained(&self, pause: Duration) {
        let mut state = self.lock();
        let (now, until) = (Instant::now(), Instant::now() + pause);
        // Answers to requests that were under way already say nothing new.
        if state.closed_until.is_none_or(|closed| closed <= now) {
            state.limit = (state.limit / 2).max(1);
        }
        state.answers = 0;
        state.closed_until = state.closed_until.max(Some(until));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(gate: &Gate) -> usize {
        gate.lock().limit
    }

    #[test]
    fn complaints_halve_and_answers_restore() {
        let gate = Gate::new(8);
        for expected in [4, 2, 1, 1] {
            gate.complained(Duration::ZERO);
            assert_eq!(limit(&gate), expected);
        }
        for (answers, expected) in [(1, 2), (2, 3), (3, 4), (100, 8)] {
            (0..answers).for_each(|_| gate.answered());
            assert_eq!(limit(&gate), expected);
        }
    }

    #[test]
    fn a_burst_of_complaints_is_one() {
        let gate = Gate::new(8);
        gate.complained(Duration::from_secs(60));
        gate.complained(Duration::from_secs(60));
        assert_eq!(limit(&gate), 4);
    }

    #[tokio::test]
    async fn no_more_than_the_limit_are_inside() {
        let gate = Gate::new(2);
        let first = gate.enter().await;
        let _second = gate.enter().await;
        let waited = async {
            let _third = gate.enter().await;
            gate.lock().inside
        };
        let release = async {
            tokio::task::yield_now().await;
            assert_eq!(gate.lock().inside, 2);
            drop(first);
        };
        assert_eq!(tokio::join!(waited, release).0, 2);
    }
}
