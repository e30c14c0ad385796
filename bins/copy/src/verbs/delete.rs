//! `creel-copy delete IMAGE`.

use creel::error::{Error, IoContext, Result};
use creel::registry::{Access, Deletion, Repository};
use creel::spec::{Digest, Reference};
use creel::transport::{Bare, Entry, Location, Places, SideOptions, remove_layout_name};

use crate::args::{BothArgs, DeleteArgs, Side};
use crate::context::Context;

pub async fn run(context: &Context, args: DeleteArgs) -> Result<u8> {
    let places = context.places(&args.work)?;
    let at = places.locate(&args.image, Bare::Registry)?;
    let deleted = async {
        match &at {
            Location::Registry(name) => {
                let side = context.side(args.side.side(), &BothArgs::default())?;
                in_registry(&places, name, &side, args.all_tags).await
            }
            Location::Layout(place) => match &place.entry {
                Entry::Named(name) => remove_layout_name(&place.path, name)
                    .map(|_| format!("removed {name} from {}", place.path.display())),
                _ => Err(Error::usage("say which name of the layout is to go, as in oci:DIR:NAME")),
            },
            Location::Store(name) => {
                places.store()?.untag(name)?;
                Ok(format!("removed {name} from the store"))
            }
            other => Err(Error::unsupported(format!("{}: images cannot be deleted", other.kind()))),
        }
    };
    let what = deleted.await.doing(|| format!("deleting {at}"))?;
    context.say(&what);
    Ok(0)
}

/// Deletes the tag alone where the registry can; the image with all its tags only when asked to.
async fn in_registry(
    places: &Places,
    name: &Reference,
    side: &SideOptions,
    all_tags: bool,
) -> Result<String> {
    let repository = places.repository(name, side, Access::Delete)?;
    if let Some(digest) = name.digest() {
        repository.delete_manifest(&digest.to_string()).await?;
        return Ok(format!("deleted {name}"));
    }
    let tag = name.tag_or_latest();
    if !all_tags && repository.delete_manifest(tag).await? == Deletion::Done {
        return Ok(format!("deleted the tag {tag} of {}", name.name()));
    }
    let image = repository.find_manifest(tag).await?;
    let image = image.ok_or_else(|| Error::not_found(format!("{name} does not exist")))?;
    let others = other_tags(&repository, places, name, side, &image.digest).await?;
    if !all_tags && !others.is_empty() {
        return Err(Error::unsupported(format!(
            "this registry cannot delete a tag alone; deleting the image would also take {}: say \
             --all-tags if that is wanted",
            others.join(", ")
        )));
    }
    repository.delete_manifest(&image.digest.to_string()).await?;
    Ok(format!("deleted {} with all its tags", image.digest))
}

/// Which other tags name the same image.
async fn other_tags(
    repository: &Repository,
    places: &Places,
    name: &Reference,
    side: &SideOptions,
    digest: &Digest,
) -> Result<Vec<String>> {
    let mut others = Vec::new();
    let mut tags = places.tags(name, side).await?;
    tags.sort();
    for tag in tags {
        if tag == name.tag_or_latest() {
            continue;
        }
        let there = repository.find_manifest(&tag).await?;
        if there.is_some_and(|there| there.digest == *digest) {
            others.push(tag);
        }
    }
    Ok(others)
}
