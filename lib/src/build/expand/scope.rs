//! What an instruction sees: values of `ARG` and `ENV`, whichever came last.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Budget, ExpandError};

/// Where values come from.
pub trait Variables {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variables at all.
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Variables with their values. Cheap to clone; a clone that is changed costs a copy, which is
/// paid for.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    values: HashMap<String, String>,
    /// Variables whose value depends on what is not known yet.
    uncertain: BTreeSet<String>,
    /// Bytes of all names and values.
    size: usize,
}

impl Scope {
    /// Sets a variable. `certain` is false for a value that depends on what is not known yet.
    pub fn set(
        &mut self,
        name: &str,
        value: &str,
        certain: bool,
        budget: &mut Budget,
    ) -> Result<(), ExpandError> {
        let shared = Arc::strong_count(&self.inner) > 1;
        budget.pay(name.len() + value.len() + if shared { self.inner.size } else { 0 })?;
        let inner = Arc::make_mut(&mut self.inner);
        inner.size += name.len() + value.len();
        if let Some(old) = inner.values.insert(name.to_owned(), value.to_owned()) {
            inner.size -= name.len() + old.len();
        }
        if certain {
            inner.uncertain.remove(name);
        } else {
            inner.uncertain.insert(name.to_owned());
        }
        Ok(())
    }

    /// The names of all variables, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inner.values.keys().map(String::as_str)
    }

    /// All variables, in the order of their names.
    pub fn sorted(&self) -> Vec<(&str, &str)> {
        let pair = |(name, value)| (String::as_str(name), String::as_str(value));
        let mut all: Vec<_> = self.inner.values.iter().map(pair).collect();
        all.sort_unstable();
        all
    }

    /// Whether the variable's value is known for sure.
    pub fn is_certain(&self, name: &str) -> bool {
        !self.inner.uncertain.contains(name)
    }
}

impl Variables for Scope {
    fn get(&self, name: &str) -> Option<&str> {
        self.inner.values.get(name).map(String::as_str)
    }
}
