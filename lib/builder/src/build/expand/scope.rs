//! What an instruction sees: values of `ARG` and `ENV`, whichever came last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Budget, ExpandError};

/// What an entry costs beyond its text.
const ENTRY: usize = 64;

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
    values: BTreeMap<String, String>,
    /// Variables whose value depends on what is not known yet.
    uncertain: BTreeSet<String>,
    /// What a copy costs.
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
        inner.size += ENTRY + name.len() + value.len();
        if let Some(old) = inner.values.insert(name.to_owned(), value.to_owned()) {
            inner.size -= ENTRY + name.len() + old.len();
        }
        if certain {
            inner.uncertain.remove(name);
        } else {
            inner.uncertain.insert(name.to_owned());
        }
        Ok(())
    }

    /// The names of all variables, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inner.values.keys().map(String::as_str)
    }

    /// All variables, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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
