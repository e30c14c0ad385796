//! Scopes: what a token permits (distribution's token specification, "Resource scope").

use std::collections::{BTreeMap, BTreeSet};

use super::options::Access;

/// Most resources of a scope that a server names.
const MAX_RESOURCES: usize = 16;

/// A set of permissions: for each resource (`repository:a/b`) its actions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// What `access` to a repository needs.
    pub(super) fn repository(name: &str, access: Access) -> Scopes {
        let actions = access.actions().iter().map(ToString::to_string).collect();
        Scopes(BTreeMap::from([(format!("repository:{name}"), actions)]))
    }

    /// What listing a registry's repositories needs.
    pub(super) fn catalog() -> Scopes {
        Scopes::parse("registry:catalog:*")
    }

    /// Reads scopes separated by spaces, as a challenge names them; what is none is left out.
    pub(super) fn parse(text: &str) -> Scopes {
        let mut scopes = Scopes::default();
        for scope in text.split_whitespace().take(MAX_RESOURCES) {
            let Some((resource, actions)) = scope.rsplit_once(':') else { continue };
            let actions = actions.split(',').filter(|action| !action.is_empty());
            scopes.0.entry(resource.to_owned()).or_default().extend(actions.map(str::to_owned));
        }
        scopes.0.retain(|resource, actions| resource.contains(':') && !actions.is_empty());
        scopes
    }

    /// Everything that either permits.
    pub(super) fn union(mut self, other: &Scopes) -> Scopes {
        for (resource, actions) in &other.0 {
            self.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
        self
    }

    /// Whether whoever has this needs nothing more for `other`.
    pub(super) fn covers(&self, other: &Scopes) -> bool {
        other.0.iter().all(|(resource, actions)| {
            self.0.get(resource).is_some_and(|own| own.contains("*") || own.is_superset(actions))
        })
    }

    /// What to ask for when a server, asked for this, wants `challenge`. Behind some front ends a
    /// repository has another name than in its URL: then the server's name counts.
    pub(super) fn adapted(&self, challenge: &Scopes) -> Scopes {
        let one_each = self.0.len() == 1 && challenge.0.len() == 1;
        match (self.0.first_key_value(), challenge.0.first_key_value()) {
            (Some((ours, actions)), Some((theirs, _))) if one_each && ours != theirs => {
                let renamed = Scopes(BTreeMap::from([(theirs.clone(), actions.clone())]));
                renamed.union(challenge)
            }
            _ => self.clone().union(challenge),
        }
    }

    /// One `type:name:actions` for each resource.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<_> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }

    /// All of it on one line.
    pub(super) fn text(&self) -> String {
        self.texts().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_sorted_and_merged() {
        let scopes =
            Scopes::parse("repository:b:push,pull repository:a:pull repository:a:pull,x ,");
        assert_eq!(scopes.text(), "repository:a:pull,x repository:b:pull,push");
        let push = Scopes::repository("b", Access::Push);
        assert_eq!(push.text(), "repository:b:pull,push");
        assert!(scopes.covers(&push) && !push.covers(&scopes));
        assert!(Scopes::parse("repository:b:*").covers(&push));
        assert_eq!(
            Scopes::parse("x x: :x repository:host:5000/a:pull").text(),
            "repository:host:5000/a:pull"
        );
    }

    #[test]
    fn the_server_knows_its_repositories_names() {
        let ours = Scopes::repository("a", Access::Push);
        let theirs = Scopes::parse("repository:group/a:pull");
        assert_eq!(ours.adapted(&theirs).text(), "repository:group/a:pull,push");
        assert_eq!(ours.adapted(&Scopes::default()), ours);
        let both = ours.clone().union(&Scopes::repository("b", Access::Pull));
        assert_eq!(both.adapted(&Scopes::parse("repository:b:pull")), both);
    }
}
