//! Bringing an image into the store.
//!
//! The one place of a run that waits for a network, and so the only one that starts an async
//! runtime, which has ended when this returns.

use std::sync::Arc;
use std::time::Duration;

use crate::copy::{self, CopyOptions, Selection, Session, Shape};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::spec::{Platform, Reference};
use crate::store::StoreName;
use crate::sys::{self, SignalQueue};
use crate::transport::{Bare, Entry, Location, Places, SideOptions, Sink};

/// Between two looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// How images are reached.
pub struct Supply {
    /// Opens places.
    pub places: Places,
    /// What the side is told that images come from.
    pub side: SideOptions,
    /// The job.
    pub session: Session,
}

/// Which image is to come.
pub(super) struct Wanted<'a> {
    /// As the person named it.
    pub(super) text: &'a str,
    /// For this platform; none: the host's.
    pub(super) platform: Option<&'a Platform>,
}

/// Fetches images; what that takes is made on first need.
pub(super) struct Fetcher<'a> {
    make: &'a mut dyn FnMut() -> Result<Supply>,
    made: Option<Supply>,
    signals: &'a SignalQueue,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(
        make: &'a mut dyn FnMut() -> Result<Supply>,
        signals: &'a SignalQueue,
    ) -> Fetcher<'a> {
        Fetcher { make, made: None, signals }
    }

    fn supply(&mut self) -> Result<&Supply> {
        let supply = match self.made.take() {
            Some(supply) => supply,
            None => (self.make)()?,
        };
        Ok(self.made.insert(supply))
    }

    /// The name that an image has or will have in the store.
    pub(super) fn name_of(&mut self, text: &str) -> Result<StoreName> {
        let from = self.supply()?.places.locate(text, Bare::Registry)?;
        in_store(&from)
    }

    /// Copies an image into the store; returns its name there.
    pub(super) fn fetch(&mut self, wanted: &Wanted<'_>) -> Result<StoreName> {
        let signals = self.signals;
        let supply = self.supply()?;
        let from = supply.places.locate(wanted.text, Bare::Registry)?;
        let name = in_store(&from)?;
        let fetching = || format!("fetching {from}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(sys::available_cores().clamp(2, 8))
            .enable_all()
            .build()
            .doing(fetching)?;
        runtime
            .block_on(async {
                tokio::select! {
                    copied = copy_in(supply, &from, &name, wanted.platform) => copied,
                    stopped = interrupted(signals) => Err(stopped),
                }
            })
            .doing(fetching)?;
        Ok(name)
    }
}

async fn copy_in(
    supply: &Supply,
    from: &Location,
    name: &StoreName,
    platform: Option<&Platform>,
) -> Result<()> {
    let to = Location::Store(name.clone());
    let source = Arc::new(supply.places.source(from, &supply.side).await?);
    let sink = Arc::new(supply.places.sink(&to, &SideOptions::default())?);
    let selection = match platform {
        // The index keeps its bytes, so that other platforms can join.
        Some(platform) => Selection::Platforms(vec![platform.clone()], Shape::Sparse),
        None => Selection::Usual,
    };
    let options = Arc::new(CopyOptions { selection, ..CopyOptions::default() });
    copy::copy(source, sink.clone(), &to.to_string(), options, &supply.session).await?;
    sink.finish().await
}

/// Waits for a signal that ends programs.
async fn interrupted(signals: &SignalQueue) -> Error {
    const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
    loop {
        match signals.next() {
            Ok(Some(signal)) if ENDING.contains(&signal) => {
                return Error::new(ErrorKind::Cancelled, "interrupted");
            }
            Ok(Some(_)) => {}
            Ok(None) => tokio::time::sleep(LOOK).await,
            Err(error) => return Error::io("waiting for signals", error),
        }
    }
}

/// The name under which an image from elsewhere is kept.
fn in_store(from: &Location) -> Result<StoreName> {
    let named =
        |text: &str| Reference::parse(text).map(|name| StoreName::Named(name.with_default_tag()));
    let unnamed = || {
        Error::usage(format!(
            "{from} gives the image no name: copy it into the store under one first, as in \
             `creel-copy {from} store:app:1.0`"
        ))
    };
    match from {
        Location::Registry(name) => Ok(StoreName::Named(match (name.tag(), name.digest()) {
            (None, Some(_)) => name.clone(),
            _ => name.with_tag(name.tag_or_latest())?,
        })),
        Location::DockerDaemon(name) => Ok(StoreName::Named(name.clone())),
        Location::ContainersStorage(name) => named(name),
        Location::Store(name) => Ok(name.clone()),
        Location::Layout(place)
        | Location::LayoutArchive(place)
        | Location::DockerArchive(place) => match &place.entry {
            Entry::Named(name) => named(name),
            _ => Err(unnamed()),
        },
        Location::Directory(_) => Err(unnamed()),
    }
}
