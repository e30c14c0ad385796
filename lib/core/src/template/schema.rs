//! What Go knows by types and JSON does not tell.

/// Names of fields with a meaning, wherever they stand in the data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schema {
    /// Fields that are maps: a key that is not there is `<no value>` and no mistake.
    pub maps: &'static [&'static str],
    /// Fields that are lists, also where they are null.
    pub lists: &'static [&'static str],
    /// Fields that have another name in the JSON, or that it may lack.
    pub fields: &'static [Field],
}

/// A field as a template names it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The field whose value it is part of; empty for the top.
    pub within: &'static str,
    /// Its name in Go.
    pub name: &'static str,
    /// Its name in the JSON.
    pub key: &'static str,
    /// What it is where the JSON lacks it.
    pub zero: Zero,
}

/// Go's empty values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// `""`
    Text,
    /// `false`
    False,
    /// A list without elements.
    List,
    /// A map without keys.
    Map,
    /// A struct whose fields are all empty.
    Struct,
    /// A pointer to nothing.
    Pointer,
}

impl Schema {
    pub(super) fn field(&self, within: &str, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.within == within && field.name == name)
    }

    pub(super) fn is_map(&self, name: &str) -> bool {
        self.maps.contains(&name)
    }

    pub(super) fn is_list(&self, name: &str) -> bool {
        self.lists.contains(&name)
    }
}
