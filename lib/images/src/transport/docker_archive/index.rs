//! `manifest.json`: which images are in a docker archive.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::json::{null_is_default, parse_strict};
use crate::spec::{MAX_LAYERS, Reference};
use crate::transport::Entry;

/// One image of the list.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    /// The member that is the image's config.
    pub(super) config: String,
    /// Its names, most often fully qualified.
    #[serde(deserialize_with = "null_is_default", default)]
    pub(super) repo_tags: Vec<String>,
    /// The members that are its layers, lowest first.
    #[serde(deserialize_with = "null_is_default", default)]
    pub(super) layers: Vec<String>,
}

/// Reads the list; `archive` names the file in errors.
pub(super) fn parse(bytes: &[u8], archive: &str) -> Result<Vec<Listed>> {
    let what = format!("manifest.json of {archive}");
    let value = parse_strict(bytes, &what)?;
    let list: Option<Vec<Listed>> = serde_json::from_value(value).map_err(|error| {
        Error::caused(ErrorKind::Invalid, format!("{what} breaks its format"), error)
    })?;
    let list = list.unwrap_or_default();
    if list.iter().any(|image| image.layers.len() > MAX_LAYERS) {
        return Err(Error::invalid(format!(
            "{what} lists an image of more than {MAX_LAYERS} layers"
        )));
    }
    Ok(list)
}

/// The image that is meant.
pub(super) fn choose<'a>(list: &'a [Listed], entry: &Entry, archive: &str) -> Result<&'a Listed> {
    let found = match (entry, list) {
        (_, []) => return Err(Error::not_found(format!("{archive} holds no image"))),
        (Entry::Only, [image]) => Some(image),
        (Entry::Only, _) => {
            return Err(Error::usage(format!(
                "{archive} holds several images, name one: {}",
                names(list)
            )));
        }
        (Entry::Nth(number), _) => list.get(*number),
        (Entry::Named(name), _) => {
            let wanted = canonical(name);
            list.iter().find(|image| image.repo_tags.iter().any(|tag| canonical(tag) == wanted))
        }
    };
    found.ok_or_else(|| {
        let wanted = match entry {
            Entry::Nth(number) => format!("@{number}"),
            Entry::Named(name) => format!("{name:?}"),
            Entry::Only => String::new(),
        };
        Error::not_found(format!("{archive} holds no image {wanted}; it has {}", names(list)))
    })
}

/// Names are compared with Docker's defaults written out.
fn canonical(name: &str) -> String {
    match Reference::parse(name) {
        Ok(reference) => reference.with_default_tag().to_string(),
        Err(_) => name.to_owned(),
    }
}

fn names(list: &[Listed]) -> String {
    const SHOWN: usize = 20;
    let name = |(at, image): (usize, &Listed)| match image.repo_tags.first() {
        Some(_) => image.repo_tags.join(", "),
        None => format!("@{at}"),
    };
    let mut names: Vec<_> = list.iter().enumerate().take(SHOWN).map(name).collect();
    if list.len() > SHOWN {
        names.push(format!("and {} more", list.len() - SHOWN));
    }
    names.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_any_spelling_of_their_name() {
        let text = r#"[{"Config":"a.json","RepoTags":["app:1","docker.io/library/app:2"],"Layers":[]},
            {"Config":"b.json","RepoTags":null,"Layers":null,"Parent":"x"}]"#;
        let list = parse(text.as_bytes(), "a.tar").unwrap();
        let config = |entry: Entry| choose(&list, &entry, "a.tar").map(|image| &image.config[..]);
        for name in ["app:1", "docker.io/library/app:1", "library/app:2"] {
            assert_eq!(config(Entry::Named(name.into())).unwrap(), "a.json", "{name}");
        }
        assert_eq!(config(Entry::Nth(1)).unwrap(), "b.json");
        let error = config(Entry::Only).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(
            error.to_string(),
            "a.tar holds several images, name one: app:1, docker.io/library/app:2, @1"
        );
        for missing in [Entry::Named("app".into()), Entry::Nth(2)] {
            assert_eq!(config(missing).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn hostile_lists() {
        let empty = parse(b"null", "a.tar").unwrap();
        assert_eq!(choose(&empty, &Entry::Only, "a").unwrap_err().kind(), ErrorKind::NotFound);
        for bad in ["", "{}", "[{}]", "[{\"Config\":1}]", "[][]"] {
            assert_eq!(parse(bad.as_bytes(), "a").unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        let many = format!("[{{\"Config\":\"a\",\"Layers\":[{}\"x\"]}}]", "\"x\",".repeat(500));
        assert_eq!(parse(many.as_bytes(), "a").unwrap_err().kind(), ErrorKind::Invalid);
    }
}
