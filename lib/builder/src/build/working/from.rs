//! The beginning of a working container.

use super::super::bases::{Finder, Pull, Remote};
use super::super::execute::sandbox::new_id;
use super::super::image::inherited;
use super::list::check_name;
use super::{Format, RunDefaults, WorkingRecord, now};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{ConfigFields, Image, Platform, Reference};
use crate::store::Store;
use crate::transport::{Bare, Location};

/// The image that has no layers.
const SCRATCH: &str = "scratch";
/// What names that are made up end with.
const SUFFIX: &str = "working-container";
/// So many containers of one image get a number.
const MAX_NUMBER: u32 = 10_000;

/// What is asked of [`from`](fn@from).
#[derive(Clone, Debug)]
pub struct FromOptions {
    /// The image, or `scratch`.
    pub image: String,
    /// Its name; none: made of the image's.
    pub name: Option<String>,
    /// When the image is fetched.
    pub pull: Pull,
    /// What it is for.
    pub platform: Platform,
    /// Vocabulary of the image that it will become.
    pub format: Format,
    /// What its commands are run with.
    pub defaults: RunDefaults,
}

/// Begins a working container. `warn` hears what a person should know.
///
/// # Errors
/// `AlreadyExists` when another container has the name; whatever keeps the image from being
/// fetched.
pub fn from(
    store: &Store,
    remote: &Remote,
    options: &FromOptions,
    warn: &mut dyn FnMut(&str),
) -> Result<WorkingRecord> {
    let name = options.name.as_deref().map(check_name).transpose()?;
    // Keeps the image from being taken away until the container does.
    let writer = store.begin()?;
    let mut record = WorkingRecord {
        id: new_id(),
        created: now(),
        format: options.format,
        defaults: options.defaults.clone(),
        ..WorkingRecord::default()
    };
    let mut needs = Vec::new();
    if options.image == SCRATCH {
        record.config = ConfigFields {
            architecture: options.platform.architecture.clone(),
            variant: options.platform.variant.clone(),
            os: options.platform.os.clone(),
            ..ConfigFields::default()
        };
    } else {
        let full = full_name(&options.image)?;
        let mut finder = Finder::new(store, &writer, remote, options.pull);
        let image = finder.find(&full, &options.platform)?;
        record.image = full;
        record.image_id = Some(image.id().clone());
        record.base = Some(image.manifest().descriptor());
        record.config = inherited(&image);
        let triggers = &image.config().fields().config.on_build;
        if !triggers.is_empty() {
            let triggers = triggers.join("; ");
            warn(&format!("the image's ONBUILD instructions are not carried out: {triggers}"));
        }
        record.annotations = annotations(&image);
        needs.push(image.manifest().digest().clone());
    }
    let base = base_name(&record.image);
    let mut number = 0;
    let dir = loop {
        record.name = match (name, number) {
            (Some(name), _) => name.to_owned(),
            (None, 0) => base.clone(),
            (None, number) => format!("{base}-{number}"),
        };
        match store.create_container(&record.id, Some(&record.name), &needs) {
            Err(error)
                if error.kind() == ErrorKind::AlreadyExists
                    && name.is_none()
                    && number < MAX_NUMBER =>
            {
                number += 1;
            }
            made => break made?,
        }
    };
    match record.write(&dir) {
        Ok(()) => dir.rest()?,
        Err(error) => {
            let _ = dir.remove();
            return Err(error);
        }
    }
    drop(writer);
    Ok(record)
}

/// The name of an image in the store or a registry, in full.
fn full_name(text: &str) -> Result<String> {
    match Location::parse(text, Bare::Registry)? {
        Location::Registry(name) => Ok(with_tag(name)),
        Location::Store(crate::store::StoreName::Named(name)) => Ok(with_tag(name)),
        place => Err(Error::unsupported(format!(
            "a working container begins with an image of the store or a registry: copy it first, \
             as in `creel-copy {place} store:NAME`"
        ))),
    }
}

fn with_tag(name: Reference) -> String {
    name.with_default_tag().to_string()
}

fn annotations(image: &Image) -> std::collections::BTreeMap<String, String> {
    image.manifest().as_image().map(|body| body.annotations.clone()).unwrap_or_default()
}

/// `debian-working-container` for `docker.io/library/debian:12`.
fn base_name(image: &str) -> String {
    let path = image.rsplit('/').next().unwrap_or_default();
    let name = path.split([':', '@']).next().unwrap_or_default();
    match name.is_empty() {
        true => SUFFIX.to_owned(),
        false => format!("{name}-{SUFFIX}"),
    }
}

#[cfg(test)]
mod tests {
    use super::base_name;

    #[test]
    fn names_that_are_made_up() {
        for (image, name) in [
            ("", "working-container"),
            ("docker.io/library/debian:12", "debian-working-container"),
            ("localhost:5000/a/b@sha256:00", "b-working-container"),
        ] {
            assert_eq!(base_name(image), name);
        }
    }
}
