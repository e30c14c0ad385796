//! Stages side by side: each begins when those that it needs are done.

use std::sync::{Condvar, Mutex, PoisonError};

use super::{BuildResult, Failure, locked};

/// What is done, what runs, and whether anything failed.
pub(super) struct Course {
    state: Mutex<State>,
    changed: Condvar,
    most: usize,
}

struct State {
    done: Vec<bool>,
    running: usize,
    failure: Option<Failure>,
}

impl Course {
    /// No more than `most` stages work at a time.
    pub(super) fn new(stages: usize, most: usize) -> Course {
        let state = State { done: vec![false; stages], running: 0, failure: None };
        Course { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    /// Does the work of a stage when all that it needs is done, unless something failed by then.
    pub(super) fn follow(
        &self,
        stage: usize,
        needs: &[usize],
        work: impl FnOnce() -> BuildResult<()>,
    ) {
        let mut state = locked(&self.state);
        let waits = |state: &State| {
            state.failure.is_none()
                && (state.running >= self.most || needs.iter().any(|need| !state.done[*need]))
        };
        while waits(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failure.is_some() {
            return;
        }
        state.running += 1;
        drop(state);
        let result = work();
        let mut state = locked(&self.state);
        state.running -= 1;
        match result {
            Ok(()) => state.done[stage] = true,
            Err(failure) => {
                state.failure.get_or_insert(failure);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The first failure, if there was one.
    pub(super) fn failure(self) -> BuildResult<()> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failure.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn stages_wait_for_what_they_need() {
        let course = Course::new(4, 2);
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (stage, needs) in [(3, vec![1, 2]), (2, vec![0]), (1, vec![0]), (0, vec![])] {
                let (course, order) = (&course, &order);
                scope.spawn(move || {
                    course.follow(stage, &needs, || {
                        locked(order).push(stage);
                        Ok(())
                    });
                });
            }
        });
        course.failure().unwrap();
        let order = order.into_inner().unwrap();
        assert_eq!((order[0], order[3], order.len()), (0, 3, 4));
    }

    #[test]
    fn after_a_failure_nothing_begins() {
        let course = Course::new(2, 2);
        std::thread::scope(|scope| {
            scope.spawn(|| course.follow(1, &[0], || Err(Error::invalid("second").into())));
            scope.spawn(|| course.follow(0, &[], || Err(Error::invalid("first").into())));
        });
        assert_eq!(course.failure().unwrap_err().error.to_string(), "first");
    }
}
