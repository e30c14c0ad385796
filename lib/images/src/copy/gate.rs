//! One gate that all transfers of a job pass: so many at a time, the largest first.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Lets a limited number of holders through, largest weight first, then in order of arrival.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<State>>);

struct State {
    free: usize,
    arrivals: u64,
    waiting: BinaryHeap<Waiter>,
}

struct Waiter {
    weight: u64,
    arrival: u64,
    wake: oneshot::Sender<Pass>,
}

/// The right to work; given back when dropped.
pub(super) struct Pass(Option<Arc<Mutex<State>>>);

impl Gate {
    /// A gate for `width` holders (at least one).
    pub(super) fn new(width: usize) -> Gate {
        let state = State { free: width.max(1), arrivals: 0, waiting: BinaryHeap::new() };
        Gate(Arc::new(Mutex::new(state)))
    }

    /// Waits for a place. `weight` is the size of the work in bytes.
    pub(super) async fn pass(&self, weight: u64) -> Pass {
        let woken = {
            let mut state = lock(&self.0);
            if state.free > 0 {
                state.free -= 1;
                return Pass(Some(self.0.clone()));
            }
            let (wake, woken) = oneshot::channel();
            state.arrivals += 1;
            let arrival = state.arrivals;
            state.waiting.push(Waiter { weight, arrival, wake });
            woken
        };
        // The sender only goes away with the gate itself, which `self` keeps.
        woken.await.unwrap_or(Pass(None))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some(gate) = self.0.take() else { return };
        let mut state = lock(&gate);
        while let Some(next) = state.waiting.pop() {
            // A waiter that was dropped hands its pass back here; it must not be dropped under
            // the lock, so it is taken apart instead.
            match next.wake.send(Pass(Some(gate.clone()))) {
                Ok(()) => return,
                Err(mut unused) => unused.0 = None,
            }
        }
        state.free += 1;
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ord for Waiter {
    fn cmp(&self, other: &Waiter) -> std::cmp::Ordering {
        (self.weight, std::cmp::Reverse(self.arrival))
            .cmp(&(other.weight, std::cmp::Reverse(other.arrival)))
    }
}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Waiter) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Waiter) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_largest_goes_first_and_the_given_up_block_nobody() {
        let gate = Gate::new(1);
        let first = gate.pass(0).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for weight in [5, 50, 20] {
            let (gate, order) = (gate.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let _pass = gate.pass(weight).await;
                order.lock().unwrap_or_else(PoisonError::into_inner).push(weight);
            }));
        }
        let given_up = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass(1000).await }
        });
        tokio::task::yield_now().await;
        given_up.abort();
        let _ = given_up.await;
        drop(first);
        for task in waiting {
            assert!(task.await.is_ok());
        }
        assert_eq!(*order.lock().unwrap_or_else(PoisonError::into_inner), [50, 20, 5]);
        assert_eq!(lock(&gate.0).free, 1);
    }
}
